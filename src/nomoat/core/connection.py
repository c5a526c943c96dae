"""What is known of the connection a request came on, and what was presented over it.

Rules: headers that a client can forge (`Forwarded`, `X-Forwarded-*`) never reach these types. The
certificate is the one that the TLS handshake of this very connection verified.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True, eq=False)
class Connection:
    """One client connection, shared by the requests on it.

    `source` is the peer's address without port, `certificate` the verified client certificate
    (DER) or None, `closed` turns true when the peer left, `abort` resets the socket at once. `left` is called when the
    peer leaves; whoever works for an answer sets it for that time.
    """

    source: str
    certificate: bytes | None = field(default=None, repr=False)
    closed: bool = False
    abort: Callable[[], None] = field(default=lambda: None, repr=False)
    left: Callable[[], object] | None = field(default=None, repr=False)

    def cut(self) -> None:
        """Reset the connection without draining what the kernel still holds."""
        self.closed = True
        self.abort()


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token from `Authorization: Bearer` (RFC 6750, section 2.1)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Capability:
    """The secret part of a one-use upload URL."""

    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """A code of `nomoat enroll`, from `Authorization: NoMoat-Code`."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceAssertion:
    """A JWT signed by a device key, from `Authorization: NoMoat-Device` (after RFC 7523, section 3)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """A DPoP proof (RFC 9449, section 4.2), and the path (as sent, without query) of the request that it is for.

    By itself it comes over a certificate, to have a token bound to its key (section 5).
    """

    text: str = field(repr=False)
    path: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proven:
    """An access token from `Authorization: DPoP`, and the proof from `DPoP`; None when none came (section 7.1)."""

    token: str = field(repr=False)
    proof: Proof | None


Credential = Bearer | Capability | OneTimeCode | DeviceAssertion | Proof | Proven


def _ignore(_record: int) -> None:
    """Hear nothing."""


class Presented(NamedTuple):
    """What a caller presented: at most one credential, on a connection, by a protocol and method.

    Without a credential, the connection's certificate (if any) is what authenticates. `admitted` hears the
    number of the record of what was allowed, before it is served.
    """

    connection: Connection
    credential: Credential | None
    protocol: str
    method: str
    admitted: Callable[[int], object] = _ignore
