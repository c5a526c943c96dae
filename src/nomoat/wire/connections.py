"""Connections to a server of HTTP/1.1 (RFC 9112): one exchange at a time on each, streamed both ways.

Rules: what is read is parsed by llhttp and never held beyond a few buffers, whatever is sent in the place of an answer. A
connection is used again only when its last exchange came to its end, and nothing came after it; one that broke says so,
and whether anything had been answered.
"""

import asyncio
import math
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self, cast
from urllib.parse import urlsplit

import httptools

from nomoat.core.errors import NoMoatError

HIGH: Final = 256 * 1024  # bytes of an answer that are held when its reader is slow
MOST_FRAMING: Final = 128 * 1024  # bytes on end that are neither an answer's head nor its body
REUSED_FOR: Final = 20.0  # seconds; our gateway closes idle connections after 30, others later
MOST_IDLE: Final = 64
CONNECT_TIMEOUT: Final = 10.0
ANSWER_TIMEOUT: Final = 600.0
WRITE_TIMEOUT: Final = 120.0  # for what is sent at once
NEVER: Final = math.inf
BODILESS: Final = frozenset({204, 304})


class Broken(NoMoatError):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Head:
    """An answer's status and headers, names in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]]

    def get(self, name: bytes) -> bytes:
        """The first header of this name; empty without one."""
        return next((value for each, value in self.headers if each == name), b"")


class ServerConnection(asyncio.Protocol):
    """One connection to a server."""

    def __init__(self) -> None:
        self.used = False  # whether an exchange came to its end on it before
        self.idle_since = 0.0
        self.era = 0  # of its pool, when it was made
        self.head: Head | None = None
        self.may_continue = False
        self.owes_body = False  # the server would take what is sent next for the rest of a body
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._bodiless = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._framing = 0
        self._complete = False
        self._keep = False
        self._lost = False
        self._full = False  # the server reads slower than we write
        self._waiter: asyncio.Future[None] | None = None

    # -- asyncio's side -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._lost = True
        self._wake()

    def eof_received(self) -> None:
        """Close, which ends an answer that says no length (RFC 9112, section 6.3, rule 8), and breaks off any other."""
        if self.head is not None and not (self.head.get(b"content-length") or self.head.get(b"transfer-encoding")):
            self._complete, self._keep = True, False
            self._wake()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self._complete:  # nothing was asked
            self.abort()
            return
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
            if self._framing > MOST_FRAMING:  # llhttp has no limit of its own
                raise httptools.HttpParserError("headers without end, or trailers, or provisional answers")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                self._lost = True
            self._keep = False
            self._transport.abort()
        self._wake()

    # -- llhttp's side ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Take the first byte of an answer."""
        if self.head is not None:
            raise httptools.HttpParserError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of an answer; trailers are dropped (RFC 9110, section 6.5.1)."""
        if self.head is None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the end of an answer's headers, or of a provisional answer's (RFC 9110, section 15.2)."""
        status, headers = self._parser.get_status_code(), self._headers
        self._headers = []
        if status < 200:
            self.may_continue = True
            return
        self.head, self._framing = Head(status, headers), 0
        self._keep = self._parser.should_keep_alive()
        # llhttp would wait for the body that a Content-Length announces, and that is not sent.
        if self._bodiless or status in BODILESS:
            self._complete = True

    def on_body(self, body: bytes) -> None:
        """Take a part of an answer."""
        self._parts.append(body)
        self._held += len(body)
        self._framing = 0
        if self._held > HIGH:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Take the end of an answer."""
        if self.head is not None:
            self._complete = True

    # -- one exchange -------------------------------------------------------------------------------

    def begin(self, method: str, *, owes_body: bool) -> None:
        """Begin an exchange; what the last one left is gone."""
        self.owes_body = owes_body
        self.head, self.may_continue, self._complete, self._keep = None, False, False, False
        self._bodiless = method == "HEAD"
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._held, self._framing = [], 0, 0
        self._parts.clear()

    async def write(self, data: bytes) -> None:
        """Send something, and wait while the server reads slowly (unless it answered already). Raises `Broken`."""
        if self._lost:
            raise Broken("the connection to the server ended")
        self._transport.write(data)
        if self._full:
            try:
                await self._until(lambda: not self._full or self.head is not None, WRITE_TIMEOUT)
            except TimeoutError:
                raise Broken("the server does not take what is sent") from None

    async def invited(self, timeout: float) -> bool:
        """Wait until the server wants the body; return False when it answered without it."""
        try:
            await self._until(lambda: self.may_continue or self.head is not None, timeout)
        except TimeoutError:
            return True  # RFC 9110, section 10.1.1: not everybody answers such an expectation
        return self.head is None

    async def answer(self, seconds: float = ANSWER_TIMEOUT) -> Head:
        """Wait for the answer's status and headers. Raises `Broken`."""
        if self.head is None:
            try:
                await self._until(lambda: self.head is not None, seconds)
            except TimeoutError:
                raise Broken("the server did not answer") from None
        return cast("Head", self.head)

    async def part(self, seconds: float = NEVER) -> bytes:
        """What is there of the answer's body, waiting for a part of it; b"" after the last one.

        Raises `Broken` when it ends too early, `TimeoutError` when nothing comes for so many seconds.
        """
        if not self._parts and not self._complete:
            await self._until(lambda: bool(self._parts) or self._complete, seconds)
        if not self._parts:
            return b""
        part = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        if not self._lost and not self._transport.is_reading():
            self._transport.resume_reading()
        return part

    async def parts(self) -> AsyncGenerator[bytes]:
        """The answer's body as it arrives. Raises `Broken` when it ends too early."""
        while part := await self.part():
            yield part

    @property
    def is_over(self) -> bool:
        """Whether the answer came to its end, and was taken."""
        return self._complete and not self._parts

    @property
    def is_reusable(self) -> bool:
        """Whether another exchange can follow."""
        ended = self._complete and not self._parts and not self.owes_body
        return ended and self._keep and not self._lost and not self._transport.is_closing()

    def abort(self) -> None:
        """End the connection at once."""
        self._lost = True
        self._transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition. Raises `Broken`, and `TimeoutError` after so many seconds."""
        timer: asyncio.TimerHandle | None = None
        try:
            while not condition():
                if self._lost:
                    raise Broken("the connection to the server ended")
                self._waiter = self._loop.create_future()
                if seconds < NEVER and timer is None:
                    # A timer for each wait costs a third of what `asyncio.timeout` does.
                    timer = self._loop.call_later(seconds, self._expire)
                await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _expire(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())


class Pool:
    """The connections to the server at `url` that wait for their next exchange.

    `context` is for TLS (None: there is none). `resolve` says to which address a host's name leads (host, port →
    address) where that is not the system's to say.
    """

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext | None,
        resolve: Callable[[str, int], Awaitable[str]] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or (80 if context is None else 443)
        self._context = context
        self._resolve = resolve
        self._idle: list[ServerConnection] = []
        self._era = 0  # what was made before it changed is not kept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget(self._context)

    async def take(self, *, fresh: bool = False) -> ServerConnection:
        """A connection; a new one if `fresh`. Raises `OSError`, among them the errors of TLS."""
        loop = asyncio.get_running_loop()
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.is_reusable and loop.time() - connection.idle_since < REUSED_FOR:
                connection.used = True
                return connection
            connection.abort()
        era = self._era
        async with asyncio.timeout(CONNECT_TIMEOUT):
            address = await self._resolve(self._host, self._port) if self._resolve else self._host
            named = self._host if self._context else None
            _, made = await loop.create_connection(
                ServerConnection, address, self._port, ssl=self._context, server_hostname=named
            )
        made.era = era
        return made

    def give_back(self, connection: ServerConnection) -> None:
        """Keep a connection for the next exchange, or end it."""
        if connection.is_reusable and connection.era == self._era and len(self._idle) < MOST_IDLE:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    def forget(self, context: ssl.SSLContext | None) -> None:
        """Let the next connections be made with another context, and none that there is be used for another exchange."""
        self._context = context
        self._era += 1
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
