"""Principal: who is asking, verified for this very request.

Rules: only `identity` mints one. Groups and clearance come from the directory, never from a token.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import final

from nomoat.core._seal import require_seal
from nomoat.core.names import Classification
from nomoat.core.operation import Operation


class PrincipalKind(StrEnum):
    """What kind of caller it is; also the Cedar entity type, capitalised."""

    PERSON = "person"
    WORKLOAD = "workload"

    __hash__ = str.__hash__  # hashed for every decision; Enum's own is five times slower


class Binding(StrEnum):
    """How the credential of this request is bound to its holder; policies read it."""

    NONE = "none"
    MTLS = "mtls"
    DPOP = "dpop"
    DEVICE_KEY = "device-key"
    CODE = "code"
    CAPABILITY = "capability"


@final
@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller.

    `name` is unique within `kind`; `identifier` is the SPIFFE ID. `session` is the session's id,
    `authenticated_at` and `expires_at` are Unix seconds. `obtained` says over which binding the
    credential was issued. `confined_to` limits a credential to the named actions, or to one exact
    operation (an upload URL); None means any. `certificate` is the SHA-256 thumbprint (RFC 8705,
    section 3.1) of the client certificate that took part in authenticating, `key` the thumbprint (RFC 7638)
    of the key that a DPoP proof proved for this very request; '' without one.
    """

    kind: PrincipalKind
    name: str
    identifier: str
    groups: frozenset[str]
    clearance: Classification
    segment: str
    session: str
    device: str
    binding: Binding
    obtained: Binding
    authenticated_at: int
    expires_at: int
    confined_to: frozenset[str] | Operation | None = None
    chain: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    seal: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_seal(self.seal, "a principal")

    @property
    def subject(self) -> str:
        """The stable name under which the log keeps this principal: `kind:name`."""
        return f"{self.kind}:{self.name}"
