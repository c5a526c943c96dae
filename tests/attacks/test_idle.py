"""Attacks by saying nothing: a connection that asks for nothing does not stay for good."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from nomoat.protocols.http.asgi import Receive, Scope, Send
from nomoat.server.connections import GatewayConnection

HEAD = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\n"


async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An answer that does not wait for the body."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": b"no", "more_body": False})


@pytest.mark.parametrize("sent", [HEAD + b"1234567890|\r\n", HEAD + b"|1"], ids=["an-empty-line", "some-of-a-body"])
def test_attack_bytes_that_are_no_request_do_not_keep_a_connection_for_good(sent: bytes) -> None:
    """An empty line, or some of a body that was refused already, ended the idle time and began nothing else."""

    async def run() -> None:
        async with serving(refuse) as (reader, writer, _):
            first, _, second = sent.partition(b"|")
            writer.write(first)
            assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 401")
            writer.write(second)
            async with asyncio.timeout(3):
                assert await reader.read() == b""

    asyncio.run(run())


def test_attack_a_body_that_stops_arriving_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It held its place, and what had arrived of it, until the session was over."""
    monkeypatch.setattr("nomoat.server.connections.BODY_TIMEOUT_S", 0.2)
    monkeypatch.setattr("nomoat.server.connections.HEADER_TIMEOUT_S", 0.1)
    heard: list[str] = []

    async def take(_scope: Scope, receive: Receive, _send: Send) -> None:
        while heard[-1:] != ["http.disconnect"]:
            heard.append((await receive())["type"])

    async def run() -> None:
        async with serving(take) as (reader, writer, counted):
            writer.write(HEAD + b"12345")
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            assert counted == ["body-too-late"]
        assert heard == ["http.request", "http.disconnect"]

    asyncio.run(run())


def test_a_body_waits_for_who_is_slow_to_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing arrives while nothing is taken, which is not the client's doing."""
    monkeypatch.setattr("nomoat.server.connections.BODY_TIMEOUT_S", 0.1)
    monkeypatch.setattr("nomoat.server.connections.HEADER_TIMEOUT_S", 0.1)
    size = 8 << 20

    async def take(_scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(1)
        taken, more = 0, True
        while more:
            message = await receive()
            taken, more = taken + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]})
        await send({"type": "http.response.body", "body": b"%d" % taken, "more_body": False})

    async def run() -> None:
        async with serving(take) as (reader, writer, counted):
            writer.write(HEAD.replace(b"10", b"%d" % size) + bytes(size))
            async with asyncio.timeout(20):
                assert (await reader.readuntil(b"%d" % size)).startswith(b"HTTP/1.1 200")
            assert counted == []

    asyncio.run(run())


@asynccontextmanager
async def serving(
    application: Callable[[Scope, Receive, Send], Awaitable[None]],
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter, list[str]]]:
    """A connection to a server of ours, and why it ended connections."""
    config = uvicorn.Config(
        application, loop="none", lifespan="off", log_config=None, timeout_keep_alive=cast("int", 0.3)
    )
    config.load()
    state, counted = ServerState(), list[str]()
    server = await asyncio.get_running_loop().create_server(
        lambda: GatewayConnection(
            lambda _source, reason: counted.append(reason), lambda _source: None, config, state, {}
        ),
        "127.0.0.1",
        0,
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield reader, writer, counted
        writer.close()
