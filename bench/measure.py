"""How figures are taken: medians over rounds, CPU time where that is the honest unit."""

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

Direction = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure and what it was to be."""

    name: str
    value: float
    unit: str
    direction: Direction
    target: float
    remark: str = ""

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return self.value <= self.target if self.direction == "at most" else self.value >= self.target

    def as_json(self) -> dict[str, object]:
        """The figure for `bench/latest.json`."""
        return {**asdict(self), "holds": self.holds}


def require(*tools: str) -> None:
    """End with a line on standard error that says what to do when a tool is not installed (names as in Debian)."""
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        raise SystemExit(f"{' and '.join(missing)} is needed; run: apt-get install {' '.join(missing)}")


def median_us(call: Callable[[], object], *, each: int, rounds: int = 7) -> float:
    """The median over rounds of the mean time of a call, in microseconds of wall time."""
    means: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(each):
            call()
        means.append((time.perf_counter() - begun) / each * 1e6)
    return statistics.median(means)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
