"""`nomoat serve`: the running gateway, from lock to socket, and its orderly end."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn

from nomoat.identity import public_key
from nomoat.identity.keys import load_private_key
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.columning import keep_columns
from nomoat.server.configuration import FILE, load_configuration
from nomoat.server.connections import GatewayConnection
from nomoat.server.cosigning import keep_witnessed
from nomoat.server.forwarding import keep_forwarded
from nomoat.server.indexing import keep_indexed
from nomoat.server.listening import GatewayServer, listen, url_of
from nomoat.server.lock import locked
from nomoat.server.resources import Clock
from nomoat.server.retention import keep_retained
from nomoat.server.supervision import Supervisor
from nomoat.server.tls import ServerTLS

CERTIFICATE_CHECK_S: Final = 6 * 3600.0
GRACE_S: Final = 10
KEEP_ALIVE_S: Final = 30

_log = logging.getLogger("nomoat")


def settle_collector() -> None:
    """Tell the garbage collector that what is wired now stays, and to look less often at what comes and goes.

    A request makes hundreds of small objects and no cycles worth speaking of; by default the collector
    takes about a seventh of the CPU of a busy gateway.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def serve(
    directory: Path, clock: Clock, ready: Callable[[str], None], supervisor: Supervisor | None = None
) -> None:
    """Serve a data directory until a signal ends it; `ready` is called with the URL once it listens.

    What is being served then has GRACE_S seconds to end; the rest is cut, and its outcome recorded.
    `supervisor` is told meanwhile (None: there is none).

    Raises `Unavailable` when the directory, a key or the address is not to be had.
    """
    configuration = load_configuration(directory)
    with locked(directory):
        async with open_gateway(directory, configuration, clock) as gateway:
            settle_collector()
            listener = listen(
                configuration.host,
                configuration.port,
                otherwise=f"stop what uses it, or set another port by listen in {directory / FILE}",
            )
            with contextlib.closing(listener):
                await _run(gateway, directory, listener, ready, supervisor or Supervisor({}))


async def _run(
    gateway: Gateway, directory: Path, listener: socket.socket, ready: Callable[[str], None], supervisor: Supervisor
) -> None:
    admission = gateway.admission
    tls = ServerTLS(gateway.identity.authority.certificate.encode())
    _present(gateway, tls)
    config = uvicorn.Config(
        gateway.application,
        http="httptools",
        ws="none",
        lifespan="off",
        loop="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="critical",  # what it would print for each bad or cut request is in our log; bugs we print
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_context_factory=lambda _config, _default: tls.context,
    )
    connect = partial(GatewayConnection, gateway.guard.strangers.count, admission.leave)
    urls = tuple(url_of("https", host, listener) for host in gateway.configuration.hosts)
    url, origins = urls[0], (*urls, *gateway.configuration.origins)
    gateway.identity.proofs.reached_at(origins)
    beside = [
        asyncio.create_task(_keep_presentable(gateway, tls), name="renewing the server's certificate"),
        asyncio.create_task(keep_witnessed(gateway), name="asking the witnesses"),
        asyncio.create_task(keep_indexed(gateway, directory), name="keeping the index"),
        asyncio.create_task(keep_forwarded(gateway, directory), name="forwarding the log"),
        asyncio.create_task(keep_columns(gateway, directory), name="keeping columns of the log"),
        asyncio.create_task(keep_retained(gateway, directory), name="forgetting what is past its time"),
        asyncio.create_task(supervisor.keep_alive(), name="telling the supervisor"),
    ]
    for task in beside:
        task.add_done_callback(_tell_of_a_bug)

    def listening() -> None:
        ready(url)
        supervisor.ready()

    try:
        await GatewayServer(config, listening, admission, connect).serve([listener])
    finally:
        supervisor.stopping()
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)


def _tell_of_a_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s ended by a bug of ours", task.get_name(), exc_info=error)


def _present(gateway: Gateway, tls: ServerTLS) -> None:
    """Issue the server's certificate anew: the authority is at hand, so none has to live long."""
    secret = gateway.keys.load("server")
    hosts = gateway.configuration.hosts
    issued = gateway.identity.authority.server_certificate(public_key(secret), hosts, now=gateway.clock())
    tls.present(load_private_key(secret), issued.pem.encode())


async def _keep_presentable(gateway: Gateway, tls: ServerTLS) -> None:
    while True:
        await asyncio.sleep(CERTIFICATE_CHECK_S)
        _present(gateway, tls)
