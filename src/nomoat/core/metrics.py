"""Metrics: named questions about a dataset whose answers carry noise, and what all answers together may tell.

Rules: a metric says everything that its noise depends on, so that nothing in a question or in the data can make it
smaller. Epsilon is counted in whole millionths: a budget is compared exactly, whatever the order of the answers.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MILLION: Final = 1_000_000
"""Millionths of epsilon in one."""


class MetricKind(StrEnum):
    """What a metric tells of each group."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One question that may be asked of a dataset.

    `files` is a glob of its tables. `column` has the numbers, clamped to `bounds`; a histogram's `edges` divide them.
    `group` is a column whose public `values` are told apart ('' for one group). `epsilon` is what a release costs, in
    millionths. Groups (or bins) of fewer than `minimum`, as counted with noise, are withheld. `person` is the column
    that says whose a row is; `rows` of each person count, at most. Without it one row is what is protected.
    """

    name: str
    kind: MetricKind
    files: str
    epsilon: int
    column: str = ""
    bounds: tuple[float, float] = (0.0, 0.0)
    edges: tuple[float, ...] = ()
    group: str = ""
    values: tuple[str, ...] = ()
    minimum: int = 10
    person: str = ""
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Budget:
    """The most epsilon (millionths) that releases of one dataset may spend.

    `total` is for everybody together, over all versions; `person` for what one person or workload is told.
    """

    total: int = 0
    person: int = 0


NOTHING: Final = Budget()
"""The budget of a dataset that has no metrics."""
