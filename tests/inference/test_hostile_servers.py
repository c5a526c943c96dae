"""Servers that answer as no server should: each ends in a failure that is told, and takes neither memory nor the next answer."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec

import pytest

from nomoat.core.errors import Unavailable
from nomoat.core.inference import Dialect, Upstream
from nomoat.core.names import Classification
from nomoat.stores.upstreams import Unsent, Upstreams
from nomoat.wire import connections
from nomoat.wire.connections import Pool

P = ParamSpec("P")
Said = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PLENTY = 64 << 20  # bytes that a server is ready to send in vain
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PADDING = b"x-a: " + b"y" * 4000 + b"\r\n"


def played(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test in a loop of its own, which a server cannot make hang."""

    @wraps(test)
    def play(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return play


class Server:
    """A server that says what it is told to, and where it is. `sent` counts the bytes that it got rid of."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent = 0

    def upstream(self, url: str = "http://127.0.0.1:{port}/v1", *, private: bool = True, **more: int) -> Upstream:
        return Upstream(
            "u",
            url.format(port=self.port),
            Dialect.OPENAI,
            Classification.PUBLIC,
            external=False,
            region="",
            private=private,
            first_byte_s=more.get("first_byte_s", 60),
            timeout_s=more.get("timeout_s", 60),
        )


@asynccontextmanager
async def serving(said: Said) -> AsyncGenerator[Server]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await said(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield Server(listening.sockets[0].getsockname()[1])


def words(*parts: bytes) -> Said:
    """Answer one request with these bytes, whatever it was."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        await reader.read()  # until the other side leaves

    return say


async def asked(servers: Upstreams, upstream: Upstream, body: bytes = b"{}") -> tuple[int, bytes]:
    answer = await servers.ask(upstream, "chat/completions", {}, body)
    try:
        parts: list[bytes] = []
        while part := await answer.part():
            parts.append(part)
        return answer.status, b"".join(parts)
    finally:
        answer.end()


async def failure(said: Said, body: bytes = b"{}") -> str:
    servers = Upstreams()
    async with serving(said) as server:
        with pytest.raises(Unavailable) as failed:
            await asked(servers, server.upstream(), body)
    servers.close()
    return str(failed.value)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", PADDING),
        (b"HTTP/1.1 200 OK\r\nx-a: ", b"y" * 4000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (CHUNKED + b"0\r\n", PADDING),
        (CHUNKED + b"0\r\nx-a: ", b"y" * 4000),
        (CHUNKED + b"1;x=", b"y" * 4000),
    ],
    ids=["headers", "a-header", "provisional", "trailers", "a-trailer", "an-extension"],
)
@played
async def test_what_is_no_answer_is_not_read_without_end(begin: bytes, more: bytes) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begin)
        while sent < PLENTY:
            writer.write(more)
            await writer.drain()
            sent += len(more)

    await failure(flood)
    assert sent < PLENTY, "all of it was taken, and kept"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.1 799 Odd\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 3\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
        CHUNKED + b"ZZ\r\nabcde\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nabcdeX\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-request-id: a\r\n b\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nx-request-id: a\0b\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\nx-request-id: a\ncontent-length: 2\n\n{}",
    ],
)
@played
async def test_an_answer_that_can_be_read_in_two_ways_is_none(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert "u " in await failure(words(answer))
    assert not caplog.records, "it is nobody's bug"


@pytest.mark.parametrize("tail", [EMPTY, b"HTTP/1.1 200 OK\r\ncontent-le", b"H"], ids=["whole", "begun", "a-byte"])
@played
async def test_what_follows_an_answer_is_not_the_next_caller_s(tail: bytes) -> None:
    taken = 0

    async def stuffed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        while True:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(EMPTY + tail)

    servers = Upstreams()
    async with serving(stuffed) as server:
        for _ in range(2):
            assert await asked(servers, server.upstream()) == (200, b"{}")
        servers.close()
    assert taken == 2, "the connection was used again"


@pytest.mark.parametrize("over", [lambda pool: pool.forget(None), lambda pool: pool.__exit__()], ids=["forget", "end"])
@played
async def test_what_was_under_way_when_a_pool_was_emptied_is_not_kept_in_it(over: Callable[[Pool], None]) -> None:
    async with serving(words(EMPTY)) as server:
        pool = Pool(f"http://127.0.0.1:{server.port}", None)
        connection = await pool.take()
        connection.begin("GET", owes_body=False)
        await connection.write(b"GET / HTTP/1.1\r\n\r\n")
        await connection.answer()
        assert b"".join([part async for part in connection.parts()]) == b"{}"
        assert connection.is_reusable
        over(pool)
        pool.give_back(connection)
        assert not connection.is_reusable


@played
async def test_a_server_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_TIMEOUT", 0.2)

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is one that reads
        await asyncio.sleep(20)

    assert "does not take" in await failure(deaf, b"x" * (30 << 20))


@played
async def test_an_answer_before_the_end_of_a_large_prompt_is_passed_on() -> None:
    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        await asyncio.sleep(20)

    servers = Upstreams()
    async with serving(hasty) as server:
        assert await asked(servers, server.upstream(), b"x" * (30 << 20)) == (413, b"{}")
    servers.close()


@played
async def test_a_url_in_capitals_is_not_asked_in_the_clear() -> None:
    heard = b""

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += await reader.read(1 << 16)

    servers = Upstreams(ssl.create_default_context())
    async with serving(listen) as server:
        with pytest.raises(Unavailable):
            await asked(servers, server.upstream("HTTPS://127.0.0.1:{port}/v1"), b"a secret prompt")
    servers.close()
    assert heard[:1] == b"\x16", "a TLS record, and no request"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[fec0::1]",
        "169.254.169.254",
        "100.100.100.200",
        "224.0.0.1",
        "[ff02::1]",
    ],
)
@played
async def test_no_spelling_of_an_address_leads_inside(host: str) -> None:
    servers = Upstreams()
    async with serving(words(EMPTY)) as server:
        with pytest.raises(Unsent, match="not public"):
            await asked(servers, server.upstream(f"https://{host}:{{port}}/v1", private=False))
    servers.close()


@played
async def test_a_name_that_cannot_be_looked_up_is_a_failure_and_no_bug() -> None:
    servers = Upstreams()
    for host in ("a" * 64 + ".example", "a..example"):
        with pytest.raises(Unsent):
            await asked(servers, Server(443).upstream(f"https://{host}/v1", private=False))
    servers.close()


@pytest.mark.parametrize("body", [b"", b"data: [DONE]\n\n"])
def test_an_answer_that_says_no_length_ends_with_its_connection(body: bytes) -> None:
    """RFC 9112, section 6.3, rule 8; servers that are small answer like that, streams too."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + body)
        await writer.drain()

    async def run() -> None:
        servers = Upstreams()
        async with serving(say) as server:
            for _ in range(2):
                assert await asked(servers, server.upstream()) == (200, body)
        servers.close()

    asyncio.run(run())
