"""Nonces for DPoP proofs (RFC 9449, section 8): who proves a key now says something that was unknown before.

Rules: a nonce comes from chance, is the same for everybody, and is good from when it is made until the one
after the next is. None outlives the process: a proof that was made for an earlier one, whose replays nobody
remembers any more, is refused. Time never goes backwards here.
"""

import hmac
import secrets
from typing import Final, final

ROTATION: Final = 120.0  # seconds
_BYTES: Final = 16


@final
class Nonces:
    """The nonce to hand out, and the one before it."""

    def __init__(self, now: float) -> None:
        self._made_at = now
        self._current = secrets.token_urlsafe(_BYTES)
        self._previous = self._current

    def current(self, now: float) -> str:
        """Return the nonce that the next proofs should have."""
        age = now - self._made_at
        if age >= ROTATION:
            # After a long silence, nobody can hold the last one fresh any more.
            self._previous = self._current if age < 2 * ROTATION else secrets.token_urlsafe(_BYTES)
            self._current = secrets.token_urlsafe(_BYTES)
            self._made_at = now
        return self._current

    def knows(self, nonce: str, now: float) -> bool:
        """Whether a proof with this nonce was made a short while ago."""
        # JSON can hold half of a surrogate pair, which has no bytes of its own (RFC 8259, section 8.2).
        given, current = nonce.encode("utf-8", "surrogatepass"), self.current(now).encode()
        return hmac.compare_digest(given, current) or hmac.compare_digest(given, self._previous.encode())
