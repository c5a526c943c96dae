"""Durations: how many things took how long, in a few numbers.

Rules: pure, and cheap enough for the path: adding one is a search among a dozen bounds.
"""

from bisect import bisect_left
from typing import Final, final

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper bounds in seconds, inclusive; what takes longer counts beyond the last one."""


@final
class Durations:
    """A histogram: `counts` has a number for each bound, and one for what is beyond; `total` is in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count something that took `seconds`."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
