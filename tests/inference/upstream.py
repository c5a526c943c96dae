"""A simulator of model servers, with the faults that such servers have: the model's name in a request picks one."""

import asyncio
import gzip
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

CHUNKS = 5


ABRUPT = {
    "reset-before": b"",
    "short": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{}",
    "no-http": b"SSH-2.0-OpenSSH_9.7\r\n",
}
FAILING: dict[str, tuple[int, object, dict[str, str]]] = {
    "too-many": (429, {"error": {"message": "slow down", "type": "rate_limit"}}, {"retry-after": "7"}),
    "broken": (500, {"error": {"message": "it is on fire", "type": "server_error"}}, {}),
    "credential": (401, {"error": {"message": "key sk-123 is bad"}}, {}),
    "redirect": (307, {}, {"location": "http://169.254.169.254/"}),
}


@dataclass
class Simulator:
    """What was asked, how often a connection ended before its answer did, and whether one was not read on."""

    port: int = 0
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list[Any])
    left: int = 0
    held: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                path, headers = head
                body = orjson.loads(await reader.readexactly(int(headers["content-length"])))
                self.asked.append((path, headers, body))
                if body["model"] == "silent":  # reads on until the other side leaves
                    await reader.readexactly(1)
                if not await self._answer(path, body, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left += 1
        finally:
            writer.close()

    async def _answer(
        self, path: str, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        model = body["model"]
        anthropic = path.endswith("/messages")
        if model in ABRUPT:
            writer.write(ABRUPT[model])
            await writer.drain()
            writer.transport.abort() if model == "reset-before" else None
            return False
        if model in FAILING:
            _whole(writer, *FAILING[model])
        elif model == "bomb":
            content = gzip.compress(b"0" * 1_000_000)
            _raw(writer, 200, content, {"content-encoding": "gzip", "content-type": "application/json"})
        elif body.get("stream"):
            await self._stream(model, reader, writer, anthropic=anthropic)
        else:
            _whole(
                writer,
                200,
                _embedding(model)
                if path.endswith("/embeddings")
                else _message(model)
                if anthropic
                else _completion(model, body),
            )
        await writer.drain()
        return True

    async def _stream(
        self, model: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, anthropic: bool
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(10**9 if model in {"endless", "flood"} else CHUNKS):
            if model == "silent-mid" and number == 1:
                await writer.drain()
                await reader.readexactly(1)
            if model == "reset-mid" and number == 2:
                await writer.drain()
                writer.transport.abort()
                raise ConnectionResetError
            event = _delta(model, number, anthropic=anthropic) * (1000 if model == "flood" else 1)
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.held = self.held or writer.transport.get_write_buffer_size() > 0
            await writer.drain()
            await asyncio.sleep(0 if model == "flood" else 0.02)
        last = b"data: [DONE]\n\n"
        writer.write((b"" if anthropic else b"%x\r\n%s\r\n" % (len(last), last)) + b"0\r\n\r\n")


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    line = await reader.readline()
    if not line:
        return None
    headers = {}
    while (more := await reader.readline()) not in {b"\r\n", b""}:
        name, _, value = more.decode().partition(":")
        headers[name.lower()] = value.strip()
    return line.split()[1].decode(), headers


def _raw(writer: asyncio.StreamWriter, status: int, content: bytes, headers: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, f"content-length: {len(content)}", "", ""]).encode() + content)


def _whole(writer: asyncio.StreamWriter, status: int, value: object, headers: dict[str, str] | None = None) -> None:
    cookie = {"set-cookie": "session=upstream", "content-type": "application/json"}
    _raw(writer, status, json.dumps(value).encode(), {**cookie, **(headers or {})})


def _completion(model: str, body: dict[str, Any]) -> dict[str, Any]:
    tools = body.get("tools")
    said: dict[str, Any] = {
        "role": "assistant",
        "content": body["messages"][-1]["content"] if model == "echo" else "hello",
    }
    if tools:
        name = tools[0]["function"]["name"]
        said = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call-1", "type": "function", "function": {"name": name, "arguments": "{}"}}],
        }
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return {"id": "c-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def _embedding(model: str) -> dict[str, Any]:
    found = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
    return {"object": "list", "model": model, "data": [found], "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def _message(model: str) -> dict[str, Any]:
    return {
        "id": "m-1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }


def _delta(model: str, number: int, *, anthropic: bool) -> bytes:
    if anthropic:
        begin = {"type": "message_start", "message": {**_message(model), "content": []}}
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        more = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "he"}}
        told: list[dict[str, Any]] = (
            [begin, block] if number == 0 else [more] if number < CHUNKS - 1 else [{"type": "message_stop"}]
        )
        return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in told)
    choice = {"index": 0, "delta": {"content": f"{number} "}, "finish_reason": None}
    each = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
    return f"data: {json.dumps(each)}\n\n".encode()


@contextmanager
def simulator() -> Generator[Simulator]:
    """A simulator that runs in a thread of its own, on a free port of loopback."""
    made, loop = Simulator(), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(made.serve, "127.0.0.1", 0))
    made.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    serving = asyncio.all_tasks() - {asyncio.current_task()}
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
