"""What a metric is by the numbers: the cells it counts in, the grid of its sums, and how much noise each part needs.

Rules: everything here follows from the declaration alone, nothing from the data. Sums are sums of whole numbers: values
are clamped and put on a grid of the declared bounds, because the error of sums of floating-point numbers depends on
the data and their order (Casacuberta et al., Widespread Underestimation of Sensitivity, arXiv 2207.10635). Neighbours
are two datasets of which one has one unit more: a row, or a person with at most `rows` of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple, Protocol

import orjson

from nomoat.core.metrics import Metric, MetricKind

GRID: Final = 1 << 20
"""The steps from zero to the largest value that a sum can have of one row."""

LARGEST_SUM: Final = 1 << 62
"""Sums stop here; a function that changes no distance for the worse."""

FORMATS: Final = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""By the end of a path: what a table is read as."""


class Part(NamedTuple):
    """One vector of noisy numbers: `of` "count" or "sum" of each cell, for `epsilon` millionths.

    `sensitivity` is how far one unit moves all of them together (L1).
    """

    of: str
    sensitivity: int
    epsilon: int


class Drawn(NamedTuple):
    """The noisy numbers of a part, the scale of their noise (Laplace), and how far off one is in 97.5 of 100 cases."""

    values: tuple[int, ...]
    scale: float
    accuracy: float


class Question(NamedTuple):
    """What is asked of one file of a version: of which format, and whether it is the only one."""

    metric: Metric
    format: str
    alone: bool


class Noise(Protocol):
    """Who keeps the exact numbers of versions for a while, and tells them with noise alone. All raise `Unavailable`."""

    async def knows(self, key: str) -> bool:
        """Whether it has the numbers of `key`."""
        ...

    async def learn(self, key: str, shape: Mapping[str, int], tables: Sequence[bytes]) -> bool:
        """Add up what was found in the files of a version; False when that is not what was asked for."""
        ...

    async def release(self, key: str, parts: Sequence[Part]) -> Sequence[Drawn]:
        """Draw noise once for each part."""
        ...


def bins(metric: Metric) -> int:
    """How many cells there are in each group."""
    return max(1, len(metric.edges) - 1)


def cells(metric: Metric) -> int:
    """How many cells a metric has: its bins for each of its groups."""
    return bins(metric) * max(1, len(metric.values))


def offset(metric: Metric) -> float:
    """What is taken from each value before it is summed: a mean's noise is that of half its range."""
    return sum(metric.bounds) / 2 if metric.kind is MetricKind.MEAN else 0.0


def step(metric: Metric) -> float:
    """One step of the grid, in units of the values."""
    low, high = metric.bounds
    furthest = (high - low) / 2 if metric.kind is MetricKind.MEAN else max(abs(low), abs(high))
    return furthest / GRID


def parts(metric: Metric) -> tuple[Part, ...]:
    """What is drawn for a metric: its epsilon is that of all parts together (sequential composition)."""
    if metric.kind in {MetricKind.COUNT, MetricKind.HISTOGRAM}:
        return (Part("count", metric.rows, metric.epsilon),)
    half = metric.epsilon // 2
    return (Part("count", metric.rows, half), Part("sum", metric.rows * GRID, metric.epsilon - half))


def shape(metric: Metric) -> dict[str, int]:
    """What the numbers of a file must look like: cells, the largest value of a row, and the rows of a person (0: any)."""
    summed = metric.kind in {MetricKind.SUM, MetricKind.MEAN}
    return {"cells": cells(metric), "most": GRID if summed else 0, "rows": metric.rows if metric.person else 0}


def dump_question(question: Question) -> bytes:
    """A question as JSON, for a process that has nothing else."""
    return orjson.dumps({**asdict(question.metric), "format": question.format, "alone": question.alone})


def load_question(content: bytes) -> Question:
    """The inverse of `dump_question`."""
    said: dict[str, Any] = orjson.loads(content)
    format_, alone = said.pop("format"), said.pop("alone")
    for several in ("bounds", "edges", "values"):
        said[several] = tuple(said[several])
    said["kind"] = MetricKind(said["kind"])
    return Question(Metric(**said), format_, alone)
