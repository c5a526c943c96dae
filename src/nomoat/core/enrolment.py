"""One-time codes as text: what an administrator hands to a person or starts a workload with.

Rules: one string carries who it is for (a person's or a workload's, not the name), a secret of 160
bits, and the SHA-256 fingerprint of the CA certificate, so that the first contact is already pinned.
Parsing never repairs: upper case, spaces and other encodings of the same bytes are refused.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from nomoat.core.errors import Malformed
from nomoat.core.principal import PrincipalKind

SECRET_BYTES: Final = 20
FINGERPRINT_BYTES: Final = 32

_PREFIXES: Final = {PrincipalKind.PERSON: "nmp", PrincipalKind.WORKLOAD: "nmw"}
_FORM: Final = re.compile(r"(nmp|nmw)-([a-z2-7]{32})-([a-z2-7]{52})")


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """A one-time code. `fingerprint` is the SHA-256 of the trust domain's CA certificate (DER)."""

    kind: PrincipalKind
    secret: bytes = field(repr=False)
    fingerprint: bytes

    @property
    def text(self) -> str:
        """The code as one string: `nmp-…` for a person, `nmw-…` for a workload."""
        return f"{_PREFIXES[self.kind]}-{_encode(self.secret)}-{_encode(self.fingerprint)}"

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text: all that is ever stored.

        No slow derivation is needed: the secret is 160 uniformly random bits, beyond any search.
        """
        return hashlib.sha256(self.text.encode()).digest()


def parse_enrolment_code(text: str) -> EnrolmentCode:
    """Parse the text of a one-time code; raise `Malformed` for anything else."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise Malformed("a one-time code looks like nmp-…-… or nmw-…-…, all of it in lower case")
    prefix, secret, fingerprint = form.groups()
    kind = PrincipalKind.PERSON if prefix == _PREFIXES[PrincipalKind.PERSON] else PrincipalKind.WORKLOAD
    code = EnrolmentCode(kind, _decode(secret), _decode(fingerprint))
    if code.text != text:  # 52 characters hold four bits more than 32 bytes need
        raise Malformed("the one-time code was changed on the way; copy all of it")
    return code


def _encode(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _decode(text: str) -> bytes:
    try:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error:
        raise Malformed("the one-time code was changed on the way; copy all of it") from None
