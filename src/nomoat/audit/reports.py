"""Reports: columns of the log kept beside it, so that aggregates over all of it take less than a second.

Rules: chunks of columns are made in the background, of records that are durable; what comes after the
last one is read from the log itself, so an answer is never behind. DuckDB runs in a process of its own
without keys (`aggregating`); plaintext is in memory only. Where somebody was erased or content was
forgotten, all columns are destroyed and made anew.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final, final

from nomoat.audit.aggregates import statement
from nomoat.audit.events import Events, ReadableRecord
from nomoat.audit.log import Log
from nomoat.audit.query import Query
from nomoat.audit.tabular import json_row
from nomoat.core.errors import Corrupt, NoMoatError, Unavailable
from nomoat.stores.chunks import StoredChunks

CHUNK: Final = 10_000
"""Records of a chunk. What is not in one yet is read from the log for each report."""
MOST_CHUNKS: Final = 400
"""Each is a descriptor of this process while a report is made, and there are requests that need some too."""
STEP: Final = 250
BEFORE: Final = 1000
"""Records before a chunk that are looked at for the openings of outcomes in it."""
IDLE_S: Final = 5.0
QUIET_S: Final = 60.0
"""For so long fewer than a chunk's records came: only then are chunks made, for nobody waits for them …"""
MOST_BEHIND: Final = 1_000_000
"""… unless so many records are in no chunk yet."""
REST: Final = 10
"""Times as long as a step took it rests after it: a tenth of a core at the most."""
TIMEOUT_S: Final = 30.0


@final
class Reports:
    """Keeps the columns of one log and answers from them. The event loop owns it."""

    def __init__(self, log: Log, chunks: StoredChunks, size: int = CHUNK) -> None:
        self._log = log
        self._chunks = chunks
        self._size = size

    async def run(self, failed: Callable[[NoMoatError], None]) -> None:
        """Make chunks as the log grows, until cancelled; tell `failed` what went wrong, and go on."""
        seen: deque[int] = deque([self._log.size], maxlen=int(QUIET_S / IDLE_S))
        while True:
            await asyncio.sleep(IDLE_S)
            seen.append(self._log.size)
            try:
                while await self._is_time(seen) and await self.extend():
                    pass
            except NoMoatError as error:
                failed(error)

    async def _is_time(self, seen: "deque[int]") -> bool:
        if len(seen) == seen.maxlen and self._log.size - seen[0] < self._size:
            return True
        known = await asyncio.to_thread(self._chunks.list)
        return self._log.size - (known[-1].last if known else -1) > MOST_BEHIND

    async def extend(self) -> bool:
        """Make the next chunk; return False when there are not enough records for one yet."""
        known = await asyncio.to_thread(self._chunks.list)
        after, cleared = (known[-1].last if known else -1), self._chunks.dropped
        if self._log.size - after - 1 < self._size:
            return False
        following = await asyncio.to_thread(_Following, self._log, after)
        rows, taken, times = list[bytes](), 0, list[str]()
        while taken < self._size:
            begun = time.perf_counter()
            told = await asyncio.to_thread(following.take, min(STEP, self._size - taken))
            taken += len(told)
            times += [str(event["at"]) for event in told]
            rows += map(json_row, told)
            await asyncio.sleep(REST * (time.perf_counter() - begun))
        content = await asyncio.to_thread(_make, b"".join(rows))
        await self._chunks.add(
            after + 1, after + taken, (min(times), max(times)), content, lambda: cleared == self._chunks.dropped
        )
        return True

    async def clear(self, subject: str = "") -> None:
        """Destroy all columns: the content of `subject`, or what is past its time, must not be left in them."""
        del subject
        await self._chunks.clear()

    async def report(self, by: Sequence[str], query: Query, *, limit: int) -> list[dict[str, Any]]:
        """Return a row for each group, the largest first. Raises `Corrupt` and `Unavailable`."""
        return await asyncio.to_thread(self._report, by, query, limit)

    def _report(self, by: Sequence[str], query: Query, limit: int) -> list[dict[str, Any]]:
        chunks = self._chunks.list()
        after = chunks[-1].last if chunks else -1
        wanted = [chunk for chunk in chunks if chunk.newest >= query.earliest]
        if len(wanted) > MOST_CHUNKS:
            raise Unavailable("columns", "too many records for one report: narrow it with since")
        asked = statement(by, query, limit)
        with ExitStack() as stack:
            places = [_in_memory(stack, self._chunks.open(chunk)) for chunk in wanted]
            rest = _in_memory(stack, b"".join(map(json_row, _Following(self._log, after))))
            question = {"chunks": places, "rest": rest, "sql": asked.sql, "values": list(asked.values)}
            answer: list[dict[str, Any]] = json.loads(_run(question, [*places, rest]))
            return answer


@final
class _Following:
    """The events after record number `after`: accesses that began shortly before it are known to their outcomes."""

    def __init__(self, log: Log, after: int) -> None:
        self._log = log
        self._size = log.size
        self._events = Events()
        self._walk = log.walk(max(-1, after - BEFORE))
        while self._walk.after < after:
            self._events.tell(self._walk.take(self._size, most=min(STEP, after - self._walk.after)), Query())

    def take(self, most: int) -> list[ReadableRecord]:
        """Return the next events; none at the end of the log as it was at first."""
        return self._events.tell(self._walk.take(self._size, most=most), Query())

    def __iter__(self) -> Iterator[ReadableRecord]:
        while told := self.take(STEP):
            yield from told


def _in_memory(stack: ExitStack, content: bytes) -> int:
    """Return a descriptor of memory that holds `content`; it is closed with the stack."""
    if not hasattr(os, "memfd_create"):
        raise Unavailable("columns", "reports need Linux, whose memory can be handed to another process as a file")
    descriptor = os.memfd_create("nomoat")
    stack.callback(os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    return descriptor


def _make(rows: bytes) -> bytes:
    with ExitStack() as stack:
        source, target = _in_memory(stack, rows), _in_memory(stack, b"")
        _run({"make": target, "rest": source}, [source, target])
        return os.pread(target, os.fstat(target).st_size, 0)


def _run(question: dict[str, Any], descriptors: Sequence[int]) -> bytes:
    """Have the process do it: without our environment, in no directory of ours, with these descriptors only."""
    command = [sys.executable, "-I", "-m", "nomoat.audit.aggregating"]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            input=json.dumps(question).encode(),
            capture_output=True,
            env={},
            cwd="/",
            pass_fds=descriptors,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable("columns", f"the report was not made ({type(error).__name__})") from None
    if done.returncode != 0:
        raise Corrupt("the columns of the log")
    return done.stdout
