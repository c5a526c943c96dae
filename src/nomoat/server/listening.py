"""Listening: a bound socket, and uvicorn's server from start to an orderly end."""

import asyncio
import signal
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final, TypeAlias, cast

import uvicorn
from uvicorn.server import ServerState

from nomoat.core.errors import Misuse, Unavailable
from nomoat.server.admission import Acceptor, Admission

BACKLOG: Final = 1024


class Server(uvicorn.Server):
    """uvicorn's server, which says when it listens and ends without dying of the signal."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End orderly; uvicorn would raise the signal again and die of it before anything is closed."""
        del frame
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


Connect: TypeAlias = Callable[[uvicorn.Config, ServerState, dict[str, Any]], asyncio.Protocol]


class GatewayServer(Server):
    """The server of a gateway: it accepts connections itself, as many as `admission` lets in.

    `connect` makes the protocol of a connection.
    """

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], admission: Admission, connect: Connect
    ) -> None:
        super().__init__(config, ready)
        self._admission = admission
        self._connect = connect

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept on the given sockets, then tell."""
        context = self.config.ssl
        if sockets is None or context is None:
            raise Misuse("a gateway listens on a socket that it was given, with TLS")
        await self.lifespan.startup()
        make = partial(self._connect, self.config, self.server_state, self.lifespan.state)
        # uvicorn asks of these no more than `close` and `wait_closed`.
        self.servers = cast("Any", [Acceptor(each, context, self._admission, make) for each in sockets])
        self.started = True
        self._ready()


def listen(host: str, port: int, *, otherwise: str = "") -> socket.socket:
    """Return a listening socket on an address (port 0: any).

    Raises `Unavailable`, with `otherwise`: how to listen somewhere else.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = f"cannot listen on {host} port {port}: {error.strerror}" + (f"; {otherwise}" if otherwise else "")
        raise Unavailable("address", reason) from error
    listener.setblocking(False)
    return listener


def url_of(scheme: str, host: str, listener: socket.socket) -> str:
    """Return the URL of what listens, by the name `host`."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
