"""Upstreams as servers: connections kept open, one request at a time on each, answers as they arrive.

Rules: what a client sent is never sent on but what is named here. An address is looked up for each new connection and has
to be one of the public internet, unless the upstream is declared as private; it is connected to as it was checked, so
that a name cannot lead elsewhere meanwhile. Nothing is followed: a redirect is a failure. An answer that is compressed is
one, too: nobody asked for that, and nobody here unpacks what may be a bomb.
"""

import asyncio
import ipaddress
import math
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import lru_cache
from typing import Final, final
from urllib.parse import urlsplit

from nomoat import __version__
from nomoat.core.errors import Unavailable
from nomoat.core.inference import Health, Upstream
from nomoat.stores.circuits import Circuit
from nomoat.stores.contents import Copy
from nomoat.wire.connections import Broken, Head, Pool, ServerConnection

SILENT_S: Final = 120.0  # without a further byte of an answer that has begun
MOST_POOLS: Final = 256
ANSWERS: Final = range(200, 600)
LATE: Final = 504  # what stands in front of a server had waited long enough: that may be the prompt's own doing
DOWN: Final = frozenset({502, 503})  # says what stands in front of a server that is not there
REJECTED: Final = frozenset({401, 403, 407})
"""What an upstream answers to a credential of the gateway's, which is none of the client's business."""
REDIRECTS: Final = range(300, 400)
PACKED: Final = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}
"""The headers that say how an answer is packed, and all that each may say."""
EMBEDDED: Final = tuple(
    map(ipaddress.IPv6Network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fec0::/10"))
)
"""Addresses that have another one in them, or were private once (RFC 4291, 6052, 8215, 3056, 3879)."""


@final
class UpstreamAnswer:
    """An answer's status, headers, and its body as it arrives. `end` has to be called.

    `copy` takes the body, too, where it is kept.
    """

    __slots__ = ("_circuit", "_connection", "_due", "_headers", "_pool", "_upstream", "copy", "status")

    def __init__(
        self, upstream: Upstream, kept: tuple[Pool, Circuit], connection: ServerConnection, head: Head, due: float
    ) -> None:
        self._upstream = upstream
        self._pool, self._circuit = kept
        self._connection = connection
        self._due = due
        self.status = head.status
        self._headers = head.headers
        self.copy: Copy | None = None

    def headers(self, names: Collection[bytes]) -> dict[str, str]:
        """Those of its headers that have these names (in lower case), the first of each."""
        found = {name: value for name, value in reversed(self._headers) if value and name in names}
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in found.items()}

    @property
    def is_over(self) -> bool:
        """Whether all of the body was taken."""
        return self._connection.is_over

    async def part(self) -> bytes:
        """The next of the body; b"" after its end. Raises `Unavailable` when it breaks off."""
        left = self._due - time.monotonic()
        try:
            if left <= 0:  # one that never stops has always something there
                raise TimeoutError
            part = await self._connection.part(min(left, SILENT_S))
        except TimeoutError:
            late = f"did not end its answer in {self._upstream.timeout_s} s"
            raise self._noted(late if left <= SILENT_S else f"said nothing for {SILENT_S:g} s") from None
        except Broken:
            raise self._noted("broke off its answer") from None
        if self.copy is not None:
            self.copy.feed(part)
        return part

    def _noted(self, why: str) -> Unavailable:
        self._circuit.noted(why)
        return _failed(self._upstream, why)

    def end(self) -> None:
        """Keep the connection for the next request, or end it where the answer was not read to its end."""
        if self.copy is not None:
            self.copy.end(whole=self.is_over)
            self.copy = None
        self._pool.give_back(self._connection)


class Unsent(Unavailable):
    """The request did not reach the upstream: another one may be asked instead."""


