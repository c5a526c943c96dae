"""The protocols of models as OpenAI's and Anthropic's clients speak them."""
