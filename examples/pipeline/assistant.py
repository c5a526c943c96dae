"""A coding assistant: asks a model to go on from the end of a text that it is given.

    python assistant.py MODEL [TOKENS]    (the text comes from standard input; with TOKENS the answer is streamed)

An ordinary program of OpenAI's client. It knows of no gateway.
"""

import sys
import time

from openai import APIError, OpenAI


def main() -> None:
    model, code = sys.argv[1], sys.stdin.read()
    client = OpenAI(max_retries=0)
    try:
        if len(sys.argv) > 2:
            _stream(client, model, code, int(sys.argv[2]))
            return
        said = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": code}], max_tokens=160, temperature=0
        )
        print(said.choices[0].message.content)
    except APIError as error:
        print(f"{time.time():.6f} {type(error).__name__}: {error.message}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def _stream(client: OpenAI, model: str, code: str, tokens: int) -> None:
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": code}], max_tokens=tokens, stream=True
    )
    for number, _ in enumerate(stream, 1):
        print(f"{time.time():.6f} token {number} of {tokens}", flush=True)
    print("that is all of it")


if __name__ == "__main__":
    main()
