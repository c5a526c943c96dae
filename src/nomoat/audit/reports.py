"""Reports: columns of the log kept beside it, so that aggregates over a million records take less than a second.

Rules: chunks of columns are made as the log grows, in a process apart, of records that are durable. What comes
after the last one is read from the log itself, so an answer is not behind; where that would be too much, it counts
what the columns have. It says how many records it counts, of how many, and since when the others are. DuckDB runs
in a process of its own without keys (`apart`); plaintext is in memory only. Where somebody was erased, content was
forgotten, or a chunk is not what was kept, all columns are destroyed and made anew.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple, TypeAlias, final

from nomoat.audit.aggregates import statement
from nomoat.audit.apart import Apart, Memory
from nomoat.audit.chunking import Made
from nomoat.audit.counted import counted_row
from nomoat.audit.following import Following
from nomoat.audit.log import Log
from nomoat.audit.query import Query
from nomoat.core.errors import Corrupt, NoMoatError, Unavailable
from nomoat.stores.chunks import Chunk, StoredChunks

CHUNK: Final = 8192
"""Records of a chunk, at the least. What is not in one yet is read from the log for each report."""
LARGEST: Final = 6 * CHUNK
"""Where more is to be made, chunks are larger: each is opened for a report that needs it."""
MOST_CHUNKS: Final = 400
"""Each is a descriptor of this process while a report is made, and there are requests that need some too."""
FARTHEST_BEHIND: Final = 8 * CHUNK
"""Records that a report reads from the log's end: about three seconds of it, and 25 MB."""
LONGEST_WAIT_S: Final = 600.0
"""How long a report waits to be complete, where it is asked to: ten million records take about as long."""
IDLE_S: Final = 1.0

Make: TypeAlias = Callable[[int, int], Awaitable[Made]]
"""Makes a chunk of so many records after a number (`nomoat.audit.chunking.Chunker.make`)."""


class Aggregate(NamedTuple):
    """A row for each of the largest groups, of `groups`; every record below number `counted` was looked at.

    `size` is how many there were when it was asked for; `missing_since` the time from which on records are not in it
    yet, None when all of them are.
    """

    rows: list[dict[str, Any]]
    groups: int
    counted: int
    size: int
    missing_since: str | None = None


class _NotKept(Exception):
    """A chunk is not there, or not what was kept."""


@final
class Reports:
    """Keeps the columns of one log and answers from them. The event loop owns it."""

    def __init__(self, log: Log, chunks: StoredChunks, size: int = CHUNK) -> None:
        self._log = log
        self._chunks = chunks
        self._size = size
        self._grown = asyncio.Event()

    @property
    def behind(self) -> int:
        """How many records are in no column yet. Raises `Unavailable`."""
        known = self._chunks.list()
        return self._log.size - (known[-1].last + 1 if known else 0)

    @property
    def _destroyed(self) -> tuple[int, int]:
        """Moves on when columns are destroyed, and when the log forgets a key, which is a moment after the commit."""
        return self._chunks.dropped, self._log.erasures

    async def run(self, make: Make, failed: Callable[[NoMoatError], None]) -> None:
        """Make chunks as the log grows, until cancelled; tell `failed` what went wrong, and go on."""
        while True:
            await asyncio.sleep(IDLE_S)
            try:
                while await self.extend(make):
                    pass
            except NoMoatError as error:
                failed(error)

    async def extend(self, make: Make) -> bool:
        """Make the next chunk; return False when there are not enough records for one yet."""
        known = await asyncio.to_thread(self._chunks.list)
        after, cleared = (known[-1].last if known else -1), self._destroyed
        # The first one is small: with it, reports have something to say.
        due = min(LARGEST if known else self._size, self._log.size - after - 1) // self._size * self._size
        if due == 0:
            return False
        made = await make(after, due)
        times = (made.oldest, made.newest)
        await self._chunks.add(made.first, made.last, times, made.content, lambda: cleared == self._destroyed)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        return True

    async def clear(self, subject: str = "") -> None:
        """Destroy all columns: the content of `subject`, or what is past its time, must not be left in them."""
        del subject
        await self._chunks.clear()

    async def report(self, by: Sequence[str], query: Query, *, limit: int, wait: bool = False) -> Aggregate:
        """Count what matches, the largest groups first; with `wait`, when every record of now can be counted.

        Raises `Corrupt` when the log cannot be read, `Unavailable` when no record can be counted yet.
        """
        size = self._log.size
        while True:
            if wait:
                await self._reach(size)
            cleared = self._destroyed
            try:
                found = await asyncio.to_thread(self._report, by, query, limit, size)
            except Corrupt:
                if cleared == self._destroyed:
                    raise
            except _NotKept:
                if cleared == self._destroyed:
                    await self.clear()
            else:
                if cleared == self._destroyed:
                    return found
            # Columns were destroyed meanwhile: what was in them must not be told, and is not missing.

    async def _reach(self, size: int) -> None:
        """Wait until what the columns lack of `size` records can be read from the log, or for LONGEST_WAIT_S."""
        with contextlib.suppress(TimeoutError):  # how far it got is in the answer
            async with asyncio.timeout(LONGEST_WAIT_S):
                while True:
                    grown = self._grown
                    known = await asyncio.to_thread(self._chunks.list)
                    if not _is_behind(known, size):
                        return
                    await grown.wait()

    def _report(self, by: Sequence[str], query: Query, limit: int, size: int) -> Aggregate:
        chunks = self._chunks.list()
        after, missing_since = (chunks[-1].last if chunks else -1), None
        if _is_behind(chunks, size):
            if not chunks:
                raise Unavailable(
                    "columns",
                    f"none of the {size} records can be counted yet: ask again in a minute, or let it wait (--wait)",
                )
            missing_since = max(chunk.newest for chunk in chunks)
        wanted = [chunk for chunk in chunks if chunk.newest >= query.earliest and chunk.oldest <= query.latest]
        if len(wanted) > MOST_CHUNKS:
            raise Unavailable("columns", "too many records for one report: narrow it with since")
        asked = statement(by, query, limit)
        with ExitStack() as stack:
            places, rest = [Memory(stack) for _ in wanted], Memory(stack)
            apart = Apart(stack, [*places, rest])
            for place, chunk in zip(places, wanted, strict=True):
                place.write(self._open(chunk))
            if missing_since is None:
                for events in Following(self._log.walk, after).until(size):
                    rest.write(b"".join(map(counted_row, events)))
                after = max(after, size - 1)
            question = {"chunks": [place.descriptor for place in places], "rest": rest.descriptor}
            rows: list[dict[str, Any]] = json.loads(
                apart.ask({**question, "sql": asked.sql, "values": list(asked.values)})
            )
        groups = [row.pop("groups") for row in rows]
        return Aggregate(rows, groups[0] if groups else 0, after + 1, max(size, after + 1), missing_since)

    def _open(self, chunk: Chunk) -> bytes:
        try:
            return self._chunks.open(chunk)
        except Corrupt:
            raise _NotKept from None


def _is_behind(chunks: Sequence[Chunk], size: int) -> bool:
    """Whether chunks lack more of `size` records than a report reads from the log."""
    return size - 1 - (chunks[-1].last if chunks else -1) > FARTHEST_BEHIND
