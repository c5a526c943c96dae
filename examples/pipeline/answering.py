"""A server of one small language model that speaks as OpenAI's does: chat and completions, whole or streamed, with usage.

    python -m examples.pipeline.answering FOLDER --model NAME [--told FILE]

The credential that it wants is the first line of its standard input; where it listens is the first line that it prints.
What it is told goes into the file `--told`, as it may at anybody's.
"""

import argparse
import hmac
import json
import sys
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any, Final

from examples.pipeline.language import Weights, continued, load

MOST: Final = 100_000  # tokens of one answer; a token is a character here
LARGEST: Final = 1 << 20  # bytes of a request
PACE: Final = 200.0  # tokens a second, about those of a large model: one answer does not take the machine
CALLS: Final = {"/v1/chat/completions": "chat.completion", "/v1/completions": "text_completion"}


class Wrong(Exception):
    """A request that is not answered: a status, and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    """The model, and who may ask it."""

    daemon_threads = True

    def __init__(self, weights: Weights, model: str, credential: str, told: Path | None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.weights, self.model, self.credential, self.told = weights, model, credential, told


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        try:
            body = self._body()
            kind = CALLS.get(self.path)
            if kind is None:
                raise Wrong(HTTPStatus.NOT_FOUND, f"{self.path} is not served here")
            asked = _Asked(body, self.server, chat=kind.startswith("chat"))
        except Wrong as wrong:
            self._whole(wrong.status, {"error": {"message": str(wrong), "type": "invalid_request_error"}})
            return
        if self.server.told is not None:
            with self.server.told.open("a") as told:
                told.write(f"{asked.prompt}\n")
        try:
            if asked.streamed:
                self._stream(asked, kind)
            else:
                text = "".join(islice(asked.answer(), asked.most))
                self._whole(HTTPStatus.OK, {**_begun(asked, kind), "choices": [_said(kind, text)], **asked.usage()})
        except (BrokenPipeError, ConnectionResetError):
            print("whoever asked has left", flush=True)
            self.close_connection = True

    def _body(self) -> Mapping[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True
            raise Wrong(HTTPStatus.BAD_REQUEST, "a request says how long it is, up to a megabyte")
        content = self.rfile.read(int(length))
        shown = self.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode(), f"Bearer {self.server.credential}".encode()):
            raise Wrong(HTTPStatus.UNAUTHORIZED, "this server answers the gateway alone")
        try:
            body: object = json.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Wrong(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
        return body

    def _whole(self, status: HTTPStatus, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, asked: "_Asked", kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        begun = _begun(asked, f"{kind}.chunk" if kind.startswith("chat") else kind)
        for text in islice(asked.answer(), asked.most):
            self._event(json.dumps({**begun, "choices": [_said(kind, text, ended=None, streamed=True)]}))
        self._event(json.dumps({**begun, "choices": [_said(kind, "", streamed=True)]}))
        if asked.wants_usage:
            self._event(json.dumps({**begun, "choices": [], **asked.usage()}))
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Asked:
    """A request, read as strictly as this server needs it. Raises `Wrong`."""

    def __init__(self, body: Mapping[str, Any], server: Server, *, chat: bool) -> None:
        if body.get("model") != server.model:
            raise Wrong(HTTPStatus.NOT_FOUND, f"{server.model} is what is served here")
        self.model, self._weights = server.model, server.weights
        self.prompt = _said_last(body.get("messages")) if chat else body.get("prompt")
        if not isinstance(self.prompt, str):
            raise Wrong(HTTPStatus.BAD_REQUEST, "messages is a list of texts, and a prompt is a text")
        self.streamed = body.get("stream") is True
        self.wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self.most = body.get("max_completion_tokens") or body.get("max_tokens") or 256
        self._temperature, self._seed = body.get("temperature") or 0, body.get("seed") or 0
        if not isinstance(self.most, int) or not 0 < self.most <= MOST:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"max_tokens is up to {MOST}")
        if not isinstance(self._temperature, int | float) or not 0 <= self._temperature <= 2:
            raise Wrong(HTTPStatus.BAD_REQUEST, "temperature is from 0 to 2")
        if not isinstance(self._seed, int) or self._seed < 0:
            raise Wrong(HTTPStatus.BAD_REQUEST, "seed is a whole number")
        self._given = 0

    def answer(self) -> Iterator[str]:
        """What the model says, at its pace."""
        started = time.monotonic()
        for text in continued(self._weights, str(self.prompt), self._temperature, self._seed):
            self._given += 1
            yield text
            if self.streamed and (early := started + self._given / PACE - time.monotonic()) > 0:
                time.sleep(early)

    def usage(self) -> Mapping[str, object]:
        """How much was read and said."""
        read, said = len(str(self.prompt)), min(self._given, self.most)
        return {"usage": {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}}


def _said_last(messages: object) -> str | None:
    """The text of the last message: what the model goes on from."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    return content if isinstance(content, str) else None


def _begun(asked: _Asked, kind: str) -> Mapping[str, object]:
    return {"id": f"answer-{time.time_ns()}", "object": kind, "created": int(time.time()), "model": asked.model}


def _said(kind: str, text: str, ended: str | None = "length", *, streamed: bool = False) -> Mapping[str, object]:
    """One choice; `ended` is why it does: this model never comes to an end by itself."""
    if not kind.startswith("chat"):
        return {"index": 0, "text": text, "finish_reason": ended}
    return {
        "index": 0,
        "delta" if streamed else "message": {"role": "assistant", "content": text},
        "finish_reason": ended,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.pipeline.answering")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--told", type=Path)
    parser.add_argument("--port", type=int, default=0, help="where to listen [default: any that is free]")
    arguments = parser.parse_args()
    credential = sys.stdin.readline().strip()
    if not credential:
        raise SystemExit("its standard input says which credential it wants")
    server = Server(load(arguments.folder), arguments.model, credential, arguments.told, arguments.port)
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}/v1"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
