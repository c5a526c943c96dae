"""What examining a data directory finds: one check, how it is, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """What a check found."""

    GOOD = "good"
    ADVICE = "advice"  # it serves; something is better done soon
    BAD = "bad"  # it does not serve, or not for long
    DAMAGED = "damaged"  # it is not what was written


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what of, how it is, in words, and what to do ('' when nothing)."""

    check: str
    health: Health
    said: str
    advice: str = ""
