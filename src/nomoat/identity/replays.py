"""The proofs that were used, for as long as they could be used again (RFC 9449, section 11.1).

Rules: in memory only, and in bounded numbers: for each key, so that one cannot take the memory of all, and
together. When there is no room the proof is refused, never forgotten early. What is older than the window
is refused by its time, also when the clock was set back.
"""

from collections import Counter
from hashlib import sha256
from typing import Final, final

from nomoat.core.errors import Unauthenticated, Unavailable

WINDOW: Final = 60  # seconds that a proof may be old
SKEW: Final = 5  # seconds that its maker's clock may be ahead
EACH: Final = 131_072  # proofs of one key in a window
TOGETHER: Final = 524_288  # about 100 bytes each
_KEPT: Final = 16  # bytes of a jti's digest


@final
class Replays:
    """The used proofs, by the second that they were made in and by key; empty when the process starts."""

    def __init__(self, each: int = EACH, together: int = TOGETHER) -> None:
        self._each = each
        self._together = together
        self._used: dict[int, dict[str, set[bytes]]] = {}
        self._of_key: Counter[str] = Counter()
        self._count = 0
        self._oldest = 0

    def __len__(self) -> int:
        return self._count

    def require_fresh(self, issued_at: int, now: float) -> None:
        """Raise `Unauthenticated` unless a proof of `issued_at` (Unix seconds) is recent."""
        self._forget(int(now) - WINDOW)
        if issued_at < self._oldest:
            raise Unauthenticated("the DPoP proof is too old; is a clock wrong?", kind="stale-proof")
        if issued_at > now + SKEW:
            raise Unauthenticated("the DPoP proof is from the future; is a clock wrong?", kind="not-yet-valid")

    def spend(self, key: str, jti: str, issued_at: int) -> None:
        """Remember a proof that is fresh; raise `Unauthenticated` if it was used, `Unavailable` without room."""
        used = self._used.setdefault(issued_at, {}).setdefault(key, set())
        digest = sha256(jti.encode("utf-8", "surrogatepass")).digest()[:_KEPT]
        if digest in used:
            raise Unauthenticated("the DPoP proof was used already", kind="replayed")
        if self._of_key[key] >= self._each or self._count >= self._together:
            raise Unavailable("proofs", "too many DPoP proofs in one minute; wait a little")
        used.add(digest)
        self._of_key[key] += 1
        self._count += 1

    def _forget(self, oldest: int) -> None:
        if oldest <= self._oldest:
            return  # INVARIANT (order): what was forgotten once is too old for good
        self._oldest = oldest
        for second in [second for second in self._used if second < oldest]:
            for key, used in self._used.pop(second).items():
                self._count -= len(used)
                self._of_key[key] -= len(used)
                if not self._of_key[key]:
                    del self._of_key[key]
