"""A quorum of witnesses: which keys count, and how many of them must have cosigned a checkpoint.

Rules: pure. A quorum that could not be reached, asks nobody, or counts one witness twice is refused when it is
made. A witness counts once, however often it signed and whatever else signed beside it.
"""

from dataclasses import dataclass
from typing import Final

from nomoat.audit.checkpoint import Checkpoint, VerifierKey, verify_cosignature
from nomoat.core.errors import Corrupt, Malformed

WITNESS_LIMIT: Final = 16
"""Witnesses of one log: their signatures have to fit under a checkpoint."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """At least `needed` of `witnesses`. Without witnesses, 0: nothing is asked for, and nothing counts as witnessed.

    Raises `Malformed` when two witnesses share a name or a key, there are too many, or `needed` is not from 1 to
    their number.
    """

    witnesses: tuple[VerifierKey, ...] = ()
    needed: int = 0

    def __post_init__(self) -> None:
        count = len(self.witnesses)
        apart = min(len({key.public for key in self.witnesses}), len({key.name for key in self.witnesses}))
        if apart < count:
            raise Malformed("two of the witnesses have one name or one key; each counts once, so name it once")
        if count > WITNESS_LIMIT:
            raise Malformed(f"there are at most {WITNESS_LIMIT} witnesses")
        if not min(1, count) <= self.needed <= count:
            wanted = (
                f"a number from 1 to that of the witnesses, {count}"
                if count
                else "of witnesses, and none is named; give their keys too"
            )
            raise Malformed(f"the quorum is {wanted}")

    def cosignatures(self, checkpoint: Checkpoint) -> tuple[tuple[str, int], ...]:
        """Return the names of the witnesses whose cosignature verifies, with when (Unix seconds), in their order.

        Signatures by others are ignored. One by a witness that does not verify makes that witness not count.
        """
        found: list[tuple[str, int]] = []
        for witness in self.witnesses:
            try:
                found.append((witness.name, verify_cosignature(checkpoint, witness)))
            except Corrupt:
                continue
        return tuple(found)

    def met_by(self, checkpoint: Checkpoint) -> bool:
        """Whether enough witnesses cosigned; never without witnesses."""
        return bool(self.witnesses) and len(self.cosignatures(checkpoint)) >= self.needed

    def __str__(self) -> str:
        return f"{self.needed} of {len(self.witnesses)} witnesses"


NOBODY: Final = Quorum()
