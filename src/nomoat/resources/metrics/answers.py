"""From noisy numbers to an answer: which groups are withheld, what a mean is, how far off each number may be.

Rules: this reads noisy numbers alone, so it costs no privacy (post-processing). Whether a group is large enough is
judged on its noisy count; its exact count is not here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from nomoat.core.metrics import Metric, MetricKind
from nomoat.resources.metrics.mechanism import Drawn, bins, offset, step


@dataclass(frozen=True, slots=True)
class Cell:
    """One group, or one bin from `low` to `high` of one; `value` is None where it is withheld.

    In 95 of 100 answers `value` is at most `accuracy` from what would be told without noise.
    """

    group: str
    low: float | None
    high: float | None
    count: int | None
    value: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told of a metric: its cells, what it cost (millionths) and the scales of its Laplace noise.

    `scale` is that of counts, `value_scale` that of sums, in units of the values (None: there are none).
    """

    kind: str
    epsilon: int
    scale: float
    value_scale: float | None
    cells: tuple[Cell, ...]


def dump_answer(answer: Answer) -> str:
    """An answer as JSON, to be kept."""
    return orjson.dumps(asdict(answer)).decode()


def load_answer(text: str) -> Answer:
    """The inverse of `dump_answer`."""
    said: dict[str, Any] = orjson.loads(text)
    said["cells"] = tuple(Cell(**each) for each in said["cells"])
    return Answer(**said)


def answer(metric: Metric, drawn: Sequence[Drawn]) -> Answer:
    """Make the answer of a metric out of what was drawn for its parts."""
    counts, sums = drawn[0], drawn[1] if len(drawn) > 1 else None
    return Answer(
        kind=metric.kind.value,
        epsilon=metric.epsilon,
        scale=counts.scale,
        value_scale=sums.scale * step(metric) if sums else None,
        cells=tuple(_cell(metric, number, counts, sums) for number in range(len(counts.values))),
    )


def _cell(metric: Metric, number: int, counts: Drawn, sums: Drawn | None) -> Cell:
    group, bin_ = divmod(number, bins(metric))
    name = metric.values[group] if metric.values else ""
    low, high = (metric.edges[bin_], metric.edges[bin_ + 1]) if metric.edges else (None, None)
    count = counts.values[number]
    if count < metric.minimum:
        return Cell(name, low, high, None, None, None)
    if sums is None:
        return Cell(name, low, high, count, float(count), counts.accuracy)
    total, accuracy = sums.values[number] * step(metric), sums.accuracy * step(metric)
    if metric.kind is MetricKind.SUM:
        return Cell(name, low, high, count, total, accuracy)
    below, above = metric.bounds
    half = (above - below) / 2
    value = min(max(total / count + offset(metric), below), above)
    # |S/N - s/n| <= (|S - s| + |s/n| |N - n|) / N, where the mean is at most half the range from its middle.
    return Cell(name, low, high, count, value, min((accuracy + half * counts.accuracy) / count, above - below))
