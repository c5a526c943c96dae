"""What model servers say that should not be said, byte by byte: each as a whole answer or as a stream."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Literal

from tests.content import corpus

Said = bytes | Literal["reset", "wait"]

OPENAI: Final = b'{"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "slowly"}, "finish_reason": "stop"}]}'
EVENT: Final = b'data: {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": null}]}\n\n'
MALFORMED: Final = b'data: {"a": \n\nnothing\n\ndata: \xff\xfe\n\nevent: \x00\nid: 1\nretry: x\n\n: only a comment\n\ndata\n\ndata: [DONE]\n\n'
PLENTY: Final = 1 << 16  # parts of 64 KiB that a server is ready to say in vain: 4 GiB
FILLER: Final = b"x" * (64 << 10)


def head(streamed: bool, *more: bytes, status: bytes = b"200 OK", length: int | None = None) -> bytes:
    kind = b"text/event-stream" if streamed else b"application/json"
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    lines = b"".join(line + b"\r\n" for line in (b"content-type: " + kind, framing, *more))
    return b"HTTP/1.1 " + status + b"\r\n" + lines + b"\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


SECRET: Final = corpus.secrets()["aws-access-key"][0].encode()
LAST: Final = b"0\r\n\r\n"


def spoken(*, streamed: bool) -> bytes:
    """What a server says that is merely slow."""
    return EVENT * 3 + b"data: [DONE]\n\n" if streamed else OPENAI


def _slow(streamed: bool) -> Iterator[Said]:
    yield "wait"
    yield head(streamed)
    said = spoken(streamed=streamed)
    for at in range(0, len(said), 40):
        yield "wait"
        yield chunk(said[at : at + 40])
    yield LAST


def _status(status: bytes, *more: bytes) -> Callable[[bool], Iterator[Said]]:
    def say(_: bool) -> Iterator[Said]:
        body = b'{"type": "error", "error": {"message": "not now", "type": "overloaded_error"}}'
        yield head(False, *more, status=status, length=len(body)) + body

    return say


def _packed(pack: Callable[[bytes], bytes], *lines: bytes) -> Callable[[bool], Iterator[Said]]:
    def say(streamed: bool) -> Iterator[Said]:
        body = pack(b"0" * 10_000_000)
        yield head(streamed, *lines) + chunk(body) + LAST

    return say


def _reset_before(_: bool) -> Iterator[Said]:
    yield "reset"


def _reset_within_the_head(streamed: bool) -> Iterator[Said]:
    yield head(streamed)[:-10]
    yield "wait"
    yield "reset"


def _reset_within(streamed: bool) -> Iterator[Said]:
    yield head(streamed) + chunk(spoken(streamed=streamed)[:40])
    yield "wait"
    yield "reset"


def _closed_within(streamed: bool) -> Iterator[Said]:
    yield head(streamed) + chunk(spoken(streamed=streamed)[:40])


def _malformed(streamed: bool) -> Iterator[Said]:
    yield head(streamed) + chunk(MALFORMED) + LAST


def _event_without_end(streamed: bool) -> Iterator[Said]:
    yield head(streamed) + chunk(EVENT + EVENT[:50]) + LAST


def _endless_line(streamed: bool) -> Iterator[Said]:
    yield head(streamed) + chunk(b'data: {"choices": [{"index": 0, "delta": {"content": "')
    for _ in range(PLENTY):
        yield chunk(FILLER)


def _endless_headers(streamed: bool) -> Iterator[Said]:
    del streamed
    yield b"HTTP/1.1 200 OK\r\n"
    for _ in range(PLENTY):
        yield b"x-a: " + FILLER[:8000] + b"\r\n"


def _huge(streamed: bool) -> Iterator[Said]:
    yield head(streamed, length=PLENTY * len(FILLER)) + b'{"id": "'
    for _ in range(PLENTY - 1):
        yield FILLER


def _too_short(streamed: bool) -> Iterator[Said]:
    said: bytes = spoken(streamed=streamed)
    yield head(streamed, length=len(said) + 100) + said


def _too_long(streamed: bool) -> Iterator[Said]:
    said = spoken(streamed=streamed)
    yield head(streamed, length=len(said)) + said + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"


def _two_lengths(streamed: bool) -> Iterator[Said]:
    yield head(streamed, b"content-length: 2", length=3) + b"{} "


def _no_http(_: bool) -> Iterator[Said]:
    yield b"SSH-2.0-OpenSSH_9.7\r\n"


def _named(streamed: bool) -> Iterator[Said]:
    yield head(streamed, b"x-request-id: " + SECRET, b"request-id: req-1", length=len(OPENAI)) + OPENAI


def _twofold(streamed: bool) -> Iterator[Said]:
    said = OPENAI.replace(b'"content": ', b'"content": "%s", "content": ' % SECRET)
    yield head(streamed, length=len(said)) + said


def _capitals(streamed: bool) -> Iterator[Said]:
    yield head(streamed).replace(b"text/event-stream", b"Text/Event-Stream") + chunk(EVENT) * 10_000 + LAST


FAULTY: Final[dict[str, Callable[[bool], Iterator[Said]]]] = {
    "slow": _slow,
    "reset-before": _reset_before,
    "reset-within-the-head": _reset_within_the_head,
    "reset-within": _reset_within,
    "closed-within": _closed_within,
    "malformed": _malformed,
    "an-event-without-end": _event_without_end,
    "an-endless-line": _endless_line,
    "endless-headers": _endless_headers,
    "huge": _huge,
    "too-short": _too_short,
    "too-long": _too_long,
    "two-lengths": _two_lengths,
    "no-http": _no_http,
    "bomb-gzip": _packed(gzip.compress, b"content-encoding: gzip"),
    "bomb-deflate": _packed(zlib.compress, b"content-encoding: deflate"),
    "bomb-twice": _packed(lambda data: gzip.compress(gzip.compress(data)), b"content-encoding: gzip, gzip"),
    "bomb-in-transfer": _packed(gzip.compress, b"transfer-encoding: gzip"),
    "status-429": _status(b"429 Too Many Requests", b"retry-after: 7"),
    "status-500": _status(b"500 Internal Server Error"),
    "status-503": _status(b"503 Service Unavailable", b"retry-after: 7"),
    "status-529": _status(b"529 Overloaded"),
}
LYING: Final[dict[str, Callable[[bool], Iterator[Said]]]] = {
    "named": _named,
    "twofold": _twofold,
    "late": _status(b"504 Gateway Timeout"),
    "capitals": _capitals,
}
"""What is no fault of its form, and is for the tests that name it."""


def named(model: str) -> Callable[[bool], Iterator[Said]] | None:
    """What the model of this name says, if it is a fault."""
    kind, _, name = model.partition(":")
    return {**FAULTY, **LYING}.get(name) if kind == "fault" else None
