"""Signed compact tokens (RFC 7515), parsed strictly before any cryptography looks at them.

Rules (RFC 8725): the size is capped; there are exactly three parts of canonical base64url, so one
token has one spelling; JSON objects have no member twice; the algorithm is ES256 and never the
token's choice; a header names a key that we already know and carries none. Every failure is
`Unauthenticated`, worded by what the sender can do about it.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, cast

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from nomoat.core.errors import Unauthenticated

LONGEST_TOKEN: Final = 4096  # characters
ALGORITHM: Final = "ES256"  # RFC 7518, section 3.4


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token that parses. Nothing in it may be believed before `verify`."""

    text: str
    what: str
    header: Mapping[str, object]
    claims: Mapping[str, object]

    def verify(self, key: ECKey) -> None:
        """Raise `Unauthenticated` unless `key` (P-256) signed the token."""
        try:
            jws.deserialize_compact(self.text, key, [ALGORITHM])
        except JoseError:
            raise Unauthenticated(f"the {self.what}'s signature does not verify", kind="bad-signature") from None

    def claim_text(self, name: str) -> str:
        """Return a claim that is a string, not empty."""
        value = self.claims.get(name)
        if not isinstance(value, str) or not value:
            self.malformed(f"{name} is not a text")
        return value

    def claim_time(self, name: str) -> int:
        """Return a claim that is a time in whole Unix seconds."""
        value = self.claims.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 40:
            self.malformed(f"{name} is not a time in whole seconds")
        return value

    def malformed(self, detail: str) -> NoReturn:
        """Raise `Unauthenticated` for a token that this gateway does not make; `detail` is for the log."""
        raise Unauthenticated(f"the {self.what} is malformed", kind="malformed", detail=detail)


def parse(text: str, what: str) -> Unverified:
    """Parse a compact token; `what` names it in errors. Raises `Unauthenticated`; verifies nothing."""
    if len(text) > LONGEST_TOKEN:
        raise Unauthenticated(f"the {what} is longer than {LONGEST_TOKEN} characters", kind="oversized")
    parts = text.split(".")
    if len(parts) != 3:
        raise Unauthenticated(f"the {what} is not a signed JWT", kind="malformed")
    header = _object(parts[0], what)
    if header.get("alg") != ALGORITHM:
        raise Unauthenticated(f"the {what} is not signed with {ALGORITHM}", kind="bad-algorithm")
    claims = _object(parts[1], what)
    try:
        signature = _decode(parts[2])
    except ValueError:
        signature = b""
    if len(signature) != 64:  # RFC 7518, section 3.4
        raise Unauthenticated(f"the {what} is malformed", kind="malformed", detail="the signature is not 64 bytes")
    return Unverified(text, what, header, claims)


def sign(header: Mapping[str, str], claims: Mapping[str, object], key: ECKey) -> str:
    """Return a compact token; `header` must say `alg` ES256."""
    payload = json.dumps(claims, separators=(",", ":"))
    return jws.serialize_compact(dict(header), payload, key, [ALGORITHM])


def _object(part: str, what: str) -> Mapping[str, object]:
    """Decode one base64url part as a JSON object."""
    try:
        value: object = json.loads(
            _decode(part), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_refuse
        )
    except (ValueError, RecursionError) as error:
        raise Unauthenticated(f"the {what} is malformed", kind="malformed", detail=type(error).__name__) from None
    if not isinstance(value, dict):
        raise Unauthenticated(f"the {what} is malformed", kind="malformed", detail="a part is not an object")
    return cast("dict[str, object]", value)


def _decode(part: str) -> bytes:
    """Decode canonical base64url without padding (RFC 7515, section 2); raise `ValueError` for any other spelling."""
    data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != part:
        raise ValueError("not canonical")
    return data


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _refuse(number: str) -> NoReturn:
    raise ValueError("no such number is ever in a token of ours: " + number[:8])
