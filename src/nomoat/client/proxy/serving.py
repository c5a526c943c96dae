"""A running proxy: its address on this machine, its key, and the loop that serves it in a thread.

Rules: it listens on a loopback address or on a unix socket of its owner's, and nowhere else. The key is chance,
made for this process, in a file that only its owner can read, which is removed at the end.
"""

import asyncio
import contextlib
import gc
import ipaddress
import os
import secrets
import shutil
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nomoat.client.entrance import Entrance
from nomoat.client.profiles import Profile
from nomoat.client.proxy.application import PEER, Peer, ProxyApplication
from nomoat.client.proxy.door import Door
from nomoat.client.proxy.holder import Holder
from nomoat.client.proxy.rewriting import Rewriting
from nomoat.client.proxy.waiting import LONGEST_S, Waiting
from nomoat.client.session import Clock
from nomoat.core.errors import Malformed, NoMoatError, Unavailable
from nomoat.wire.connections import Pool

BACKLOG: Final = 128
GRACE_S: Final = 3
KEEP_ALIVE_S: Final = 75
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


class LocalConnection(HttpToolsProtocol):
    """One local client's connection; one that comes by the socket as another user is not listened to."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._peer = Peer(still=self._still)
        self.app_state = {**self.app_state, PEER: self._peer}
        if not _is_of_our_own(transport):
            transport.abort()

    def _still(self) -> None:
        """Send a provisional answer, as often as it takes (RFC 9110, section 15.2): clients read past it."""
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.leave()
        super().connection_lost(exc)


def _is_of_our_own(transport: asyncio.Transport) -> bool:
    handle = transport.get_extra_info("socket")
    if handle is None or handle.family != socket.AF_UNIX:
        return True  # it has to show the key
    with socket.socket(fileno=os.dup(handle.fileno())) as duplicate:
        _, user, _ = _CREDENTIALS.unpack(duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return user in {os.geteuid(), 0}


class Proxy:
    """A proxy for the time of a `with`, in a thread of its own.

    `listen` is `ADDRESS:PORT` with a loopback address (port 0: any), or the path of a socket to be made.
    `folder` is the profile's folder for its key and address; '' for one of chance. `tell` hears why the identity is not fresh.
    A request that needs a person to log in again waits up to `hold` seconds for it.
    Entering raises `Refused` or `Unavailable` when there is no identity to lend or no place to listen.
    """

    def __init__(
        self,
        profile: Profile,
        clock: Clock,
        tell: Callable[[NoMoatError], None],
        *,
        listen: str = "127.0.0.1:0",
        folder: str = "",
        by_certificate: bool = False,
        hold: float = LONGEST_S,
    ) -> None:
        self._profile = profile
        self._clock = clock
        self._tell = tell
        self._listen = listen
        self._folder = folder or f"hub/proxies/{secrets.token_hex(8)}"
        self._by_certificate = by_certificate
        self._hold = hold
        self._server: uvicorn.Server | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._key = "" if _is_path(listen) else "nomoat-proxy-" + secrets.token_urlsafe(32)
        self.url = ""

    def __enter__(self) -> Self:
        self._profile.identity()
        self._listener = _listen_at(self._listen)
        try:
            self._name_it()
            self._thread.start()
            self._started.wait()
            if self._failure is not None:
                raise self._failure
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(GRACE_S + 5.0)
        self._clean_up()

    @property
    def entrance(self) -> Entrance:
        """Where it is, for clients that speak TCP."""
        return Entrance(self.url, self._profile.directory / self._folder / "token")

    def _name_it(self) -> None:
        """Write the key, then the address, for whoever is to use them."""
        if _is_path(self._listen):
            self.url = "http://localhost"
            return
        host, port = self._listener.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._profile.create_folder(self._folder)
        self._profile.write(f"{self._folder}/token", self._key.encode())
        self._profile.write(f"{self._folder}/url", self.url.encode())

    def _clean_up(self) -> None:
        self._listener.close()
        if _is_path(self._listen):
            Path(self._listen).unlink(missing_ok=True)
        shutil.rmtree(self._profile.directory / self._folder, ignore_errors=True)

    def _run(self) -> None:
        # What a request makes goes by itself; looking for cycles among it costs a tenth of the proxy's time.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # told to whoever waits for the start, or too late for anybody
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        pools: list[Pool] = []

        def renewed(context: Any) -> None:
            if pools:
                loop.call_soon_threadsafe(pools[0].forget, context)

        loop = asyncio.get_running_loop()
        holder = Holder(self._profile, self._clock, self._tell, by_certificate=self._by_certificate, renewed=renewed)
        with contextlib.closing(holder):
            await holder.refresh("")
            with Pool(holder.url, holder.context()) as pool:
                pools.append(pool)
                fresh = asyncio.create_task(holder.keep_fresh())
                try:
                    await self._listen_and_serve(holder, pool)
                finally:
                    fresh.cancel()
            await asyncio.sleep(0)  # for what was aborted to be closed

    async def _listen_and_serve(self, holder: Holder, pool: Pool) -> None:
        proxy = self.url.encode()
        hosts = {proxy.removeprefix(b"http://")}
        if not _is_path(self._listen):
            hosts.add(b"localhost:%d" % self._listener.getsockname()[1])
        door, waiting = Door(frozenset(hosts), self._key), Waiting(holder, self._tell, self._hold)
        application = ProxyApplication(door, holder, waiting, pool, Rewriting(holder.url.encode(), proxy))
        config = uvicorn.Config(
            cast("Any", application),
            http=LocalConnection,
            ws="none",
            lifespan="off",
            loop="none",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            access_log=False,
            log_config=None,
            log_level="critical",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = uvicorn.Server(config)
        asyncio.get_running_loop().call_soon(self._started.set)
        await self._server.serve([self._listener])


def _is_path(listen: str) -> bool:
    return "/" in listen


def _listen_at(listen: str) -> socket.socket:
    """A listening socket on a loopback address or path. Raises `Malformed` or `Unavailable`."""
    if _is_path(listen):
        return _listen_by_path(Path(listen))
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError:
        raise Malformed(f"{listen!r:.80} is neither ADDRESS:PORT nor the path of a socket (with a slash)") from None
    if not address.is_loopback or not 0 <= number < 65536:
        raise Malformed("a proxy listens on a loopback address only, such as 127.0.0.1:0")
    listener = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    return _listening(listener, (str(address), number), listen)


def _listen_by_path(path: Path) -> socket.socket:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(path))
        raise Unavailable("address", f"somebody listens at {path} already; stop that one, or choose another path")
    if path.is_socket():
        path.unlink()  # of one that did not end orderly
    before = os.umask(0o177)
    try:
        return _listening(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), str(path), str(path))
    finally:
        os.umask(before)


def _listening(listener: socket.socket, address: object, shown: str) -> socket.socket:
    try:
        listener.bind(cast("Any", address))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable("address", f"cannot listen at {shown}: {error.strerror}") from error
    listener.setblocking(False)
    return listener
