"""Attacks by saying nothing: a connection that asks for nothing does not stay for good."""

import asyncio
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
        config = uvicorn.Config(
            refuse, loop="none", lifespan="off", log_config=None, timeout_keep_alive=cast("int", 0.3)
        )
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: GatewayConnection(lambda _source, _reason: None, lambda _source: None, config, state, {}),
            "127.0.0.1",
            0,
        )
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            first, _, second = sent.partition(b"|")
            writer.write(first)
            assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 401")
            writer.write(second)
            async with asyncio.timeout(3):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(run())
