"""A simulator of model servers, with the faults that such servers have: the model's name in a request picks one."""

import asyncio
import gzip
import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.inference import faults, replies, vectors

CHUNKS = 5
SCRIPTED = "scripted"
BUSY_ONCE = "busy-once"


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
    """What was asked, how often a connection ended before its answer did, and whether one was not read on.

    `says` is what the model `scripted` answers, to whoever asks in which protocol.
    """

    port: int = 0
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list[Any])
    left: int = 0
    held: bool = False
    telling: list[str] = field(default_factory=list[str])
    says: str = "hello"
    was_busy: bool = False

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
        if fault := faults.named(model):
            return await _misspeak(fault(body.get("stream", False)), writer)
        if model in ABRUPT:
            writer.write(ABRUPT[model])
            await writer.drain()
            writer.transport.abort() if model == "reset-before" else None
            return False
        if model == BUSY_ONCE and not self.was_busy:
            self.was_busy = True
            _whole(writer, 429, {"error": {"message": "in a second"}}, {"retry-after": "1"})
        elif model in FAILING:
            _whole(writer, *FAILING[model])
        elif vectors.makes(path, model):
            _raw(writer, 200, vectors.answer(model, body), {"content-type": "application/json"})
        elif model == "bomb":
            content = gzip.compress(b"0" * 1_000_000)
            _raw(writer, 200, content, {"content-encoding": "gzip", "content-type": "application/json"})
        elif model == "teller":
            await self._tell(path, body, writer)
        elif body.get("stream") and (model == SCRIPTED or path.endswith("/responses")):
            await self._recite(path, model, writer)
        elif body.get("stream"):
            await self._stream(body, reader, writer, anthropic=anthropic)
        else:
            _whole(writer, 200, self._said(path, model, body))
        await writer.drain()
        return True

    def _said(self, path: str, model: str, body: dict[str, Any]) -> dict[str, Any]:
        """A whole answer."""
        text = self.says if model == SCRIPTED else "hello"
        if path.endswith("/embeddings"):
            return _embedding(model)
        if path.endswith("/count_tokens"):
            return {"input_tokens": 7}
        if path.endswith("/messages"):
            return {**_message(model), "content": [{"type": "text", "text": text}]}
        if path.endswith("/responses"):
            return replies.response(model, text)
        return _completion(model, body, text) if path.endswith("/chat/completions") else replies.filled(model, body)

    async def _recite(self, path: str, model: str, writer: asyncio.StreamWriter) -> None:
        """What a script or the Responses API says, as a stream."""
        text = self.says if model == SCRIPTED else "hello"
        events = (
            replies.message_events(_message(model), text)
            if path.endswith("/messages")
            else replies.response_events(model, text)
            if path.endswith("/responses")
            else replies.chat_events(model, text)
        )
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for event in events:
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async def _tell(self, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        """Say what is to be told, in its pieces: as text, or as a tool's arguments."""
        pieces = self.telling
        anthropic = path.endswith("/messages")
        if not body.get("stream"):
            whole = _message("teller") if anthropic else _completion("teller", {})
            if anthropic:
                whole["content"][0]["text"] = "".join(pieces)
            else:
                whole["choices"][0]["message"]["content"] = "".join(pieces)
            _whole(writer, 200, whole)
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for event in _told(pieces, anthropic=anthropic, tool=bool(body.get("tools"))):
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n")

    async def _stream(
        self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, anthropic: bool
    ) -> None:
        model = body["model"]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(10**9 if model in {"endless", "flood", "talker"} else CHUNKS):
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
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 30, "completion_tokens": 70, "total_tokens": 100}
            event = f"data: {json.dumps({**_chunk(model), 'choices': [], 'usage': usage})}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        last = b"data: [DONE]\n\n"
        writer.write((b"" if anthropic else b"%x\r\n%s\r\n" % (len(last), last)) + b"0\r\n\r\n")


async def _misspeak(fault: Iterator[faults.Said], writer: asyncio.StreamWriter) -> bool:
    """Say what a fault says, as fast as it is taken; the connection ends with it."""
    for said in fault:
        match said:
            case "reset":
                writer.transport.abort()
            case "wait":
                await asyncio.sleep(0.05)
            case _:
                writer.write(said)
                await writer.drain()
    return False


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


def _completion(model: str, body: dict[str, Any], text: str = "hello") -> dict[str, Any]:
    tools = body.get("tools")
    said: dict[str, Any] = {
        "role": "assistant",
        "content": body["messages"][-1]["content"] if model == "echo" else text,
    }
    if tools and model != SCRIPTED:
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


def _told(pieces: list[str], *, anthropic: bool, tool: bool) -> list[bytes]:
    if not anthropic:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": piece} for piece in pieces]
        if tool:
            function = {"id": "call-1", "type": "function", "function": {"name": "write", "arguments": ""}}
            begun = {"role": "assistant", "tool_calls": [{"index": 0, **function}]}
            deltas = [begun, *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces)]
        chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "teller"}
        choices = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        return [*(f"data: {json.dumps(each)}\n\n".encode() for each in choices), b"data: [DONE]\n\n"]
    kind = {"type": "tool_use", "id": "t-1", "name": "write", "input": {}} if tool else {"type": "text", "text": ""}
    said = [
        {"type": "input_json_delta", "partial_json": piece} if tool else {"type": "text_delta", "text": piece}
        for piece in pieces
    ]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**_message("teller"), "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": kind},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in said),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_stop"},
    ]
    return [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events]


def _delta(model: str, number: int, *, anthropic: bool) -> bytes:
    if anthropic:
        begin = {"type": "message_start", "message": {**_message(model), "content": []}}
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        more = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "he"}}
        told: list[dict[str, Any]] = (
            [begin, block]
            if number == 0
            else [more]
            if number < CHUNKS - 1
            else [
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
                {"type": "message_stop"},
            ]
        )
        return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in told)
    said = "word " * 80 if model == "talker" else f"w{number} "
    choice = {"index": 0, "delta": {"content": said}, "finish_reason": None}
    return f"data: {json.dumps({**_chunk(model), 'choices': [choice]})}\n\n".encode()


def _chunk(model: str) -> dict[str, Any]:
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model}


@contextmanager
def simulator() -> Generator[Simulator]:
    """A simulator that runs in a thread of its own, on a free port of loopback."""
    made, loop = Simulator(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(made.serve, "127.0.0.1", 0), loop).result(10)
    made.port = server.sockets[0].getsockname()[1]
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
