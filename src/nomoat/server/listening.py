"""Listening: a bound socket, and uvicorn's server from start to an orderly end."""

import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn

from nomoat.core.errors import Unavailable

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
