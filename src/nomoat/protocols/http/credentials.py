"""Headers → Presented: the one credential of a request.

Rules: exactly one `Authorization` header, of a known scheme, or none. Forwarding headers, cookies and
query strings carry no identity here.
"""

from collections.abc import Callable, Mapping
from typing import Final

from nomoat.core.connection import Bearer, Connection, Credential, DeviceAssertion, OneTimeCode, Presented
from nomoat.core.errors import Malformed

LONGEST_CREDENTIAL = 8192  # characters

_SCHEMES: Final[Mapping[str, Callable[[str], Credential]]] = {
    "bearer": Bearer,
    "nomoat-code": OneTimeCode,
    "nomoat-device": DeviceAssertion,
}


def parse_presented(
    headers: list[tuple[bytes, bytes]], connection: Connection, *, protocol: str, method: str
) -> Presented:
    """What the request presents. Raises `Malformed` for repeated, oversized or unknown credentials."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) > 1:
        raise Malformed("send one Authorization header, not several")
    return Presented(connection, parse_credential(values[0]) if values else None, protocol, method)


def parse_credential(header: bytes) -> Credential:
    """Parse the value of an `Authorization` header (RFC 9110, section 11.6.2)."""
    if len(header) > LONGEST_CREDENTIAL:
        raise Malformed(f"the Authorization header is longer than {LONGEST_CREDENTIAL} bytes")
    if not header.isascii():
        raise Malformed("the Authorization header is not ASCII")
    scheme, space, value = header.decode("ascii").partition(" ")
    kind = _SCHEMES.get(scheme.lower())
    if kind is None or not space or not value or value != value.strip() or not value.isprintable() or " " in value:
        raise Malformed("the Authorization header is not 'Bearer TOKEN'; run: nomoat env hub")
    return kind(value)
