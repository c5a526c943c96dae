"""Device assertions: a person's device proves its registered key without a certificate (RFC 7523, section 3).

Rules: each is for this gateway, lives at most 60 seconds, and works once. The used ones are kept in
memory only, so one that was made before this process started is refused. A device may have at most
`HELD` in one such minute: the memory is bounded by the number of registered devices.
"""

from collections.abc import Callable
from typing import Final, final

from joserfc.jwk import ECKey

from nomoat.core.errors import Unauthenticated
from nomoat.identity import jws
from nomoat.identity.registry import Device, with_new_code
from nomoat.identity.trust_domain import TrustDomain

ASSERTION_LIFE: Final = 60  # seconds
SKEW: Final = 5
HELD: Final = 32  # assertions of one device in a minute

_WHAT: Final = "device assertion"
_HEADER: Final = frozenset({"alg", "kid"})
_CLAIMS: Final = frozenset({"iss", "sub", "aud", "iat", "exp", "jti"})


@final
class Assertions:
    """Verifies device assertions; `device` finds a registered device by its id."""

    def __init__(self, trust_domain: TrustDomain, device: Callable[[str], Device | None], started_at: float) -> None:
        self._trust_domain = trust_domain
        self._device = device
        self._started_at = int(started_at)
        self._used: dict[str, dict[str, int]] = {}

    def verify(self, token: str, now: float) -> tuple[Device, int]:
        """Return the device that signed `token` and the token's end (Unix seconds), spending the token.

        Raises `Unauthenticated` for anything else. Whether the device is revoked and its owner still
        declared is the caller's to check.
        """
        parsed = jws.parse(token, _WHAT)
        kid = parsed.header.get("kid")
        if frozenset(parsed.header) - {"typ"} != _HEADER or parsed.header.get("typ", "JWT") != "JWT":
            parsed.malformed("a header parameter that is not expected")
        device = self._device(kid) if isinstance(kid, str) else None
        if device is None:
            raise Unauthenticated(f"no such device is registered (any more); {with_new_code()}", kind="unknown-device")
        parsed.verify(ECKey.import_key(device.public_key))
        if parsed.claims.get("aud") != self._trust_domain.id:
            raise Unauthenticated("the device assertion is for another service", kind="wrong-audience")
        if parsed.claims.get("iss") != device.id or parsed.claims.get("sub") != device.id:
            raise Unauthenticated("the device assertion is by another device", kind="wrong-issuer")
        if frozenset(parsed.claims) != _CLAIMS:
            parsed.malformed("other claims than expected")
        issued_at, expires_at = parsed.claim_time("iat"), parsed.claim_time("exp")
        if now >= expires_at or issued_at < self._started_at:
            raise Unauthenticated("the device assertion has expired; is a clock wrong?", kind="expired")
        if now + SKEW < issued_at:
            raise Unauthenticated("the device assertion is not valid yet; is a clock wrong?", kind="not-yet-valid")
        if expires_at - issued_at > ASSERTION_LIFE:
            raise Unauthenticated(f"a device assertion lives at most {ASSERTION_LIFE} s", kind="malformed")
        self._spend(device.id, parsed.claim_text("jti"), expires_at, now)
        return device, expires_at

    def _spend(self, device: str, jti: str, expires_at: int, now: float) -> None:
        """Mark an assertion used; raise `Unauthenticated` when it was, or when there are too many to remember."""
        used = {name: end for name, end in self._used.get(device, {}).items() if now < end}
        self._used[device] = used
        if jti in used:
            raise Unauthenticated("the device assertion was used already", kind="replayed")
        if len(used) >= HELD:
            raise Unauthenticated("too many device assertions in one minute; wait a little", kind="too-many")
        used[jti] = expires_at
