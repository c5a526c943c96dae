"""Headers → Presented: the one credential of a request.

Rules: exactly one `Authorization` header, of a known scheme, or none; at most one `DPoP` header, which goes
with the scheme of its name or with a certificate (RFC 9449, sections 5 and 7). Forwarding headers, cookies and
query strings carry no identity here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from nomoat.core.connection import (
    Bearer,
    Connection,
    Credential,
    DeviceAssertion,
    OneTimeCode,
    Presented,
    Proof,
    Proven,
)
from nomoat.core.errors import Malformed

LONGEST_CREDENTIAL = 8192  # characters

KEYED: Final = frozenset({"openai", "anthropic"})
"""The protocols whose clients may send an access token as `X-Api-Key`."""

_VALUE: Final = re.compile(rb"[\x21-\x7e]+")  # visible ASCII without a space
_SCHEMES: Final[Mapping[bytes, Callable[[str], Credential]]] = {
    b"bearer": Bearer,
    b"nomoat-code": OneTimeCode,
    b"nomoat-device": DeviceAssertion,
    b"dpop": lambda token: Proven(token, None),
}


def parse_presented(
    headers: list[tuple[bytes, bytes]], connection: Connection, *, protocol: str, method: str, path: bytes
) -> Presented:
    """What the request for `path` (as sent, without query) presents.

    Raises `Malformed` for repeated, oversized, unknown or contradicting credentials.
    """
    values: list[bytes] = []
    proofs: list[bytes] = []
    for name, value in headers:
        if name == b"authorization":
            values.append(value)
        elif name == b"dpop":
            proofs.append(value)
        elif name == b"x-api-key" and protocol in KEYED:
            values.append(b"Bearer " + value)
    if len(values) > 1:
        raise Malformed("send one credential in one header, not several")
    credential = parse_credential(values[0]) if values else None
    if proofs:
        credential = _with_proof(credential, proofs, path)
    return Presented(connection, credential, protocol, method)


def _with_proof(credential: Credential | None, proofs: list[bytes], path: bytes) -> Credential:
    if len(proofs) > 1:
        raise Malformed("send one DPoP header, not several")  # RFC 9449, section 4.3, check 1
    if len(proofs[0]) > LONGEST_CREDENTIAL or not proofs[0].isascii():
        raise Malformed("the DPoP header is not a proof")
    proof = Proof(proofs[0].decode("ascii"), path.decode("latin-1"))
    if credential is None:
        return proof
    if not isinstance(credential, Proven):
        raise Malformed("a DPoP proof goes with 'Authorization: DPoP TOKEN', or with a certificate alone")
    return Proven(credential.token, proof)


def parse_credential(header: bytes) -> Credential:
    """Parse the value of an `Authorization` header (RFC 9110, section 11.6.2)."""
    if len(header) > LONGEST_CREDENTIAL:
        raise Malformed(f"the Authorization header is longer than {LONGEST_CREDENTIAL} bytes")
    scheme, _, value = header.partition(b" ")
    kind = _SCHEMES.get(scheme.lower())
    if kind is None or not _VALUE.fullmatch(value):
        if not header.isascii():
            raise Malformed("the Authorization header is not ASCII")
        raise Malformed("the Authorization header is not 'Bearer TOKEN' or 'DPoP TOKEN'; run: nomoat env hub")
    return kind(value.decode("ascii"))
