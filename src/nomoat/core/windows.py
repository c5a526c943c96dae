"""Sliding windows: how much was taken in the last minute, or in the last day, counted in slices.

Rules: pure. INVARIANT (never more): what is taken in any window of a period, wherever it begins, is at most what was
allowed; so a slice counts until the whole of it is out of the window, and room comes back up to one slice late.
"""

from collections.abc import Mapping
from typing import Final, final

from nomoat.core.quotas import Measure, Period

SLICES: Final[Mapping[Period, int]] = {Period.MINUTE: 12, Period.DAY: 24}
SECONDS: Final[Mapping[Period, int]] = {Period.MINUTE: 5, Period.DAY: 3600}
"""How long a slice is."""


def slice_at(period: Period, at: float) -> int:
    """The number of the slice that an instant (Unix seconds) is in."""
    return int(at // SECONDS[period])


def oldest_at(period: Period, at: float) -> int:
    """The number of the oldest slice that counts at an instant."""
    return slice_at(period, at) - SLICES[period]


@final
class Window:
    """What was taken by slice: the amount of each measure."""

    def __init__(self, period: Period, slices: dict[int, list[int]] | None = None) -> None:
        self.period = period
        self.slices = slices or {}

    def used(self, measure: Measure, now: float) -> int:
        """How much of a measure counts at an instant."""
        oldest = oldest_at(self.period, now)
        return sum([amounts[measure] for number, amounts in self.slices.items() if number >= oldest])

    def wait(self, measure: Measure, wanted: int, most: int, now: float) -> float:
        """Seconds until there is room for what is wanted, which is at most `most`; 0 when there is."""
        over = self.used(measure, now) + wanted - most
        if over <= 0:
            return 0.0
        oldest = oldest_at(self.period, now)
        for number in sorted(self.slices):
            over -= self.slices[number][measure] if number >= oldest else 0
            if over <= 0:
                return (number + SLICES[self.period] + 1) * SECONDS[self.period] - now
        return float(SLICES[self.period] * SECONDS[self.period])  # not reached while wanted is at most `most`

    def take(self, amounts: tuple[int, int, int], number: int) -> None:
        """Count amounts in a slice; negative ones give back, never more than there is."""
        held = self.slices.setdefault(number, [0, 0, 0])
        for measure, more in enumerate(amounts):
            held[measure] = max(0, held[measure] + more)

    def forget(self, now: float) -> None:
        """Let go of slices that count no more."""
        oldest = oldest_at(self.period, now)
        for number in [number for number in self.slices if number < oldest]:
            del self.slices[number]
