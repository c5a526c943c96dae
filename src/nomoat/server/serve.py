"""`nomoat serve`: the running gateway, from lock to socket, and its orderly end."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from nomoat.core.errors import Unavailable
from nomoat.identity import public_key
from nomoat.identity.keys import load_private_key
from nomoat.server.assembly import Clock, Gateway, open_gateway
from nomoat.server.configuration import load_configuration
from nomoat.server.connections import GatewayConnection
from nomoat.server.lock import locked
from nomoat.server.tls import ServerTLS

CERTIFICATE_CHECK_S: Final = 6 * 3600.0
GRACE_S: Final = 10
KEEP_ALIVE_S: Final = 30
BACKLOG: Final = 1024

_log = logging.getLogger("nomoat")


async def serve(directory: Path, clock: Clock, ready: Callable[[str], None]) -> None:
    """Serve a data directory until a signal ends it; `ready` is called with the URL once it listens.

    Raises `Unavailable` when the directory, a key or the address is not to be had.
    """
    configuration = load_configuration(directory)
    with locked(directory):
        async with open_gateway(directory, configuration, clock) as gateway:
            listener = _listen(configuration.host, configuration.port)
            with contextlib.closing(listener):
                await _run(gateway, listener, ready)


async def _run(gateway: Gateway, listener: socket.socket, ready: Callable[[str], None]) -> None:
    strangers = gateway.guard.strangers
    tls = ServerTLS(gateway.authority.certificate.encode(), partial(strangers.count, "TLS"))
    _present(gateway, tls)
    config = uvicorn.Config(
        gateway.application,
        http=partial(GatewayConnection, strangers.count),  # type: ignore[arg-type]  # a factory serves as a class
        ws="none",
        lifespan="off",
        loop="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",  # what does not parse is counted in our log, not printed for each one
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_context_factory=lambda _config, _default: tls.context,
    )
    host, port = gateway.configuration.hosts[0], listener.getsockname()[1]
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    renewing = asyncio.create_task(_keep_presentable(gateway, tls))
    try:
        await _Server(config, lambda: ready(url)).serve([listener])
    finally:
        renewing.cancel()


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End orderly; uvicorn would raise the signal again and die of it before the log is closed."""
        del frame
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable("address", f"cannot listen on {host} port {port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _present(gateway: Gateway, tls: ServerTLS) -> None:
    """Issue the server's certificate anew: the authority is at hand, so none has to live long."""
    secret = gateway.keys.load("server")
    hosts = gateway.configuration.hosts
    issued = gateway.authority.server_certificate(public_key(secret), hosts, now=gateway.clock())
    tls.present(load_private_key(secret), issued.pem.encode())


async def _keep_presentable(gateway: Gateway, tls: ServerTLS) -> None:
    while True:
        await asyncio.sleep(CERTIFICATE_CHECK_S)
        _present(gateway, tls)
