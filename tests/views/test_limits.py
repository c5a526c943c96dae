"""Queries end: by time, by memory, by size, because nobody waits for them any more; and the next one is answered."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path

import pytest

from nomoat.core.errors import NoMoatError, TooLarge, Unanswered, Unavailable
from nomoat.core.names import Classification
from nomoat.core.view import Column, View
from nomoat.resources.repositories.views import Question, Source
from nomoat.server.querying import Limits, Queries, QueryProcess

VIEW = View("numbers", Classification.INTERNAL, ("a.csv",), (Column("n"),))
CONTENT = b"n\n" + b"".join(b"%d\n" % number for number in range(1000))
HOSTILE = b"\x00\xff[{" * 100
ENDLESS = (
    "SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c WHERE hash(a.range, b.range, c.range) = 0"
)
SMALL = Limits(query_s=20, query_memory=1 << 30, view_memory=1 << 30, rows=5000, answer=1 << 20, threads=2)


class Asked:
    """A question over a thousand numbers, which counts how often its file was opened."""

    def __init__(self) -> None:
        self.opened = 0

    @contextlib.contextmanager
    def _open(self) -> Iterator[Iterator[bytes]]:
        self.opened += 1
        yield iter([CONTENT])

    def __call__(self, sql: str, view: View = VIEW, version: str = "v", subject: str = "person:a") -> Question:
        return Question(subject, "r", version, view, b"k" * 32, [Source("csv", len(CONTENT), self._open)], sql)


async def run(queries: Queries, question: Question) -> int:
    """How many rows a query has."""
    async with queries.answer(question) as answer:
        received = b"".join([part async for part in answer.parts])
        assert len(received) == answer.size
        return answer.rows


@asynccontextmanager
async def engine(limits: Limits) -> AsyncGenerator[Queries]:
    process = QueryProcess()
    queries = Queries(process, limits)
    try:
        yield queries
    finally:
        queries.close()
        process.end()


def with_engine(limits: Limits) -> Callable[[Callable[[Queries], Awaitable[None]]], Callable[[], None]]:
    def decorate(test: Callable[[Queries], Awaitable[None]]) -> Callable[[], None]:
        @wraps(test)
        def inner() -> None:
            async def inside() -> None:
                async with engine(limits) as queries:
                    await test(queries)

            asyncio.run(inside())

        del inner.__wrapped__  # pytest would take the parameter for a fixture
        return inner

    return decorate


def children(queries: Queries) -> list[int]:
    """The children of the process that forks them: what each computed so far, in hundredths of a second."""
    process = queries._process._process
    assert process is not None
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == process.pid and fields[0] != "Z":
                found.append(int(fields[11]))
    return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the kernel tells nobody that a grandchild ended
            await asyncio.sleep(0.01)


@with_engine(replace(SMALL, query_s=1))
async def test_a_query_without_end_is_ended_in_time(queries: Queries) -> None:
    asked = Asked()
    assert await run(queries, asked("FROM numbers")) == 1000
    began = time.monotonic()
    with pytest.raises(Unanswered, match="time") as refused:
        await run(queries, asked(ENDLESS))
    assert "longer than 1 s" in refused.value.reason
    assert time.monotonic() - began < 5
    await until(lambda: not children(queries))
    assert await run(queries, asked("FROM numbers")) == 1000


@with_engine(replace(SMALL, query_memory=512 << 20))
async def test_one_that_wants_too_much_memory_is_ended(queries: Queries) -> None:
    with pytest.raises(Unanswered) as refused:
        await run(queries, Asked()("SELECT list(range || repeat('x', 1000)) FROM range(10000000)"))
    assert refused.value.ended in {"memory", "no answer"}
    assert "memory" in refused.value.reason
    assert await run(queries, Asked()("FROM numbers")) == 1000


@with_engine(SMALL)
async def test_an_answer_has_limits_of_rows_and_bytes(queries: Queries) -> None:
    assert await run(queries, Asked()("FROM range(5000)")) == 5000
    with pytest.raises(Unanswered, match="rows"):
        await run(queries, Asked()("FROM range(5001)"))
    with pytest.raises(Unanswered, match="bytes"):
        await run(queries, Asked()("SELECT repeat('x', 100000) FROM range(20)"))


@with_engine(SMALL)
async def test_one_that_nobody_waits_for_is_ended(queries: Queries) -> None:
    asked = Asked()
    await run(queries, asked("FROM numbers"))
    running = asyncio.create_task(run(queries, asked(ENDLESS)))
    await until(lambda: any(each > 20 for each in children(queries)))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not children(queries))
    assert await run(queries, asked("FROM numbers")) == 1000


@with_engine(SMALL)
async def test_a_view_is_made_once_for_those_who_ask_at_the_same_time(queries: Queries) -> None:
    asked = Asked()
    assert (
        await asyncio.gather(*(run(queries, asked("FROM numbers", subject=f"person:{n}")) for n in range(5)))
        == [1000] * 5
    )
    assert asked.opened == 1
    await run(queries, asked("FROM numbers", version="w"))
    assert asked.opened == 2


@with_engine(SMALL)
async def test_what_was_made_of_a_version_is_forgotten_with_it(queries: Queries) -> None:
    asked = Asked()
    for version in ("v", "w"):
        await run(queries, asked("FROM numbers", version=version))
    queries.forget("v")
    await run(queries, asked("FROM numbers", version="w"))
    assert asked.opened == 2
    await run(queries, asked("FROM numbers"))
    assert asked.opened == 3


@with_engine(replace(SMALL, kept=1))
async def test_views_that_there_is_no_room_for_are_made_again(queries: Queries) -> None:
    asked = Asked()
    for _ in range(2):
        assert await run(queries, asked("FROM numbers")) == 1000
    assert asked.opened == 2


@with_engine(replace(SMALL, waiting=2, at_once=1, query_s=2))
async def test_too_many_at_once_are_told_to_come_back(queries: Queries) -> None:
    asked = Asked()
    running = [asyncio.create_task(run(queries, asked(ENDLESS))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="too many"):
        await run(queries, asked("FROM numbers"))
    ended = await asyncio.gather(*running, return_exceptions=True)
    assert [type(each) for each in ended] == [Unanswered, Unanswered]
    assert await run(queries, asked("FROM numbers")) == 1000


@with_engine(replace(SMALL, each=2, at_once=3, query_s=2))
async def test_one_who_asks_much_at_once_leaves_room_for_others(queries: Queries) -> None:
    asked = Asked()
    running = [asyncio.create_task(run(queries, asked(ENDLESS))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="yours"):
        await run(queries, asked("FROM numbers"))
    assert await run(queries, asked("FROM numbers", subject="person:b")) == 1000
    ended = await asyncio.gather(*running, return_exceptions=True)
    assert [type(each) for each in ended] == [Unanswered, Unanswered]
    assert await run(queries, asked("FROM numbers")) == 1000


@with_engine(replace(SMALL, files=100))
async def test_a_view_of_too_much_is_refused_before_a_file_is_read(queries: Queries) -> None:
    asked = Asked()
    with pytest.raises(TooLarge):
        await run(queries, asked("FROM numbers"))
    assert asked.opened == 0


@with_engine(SMALL)
async def test_files_that_are_no_table_make_no_view(queries: Queries) -> None:
    for kind in ("parquet", "jsonl", "csv"):
        source = Source(kind, len(HOSTILE), lambda: contextlib.nullcontext(iter([HOSTILE])))
        with pytest.raises(Unanswered, match="no view"):
            await run(queries, replace(Asked()("FROM numbers"), sources=[source], version=kind))


def test_a_process_that_does_not_start_is_said_to_be_unavailable() -> None:
    class Absent(QueryProcess):
        def ask(self, *given: int) -> socket.socket:
            raise ConnectionError(given)

    async def inside() -> None:
        with pytest.raises(Unavailable):
            await run(Queries(Absent(), SMALL), Asked()("FROM numbers"))

    asyncio.run(inside())
    assert issubclass(Unavailable, NoMoatError)
