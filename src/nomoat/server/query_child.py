"""One child of the query process, as the gateway has it: a socket to it, and what ends it.

Rules: what comes from it is a claim of a process that read hostile bytes. It is ended by the kernel (pidfd), so it
need not agree.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, final

from nomoat.core import claims
from nomoat.server.zygote import Zygote

LONGEST_LINE: Final = 64 << 10
PART: Final = 256 << 10


@final
class Child:
    """A forked child. `channel` is the socket to it, `handle` its pidfd; both are this object's."""

    def __init__(self, channel: socket.socket, handle: int) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._handle = handle
        self._ahead = bytearray()

    async def say(self, content: bytes | memoryview) -> None:
        """Send bytes. Raises `OSError` when nobody takes them."""
        await asyncio.get_running_loop().sock_sendall(self._channel, content)

    async def tell(self, *documents: Mapping[str, Any]) -> None:
        """Send lines of JSON."""
        await self.say(b"".join(json.dumps(document).encode() + b"\n" for document in documents))

    async def line(self) -> Mapping[str, Any]:
        """Receive a line of JSON. Raises `EOFError` or `ValueError`."""
        while b"\n" not in self._ahead:
            part = await self._receive(PART)
            self._ahead += part
            if len(self._ahead) > LONGEST_LINE + PART:
                raise ValueError("a line without an end")
        line, _, rest = bytes(self._ahead).partition(b"\n")
        self._ahead = bytearray(rest)
        return claims.table(claims.parse(line))

    async def parts(self, size: int) -> AsyncIterator[bytes]:
        """Receive so many bytes. Raises `EOFError`."""
        left = size
        while left:
            part = bytes(self._ahead[:left]) or await self._receive(min(left, PART))
            self._ahead.clear()
            left -= len(part)
            yield part

    async def _receive(self, most: int) -> bytes:
        part = await asyncio.get_running_loop().sock_recv(self._channel, most)
        if not part:
            raise EOFError
        return part

    def end(self) -> None:
        """End it, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        os.close(self._handle)
        self._channel.close()


@asynccontextmanager
async def forked(zygote: Zygote, *given: int) -> AsyncGenerator[Child]:
    """A child with these descriptors, for the time of the `async with`. Raises `OSError` when there can be none."""
    making = asyncio.ensure_future(asyncio.to_thread(_fork, zygote, given))
    try:
        child = await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(_end_unwanted)
        raise
    try:
        yield child
    finally:
        child.end()


def _fork(zygote: Zygote, given: tuple[int, ...]) -> Child:
    channel = zygote.ask(*given)
    try:
        _, handles, _, _ = socket.recv_fds(channel, 1, 1)
    except OSError:
        channel.close()
        raise
    if not handles:
        channel.close()
        raise ConnectionError("the child ended at once")
    return Child(channel, handles[0])


def _end_unwanted(making: "asyncio.Future[Child]") -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().end()
