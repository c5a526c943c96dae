"""Reports: columns of the log kept beside it, so that aggregates over a million records take less than a second.

Rules: chunks of columns are made as the log grows, in a process apart, of records that are durable. What comes
after the last one is read from the log itself, so an answer is never behind, and says up to which record it
counts; where that would be too much, the answer is that it has to wait. DuckDB runs in a process of its own
without keys (`apart`); plaintext is in memory only. Where somebody was erased or content was forgotten, all
columns are destroyed and made anew.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple, TypeAlias, final

from nomoat.audit.aggregates import statement
from nomoat.audit.apart import Apart, Memory
from nomoat.audit.chunking import Following, Made
from nomoat.audit.counted import counted_row
from nomoat.audit.log import Log
from nomoat.audit.query import Query
from nomoat.core.errors import Corrupt, NoMoatError, Unavailable
from nomoat.stores.chunks import StoredChunks

CHUNK: Final = 8192
"""Records of a chunk, at the least. What is not in one yet is read from the log for each report."""
LARGEST: Final = 6 * CHUNK
"""Where more is to be made, chunks are larger: each is opened for a report that needs it."""
MOST_CHUNKS: Final = 400
"""Each is a descriptor of this process while a report is made, and there are requests that need some too."""
FARTHEST_BEHIND: Final = 8 * CHUNK
"""Records that a report reads from the log's end: about three seconds of it, and 25 MB."""
IDLE_S: Final = 1.0

Make: TypeAlias = Callable[[int, int], Awaitable[Made]]
"""Makes a chunk of so many records after a number (`nomoat.audit.chunking.Chunker.make`)."""


class Aggregate(NamedTuple):
    """A row for each of the largest groups, of `groups`; every record below number `counted` was looked at."""

    rows: list[dict[str, Any]]
    groups: int
    counted: int


@final
class Reports:
    """Keeps the columns of one log and answers from them. The event loop owns it."""

    def __init__(self, log: Log, chunks: StoredChunks, size: int = CHUNK) -> None:
        self._log = log
        self._chunks = chunks
        self._size = size

    @property
    def behind(self) -> int:
        """How many records are in no column yet. Raises `Unavailable`."""
        known = self._chunks.list()
        return self._log.size - (known[-1].last + 1 if known else 0)

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
        after, cleared = (known[-1].last if known else -1), self._chunks.dropped
        due = min(LARGEST, self._log.size - after - 1) // self._size * self._size
        if due == 0:
            return False
        made = await make(after, due)
        times = (made.oldest, made.newest)
        await self._chunks.add(made.first, made.last, times, made.content, lambda: cleared == self._chunks.dropped)
        return True

    async def clear(self, subject: str = "") -> None:
        """Destroy all columns: the content of `subject`, or what is past its time, must not be left in them."""
        del subject
        await self._chunks.clear()

    async def report(self, by: Sequence[str], query: Query, *, limit: int) -> Aggregate:
        """Count what matches, the largest groups first.

        Raises `Corrupt`, and `Unavailable` while the columns lack more records than can be read from the log.
        """
        while True:
            cleared = self._chunks.dropped
            try:
                found = await asyncio.to_thread(self._report, by, query, limit)
            except Corrupt:
                if cleared == self._chunks.dropped:
                    raise
            else:
                if cleared == self._chunks.dropped:
                    return found
            # Columns were destroyed meanwhile: what was in them must not be told.

    def _report(self, by: Sequence[str], query: Query, limit: int) -> Aggregate:
        chunks, size = self._chunks.list(), self._log.size
        after = chunks[-1].last if chunks else -1
        if size - after - 1 > FARTHEST_BEHIND:
            raise Unavailable(
                "columns", f"they are being made, {after + 1} of {size} records have some: ask again in a minute"
            )
        wanted = [chunk for chunk in chunks if chunk.newest >= query.earliest and chunk.oldest <= query.latest]
        if len(wanted) > MOST_CHUNKS:
            raise Unavailable("columns", "too many records for one report: narrow it with since")
        asked = statement(by, query, limit)
        with ExitStack() as stack:
            places, rest = [Memory(stack) for _ in wanted], Memory(stack)
            apart = Apart(stack, [*places, rest])
            for place, chunk in zip(places, wanted, strict=True):
                place.write(self._chunks.open(chunk))
            for events in Following(self._log.walk, after).until(size):
                rest.write(b"".join(map(counted_row, events)))
            question = {"chunks": [place.descriptor for place in places], "rest": rest.descriptor}
            rows: list[dict[str, Any]] = json.loads(
                apart.ask({**question, "sql": asked.sql, "values": list(asked.values)})
            )
        groups = [row.pop("groups") for row in rows]
        return Aggregate(rows, groups[0] if groups else 0, size)
