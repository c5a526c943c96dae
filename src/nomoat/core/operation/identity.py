"""Being someone: registering, joining, renewing, tokens."""

from dataclasses import dataclass, field

from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class Whoami(Operation):
    """See how the gateway knows the caller."""


@dataclass(frozen=True, slots=True)
class ValidateCard(Operation):
    """Ask whether the metadata that a README.md begins with is in order, before it is committed anywhere."""

    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RegisterDevice(Operation):
    """Turn a person's one-time code into a registered device key, a session and a certificate.

    `request` is a certificate signing request (PEM) that proves possession of the device key.
    """

    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JoinWorkload(Operation):
    """Turn a workload's one-time join code into a session and an X.509-SVID."""

    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RenewCertificate(Operation):
    """Issue the caller's next certificate within the same session.

    `restart` starts a new session for a device whose last one ended (a person's explicit log-in).
    """

    request: bytes = field(repr=False)
    restart: bool = False


@dataclass(frozen=True, slots=True)
class IssueToken(Operation):
    """Issue an access token; `bound` ties it to the caller's certificate (RFC 8705, section 3).

    Over a certificate with a DPoP proof it is tied to the proof's key (RFC 9449, section 5).
    """

    bound: bool