@final
class Upstreams:
    """The connections to upstreams that are kept."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """Verify upstreams by the system's authorities, or as `context` says."""
        self._context = context or ssl.create_default_context()
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._pools: dict[Upstream, tuple[Pool, Circuit]] = {}

    async def ask(self, upstream: Upstream, path: str, headers: Mapping[str, str], body: bytes) -> UpstreamAnswer:
        """POST a JSON `body` to `path` below the upstream's address; the answer has to be ended.

        Raises `Unsent` when it was not reached, `Unavailable` when it gave no answer that can be passed on.
        """
        kept = pool, circuit = self._kept(upstream)
        request = _request(upstream, path, headers, body)
        if (left := circuit.wait()) > 0:
            raise Unsent("upstream", f"{upstream.name} did not answer lately; it is asked again in {math.ceil(left)} s")
        try:
            connection, head, due = await _exchange(pool, upstream, request)
        except Unsent as unsent:
            circuit.failed(unsent.reason)
            raise
        except Unavailable as failed:  # one that was sent and broke off may be the request's own doing
            circuit.noted(failed.reason)
            raise
        if head.status in REJECTED:
            circuit.rejected(f"{upstream.name} does not take the gateway's credential ({head.status})")
        elif head.status in DOWN:
            circuit.failed(f"{upstream.name} answers with the status {head.status}")
        elif head.status == LATE:
            circuit.noted(f"{upstream.name} was not waited for any longer by what stands in front of it ({LATE})")
        else:
            circuit.succeeded()
        why = _unusable(head)
        if why:
            connection.abort()
            circuit.noted(why)
            raise _failed(upstream, why)
        return UpstreamAnswer(upstream, kept, connection, head, due)

    def health(self, upstream: Upstream) -> Health:
        """What is known of a server."""
        kept = self._pools.get(upstream)
        return Health() if kept is None else kept[1].health()

    def close(self) -> None:
        """End the connections that are kept."""
        for pool, _ in self._pools.values():
            pool.__exit__()

    def _kept(self, upstream: Upstream) -> tuple[Pool, Circuit]:
        kept = self._pools.get(upstream)
        if kept is None:
            if len(self._pools) >= MOST_POOLS:  # of declarations that changed since
                self._pools.pop(next(iter(self._pools)))[0].__exit__()
            secure = urlsplit(upstream.url).scheme != "http"  # in lower case, as whoever parsed the declaration saw it
            pool = Pool(upstream.url, self._context if secure else None, _checked(upstream))
            kept = self._pools[upstream] = pool, Circuit(time.monotonic)
        return kept


async def _exchange(pool: Pool, upstream: Upstream, request: bytes) -> tuple[ServerConnection, Head, float]:
    """Send a request once, and wait for its answer's head; return when the answer is due as well."""
    try:
        connection = await pool.take()
        if connection.used:
            # A server that ended it meanwhile is heard of in the next turn, before anything is sent.
            await asyncio.sleep(0)
            if not connection.is_reusable:
                connection.abort()
                connection = await pool.take(fresh=True)
    except (OSError, UnicodeError) as error:  # those of time and TLS are the former
        raise Unsent("upstream", f"{upstream.name} cannot be reached ({_said(error)})") from None
    due = time.monotonic() + upstream.timeout_s
    try:
        connection.begin("POST", owes_body=False)
        await connection.write(request)
        return connection, await connection.answer(min(upstream.first_byte_s, upstream.timeout_s)), due
    except Broken as broken:  # it may have taken the prompt: nobody is sent it a second time
        connection.abort()
        raise _failed(upstream, f"gave no answer ({broken})") from None
    except BaseException:
        connection.abort()
        raise


def _unusable(head: Head) -> str:
    """Why an answer cannot be passed on; '' where it can."""
    if head.status in REDIRECTS:
        return "answers with a redirect, which is not followed"
    if head.status not in ANSWERS:
        return f"answers with the status {head.status}, which means nothing"
    if any(name in PACKED and value.lower() != PACKED[name] for name, value in head.headers):
        return "answers compressed, which was not asked for"
    return ""


def _request(upstream: Upstream, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    return b"%s%sContent-Length: %d\r\n\r\n%s" % (
        _head(upstream, path),
        _fields(headers),
        len(body),
        body,
    )


@lru_cache(maxsize=MOST_POOLS)
def _head(upstream: Upstream, path: str) -> bytes:
    parts = urlsplit(upstream.url)
    own = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"nomoat/{__version__}",
    }
    return f"POST {parts.path}/{path} HTTP/1.1\r\n".encode("ascii") + _fields(own)


def _fields(headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise Unsent("upstream", "a header of the request cannot be sent on")
    return "".join([f"{line}\r\n" for line in lines]).encode("ascii")


def _checked(upstream: Upstream) -> Callable[[str, int], Awaitable[str]]:
    async def resolve(host: str, port: int) -> str:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]) for each in found]
        for address in addresses:
            if not upstream.private and not _is_public(address):
                raise OSError("its name leads to an address that is not public; if that is meant: private = true")
        return addresses[0]

    return resolve


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    embedded = parsed.version == 6 and any(parsed in network for network in EMBEDDED)
    return parsed.is_global and not parsed.is_multicast and not embedded


def _said(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not verify: {error.verify_message}"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]


def _failed(upstream: Upstream, why: str) -> Unavailable:
    return Unavailable("upstream", f"{upstream.name} {why}")
