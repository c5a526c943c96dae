"""The processes of metrics are confined before they see anything: no file, no network, no process, no way back."""

import asyncio
from pathlib import Path

import pytest

from nomoat.core.errors import Conflict, Unavailable
from nomoat.core.metrics import MILLION, Metric, MetricKind
from nomoat.core.verdict import Scannable
from nomoat.resources.metrics.mechanism import Part, Question
from nomoat.server.apart import Apart

COUNT = Question(Metric("c", MetricKind.COUNT, "*", MILLION), "csv", alone=True)
CONTENT = b"ward\neast\nwest\n"


def status(process: int) -> dict[str, str]:
    lines = (line.partition(":") for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(each) for each in found.split()]


def test_a_table_is_read_and_noise_is_drawn_behind_the_filter_of_system_calls() -> None:
    apart = Apart()
    seen: list[tuple[str, str]] = []

    def read(offset: int, length: int) -> bytes:
        process = apart._counting._process
        assert process is not None
        for child in children(process.pid):
            said = status(child)
            seen.append((said["Seccomp"], said["Threads"]))
        return CONTENT[offset : offset + length]

    async def run() -> None:
        try:
            table = await apart.tabulate(COUNT, Scannable(len(CONTENT), read))
            assert table == b"[[0, 2, 0]]\n"
            assert await apart.noise.learn("k", {"cells": 1, "most": 0, "rows": 0}, [table])
            (drawn,) = await apart.noise.release("k", [Part("count", 1, 100 * MILLION)])
            assert abs(drawn.values[0] - 2) <= 1
            assert not await apart.noise.knows("l")
            process = apart.noise._process
            assert process is not None
            assert status(process.pid)["Seccomp"] == "2"
            process.kill()  # it is started again, and knows nothing
            await process.wait()
            with pytest.raises(Unavailable):
                await apart.noise.release("k", [Part("count", 1, MILLION)])
            assert not await apart.noise.knows("k")
        finally:
            await apart.end()

    asyncio.run(run())
    assert set(seen) == {("2", "1")}  # and no thread that began before it


def test_a_child_that_dies_is_no_answer_and_no_table_is_said_to_be_none() -> None:
    apart = Apart()

    def read(offset: int, length: int) -> bytes:
        raise ValueError(offset, length)

    async def run() -> None:
        try:
            with pytest.raises(Unavailable, match="gave no answer"):
                await apart.tabulate(COUNT, Scannable(10, read))
            garbage = Scannable(4, lambda _, length: b"PAR1"[:length])
            with pytest.raises(Conflict, match="cannot be read as a table"):
                await apart.tabulate(COUNT._replace(format="parquet"), garbage)
        finally:
            await apart.end()

    asyncio.run(run())
