"""The HTTP server's connections: uvicorn's, plus what the path must know of them.

Rules: the client certificate comes from this connection's handshake and nowhere else. A request is for one host, and for
the same one wherever it says which (RFC 9112, section 3.2). Header floods,
unparsable requests, too many of them ahead of their answers and clients that never finish their headers,
or a body, are ended and counted. What is told of a request is never in the place of another one's answer.
"""

import asyncio
import math
import os
import re
import socket
import ssl
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast, final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from nomoat.core.connection import Connection
from nomoat.protocols.http.application import CONNECTION
from nomoat.server.corking import CorkedTransport

MOST_HEADERS: Final = 100
NEVER: Final = math.inf
MOST_HEADER_BYTES: Final = 32 * 1024
MOST_WAITING: Final = 16  # requests that were sent ahead of the answer to the one before them
HEADER_TIMEOUT_S: Final = 15.0
BODY_TIMEOUT_S: Final = 60.0  # without a further byte of a body that somebody waits for
VERSIONS: Final = frozenset({"1.0", "1.1"})
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[\w.~%!$&'()*+;=-]+)(?::[0-9]*)?")
_TOLD: Final = {
    "pipeline-overflow": "Too many requests ahead of their answers.",
    "header-overflow": "The headers are too large.",
    "ambiguous-host": "A request of HTTP/1.1 names its host once, as HOST or HOST:PORT, and its target names no other one.",
    "another-version": "HTTP/1.1 is spoken here, and HTTP/1.0.",
}
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER with a time of zero: reset instead of drain

Counted = Callable[[str, str], None]  # (source, reason)


@final
class GatewayConnection(HttpToolsProtocol):
    """One client connection; `count` is told of requests that never become one, `left` of its end."""

    def __init__(
        self,
        count: Counted,
        left: Callable[[str], None],
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._count = count
        self._left = left
        self._header_bytes = 0
        self._due = NEVER  # when the headers that are awaited must be complete, or more of a body be here
        self._owed = False  # the rest of a body
        self._timer: asyncio.TimerHandle | None = None
        self._refused = ""
        self._trailers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.transport = CorkedTransport(transport, self.loop)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        source = self.client[0] if self.client else "unknown"
        self._peer = str(transport.get_extra_info("peername")[0])
        self._connection = Connection(source, certificate, abort=lambda: _reset(transport))
        self.app_state = {**self.app_state, CONNECTION: self._connection}  # each request's scope gets a copy
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.closed = True
        if self._connection.left is not None:
            self._connection.left()
        self._left(self._peer)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        # Connection, transport and this refer to each other, and the collector looks at what lived long
        # hardly ever: what is over is let go of here.
        self._connection.abort = _nothing
        self.app_state.clear()
        self.pipeline.clear()
        self.cycle = None  # type: ignore[assignment]  # as uvicorn begins

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._trailers = False
        self._await_headers()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._admit_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are limited like headers and dropped (RFC 9110, section 6.5.1): uvicorn would add them to
        # the headers of a request that may be decided on already, a credential among them.
        if not self._trailers:
            super().on_header(name, value)
        self._admit_header(len(name) + len(value))

    def on_headers_complete(self) -> None:
        self._owed = True
        self._due = self.loop.time() + BODY_TIMEOUT_S
        self._trailers = True
        if len(self.pipeline) >= MOST_WAITING:
            self._refuse("pipeline-overflow")
        parser: Any = self.parser  # uvicorn says that there may be none
        version = parser.get_http_version()
        if version not in VERSIONS:
            self._refuse("another-version")
        hosts = [value for name, value in self.headers if name == b"host"]
        if not (_is_for(self.url, hosts[0]) if len(hosts) == 1 else not hosts and version == "1.0"):
            self._refuse("ambiguous-host")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._owed = False
        self._due = NEVER
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._owed:  # nobody waits for it any more
            self._due = NEVER
        super().on_response_complete()
        if self.pipeline:  # uvicorn reads on after each answer, however many requests wait already
            self.flow.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._owed and self._due < NEVER:
            self._due = self.loop.time() + BODY_TIMEOUT_S
        if self._due == NEVER and self.timeout_keep_alive_task is None and self._is_answered():
            # An empty line, or more of a body that was answered before its end, begins no request.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def send_400_response(self, msg: str) -> None:
        self._count(self._connection.source, self._refused or "unparsable-request")
        if self._is_answered():
            super().send_400_response(_TOLD.get(self._refused, msg))
        else:
            self._connection.cut()  # it would be read as the answer, or as a part of it, that is still due

    def _admit_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MOST_HEADER_BYTES or len(self.headers) > MOST_HEADERS:
            self._refuse("header-overflow")

    def _refuse(self, reason: str) -> None:
        self._refused = reason
        raise httptools.HttpParserError(reason)

    def _is_answered(self) -> bool:
        """Whether there is no request, or the last one was answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn says that there always is one
        return cycle is None or cycle.response_complete

    def _await_headers(self) -> None:
        """Give a request's headers their time. One timer for the connection: most are never too late."""
        self._due = self.loop.time() + HEADER_TIMEOUT_S
        if self._timer is None:
            self._timer = self.loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._owed and self.flow.read_paused:  # it is we who are slow
            self._due = self.loop.time() + BODY_TIMEOUT_S
        if self._due <= self.loop.time():
            self._count(self._connection.source, "body-too-late" if self._owed else "headers-too-late")
            self._connection.cut()
        elif self._due < NEVER:
            self._timer = self.loop.call_at(self._due, self._look)


def _is_for(target: bytes, host: bytes) -> bool:
    """Whether a target may come with this Host; one that is a path names none."""
    if target[:1] == b"/":
        return _is_host(host)
    _, absolute, rest = target.partition(b"://")
    return target == b"*" or (bool(absolute) and rest.partition(b"/")[0].lower() == host.lower() and _is_host(host))


@lru_cache(maxsize=64)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _nothing() -> None:
    """Abort a connection that is over."""


def _reset(transport: asyncio.Transport) -> None:
    """Drop the connection and what the kernel still holds for the client."""
    handle = transport.get_extra_info("socket")
    if handle is not None and (number := handle.fileno()) >= 0:
        with socket.socket(fileno=os.dup(number)) as duplicate:
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
