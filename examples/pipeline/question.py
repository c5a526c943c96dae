"""Ask a question of an index: an unmodified client of OpenAI's, which prints what it was answered from."""

import os
import sys

import openai

index, model, question = sys.argv[1:4]
client = openai.OpenAI(base_url=f"{os.environ['OPENAI_BASE_URL']}/vector_stores/{index}")
try:
    answer = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": question}], max_tokens=40
    )
except openai.APIStatusError as error:
    raise SystemExit(error.message) from None
answer.parse()
print(answer.headers["nomoat-citations"])
