"""Metrics: what one release costs once the exact numbers are known, and the first answer about a table of a million rows."""

import asyncio
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Figure
from nomoat.core.metrics import MILLION, Budget, Metric, MetricKind
from nomoat.core.verdict import Scannable
from nomoat.resources.metrics.answers import answer, dump_answer
from nomoat.resources.metrics.mechanism import Question, parts, shape
from nomoat.server.apart import Apart
from nomoat.stores.budgets import Asked, Asker, Budgets
from nomoat.stores.state import State

RELEASES = 300
ROWS = 1_000_000
BUDGET = Budget(1 << 60, 1 << 60)
WARDS = tuple(str(number) for number in range(10))
MEAN = Metric("m", MetricKind.MEAN, "*", MILLION, column="v", bounds=(0.0, 100.0), group="g", values=WARDS)


def measure() -> list[Figure]:
    """A mean by ten groups: counted, charged, drawn, kept."""
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_measure(Path(name)))


async def _measure(directory: Path) -> list[Figure]:
    table = pa.table({"g": pa.array([number % 10 for number in range(ROWS)]), "v": pa.array(range(ROWS), pa.float64())})
    file = io.BytesIO()
    pq.write_table(table, file)
    content = file.getvalue()
    state, apart = State.create(directory / "state.db", bytes(32)), Apart()
    try:
        question, found = Question(MEAN, "parquet", alone=True), Scannable(len(content), _reader(content))
        await apart.tabulate(question, found)  # starts the process
        begun = time.perf_counter()
        numbers = await apart.tabulate(question, found)
        first = (time.perf_counter() - begun) * 1000
        assert await apart.noise.learn("k", shape(MEAN), [numbers])
        spent = [await _release(Budgets(state), apart, str(each)) for each in range(RELEASES)]
    finally:
        await apart.end()
        state.close()
    release = statistics.median(spent) * 1000
    return [
        Figure(
            "a release: charged, drawn, kept", release, "ms", "at most", 5, "a mean by ten groups, two commits to disk"
        ),
        Figure("exact numbers of 1M rows, in a confined process", first, "ms", "at most", 500, "Parquet, two columns"),
    ]


async def _release(budgets: Budgets, apart: Apart, revision: str) -> float:
    begun = time.perf_counter()
    number = await budgets.charge(
        Asked("acme/visits", revision, "m"), MEAN.epsilon, BUDGET, Asker("person:a", 0.0, 0), lambda: None
    )
    made = answer(MEAN, await apart.noise.release("k", parts(MEAN)))
    await budgets.conclude(number, dump_answer(made))
    return time.perf_counter() - begun


def _reader(content: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: content[offset : offset + length]
