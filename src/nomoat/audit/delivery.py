"""Delivery: the log's records handed to a receiver elsewhere, each at least once, and where that has got to.

Rules: a batch is delivered when the receiver answered for it, and then the cursor is durable before
the next one is sent. Until then the same batch comes again, for as long as it takes: no failure, not
even a refusal for good, makes a record pass by. So duplicates are possible, and each event carries
its record's number. What waits while somebody is erased is read again. Memory holds one batch.
Whatever happens here, no access waits for it.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, final

from nomoat.audit.events import Events, ReadableRecord
from nomoat.audit.log import Log
from nomoat.audit.query import Query
from nomoat.audit.segments import parse_object
from nomoat.audit.walk import Walk
from nomoat.core.errors import Malformed, NoMoatError, Unavailable
from nomoat.stores.segments import Files

BATCH: Final = 500
"""Records of a batch, at most."""
BATCH_ROOM: Final = 1 << 20
"""Bytes of their sealed content, about."""


class Undelivered(NoMoatError):
    """The receiver did not answer for a batch; `reason` says why, without any of its content or a secret.

    `wait` is how many seconds it asked for; `too_large` says that it wants smaller batches.
    """

    def __init__(self, reason: str, *, wait: float = 0.0, too_large: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        self.too_large = too_large


class Receiver(Protocol):
    """Who gets the events of a batch. `encode` may be called in any thread; `deliver` gets what it returned.

    Trusted for: keeping what it answered for. Not trusted for anything else: its answer says no more
    than that, and is read up to a limit.
    """

    def encode(self, events: Sequence[ReadableRecord]) -> bytes:
        """Return what is sent for these events."""
        ...

    async def deliver(self, payload: bytes) -> str:
        """Send it; return once the receiver answered for all of it, with what it refused for good ('' for nothing).

        Raises `Undelivered`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds. After a failure the wait doubles from `first` to `longest`, give or take a quarter."""

    idle: float = 0.5
    first: float = 1.0
    longest: float = 60.0


@final
class Cursor:
    """Where a delivery has got to: a small file with the log's name, a record's number and its time.

    The time tells a log that was put back and has grown past the number again: there it starts over.
    """

    def __init__(self, path: Path, origin: str, files: Files | None = None) -> None:
        self._path = path
        self._origin = origin
        self._files = files or Files()
        self.after = -1

    def load(self, log: Log) -> bool:
        """Read it; return whether it is of this very log (one that was never kept is). Raises `Unavailable`."""
        try:
            content = parse_object(self._path.read_bytes(), "a cursor")
        except FileNotFoundError:
            return True
        except Malformed:
            return False
        except OSError as error:
            raise Unavailable("forward", f"its cursor cannot be read ({error.strerror})") from error
        after, at = content.get("after"), content.get("at")
        if content.get("log") != self._origin or type(after) is not int or not 0 <= after < log.size:
            return False
        found = log.walk(after - 1).take(log.size, most=1)
        if found[0].get("at") != at:
            return False
        self.after = after
        return True

    def keep(self, after: int, at: str) -> None:
        """Replace it, durably. Raises `Unavailable`."""
        content = {"after": after, "at": at, "log": self._origin}
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._files.replace(self._path, json.dumps(content).encode())
        except OSError as error:
            raise Unavailable("forward", f"its cursor cannot be kept ({error.strerror})") from error
        self.after = after


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is on its way: up to record number `last` of time `at`; no payload when none of them matched."""

    last: int
    at: str
    count: int
    payload: bytes


Told = Callable[[str], None]


@final
class Delivery:
    """One receiver's delivery. `failed` hears each failure, `refused` what the receiver refused for good."""

    def __init__(
        self, log: Log, query: Query, receiver: Receiver, cursor: Cursor, pace: Pace, failed: Told, refused: Told
    ) -> None:
        self._log = log
        self._query = query
        self._receiver = receiver
        self._cursor = cursor
        self._pace = pace
        self._failed = failed
        self._refused = refused
        self._events = Events()
        self._walk: Walk | None = None
        self._most = BATCH
        self._erasures = log.erasures
        self._batch: _Batch | None = None

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Deliver until cancelled."""
        failures = 0
        while True:
            try:
                moved = await self._step()
            except NoMoatError as error:  # also a damaged log: nothing is passed over
                failures += 1
                asked = error.wait if isinstance(error, Undelivered) else 0.0
                self._failed(error.reason if isinstance(error, (Undelivered, Unavailable)) else str(error))
                await sleep(max(self._backed_off(failures), min(asked, self._pace.longest)))
            else:
                failures = 0
                if not moved:
                    await sleep(self._pace.idle)

    async def _step(self) -> bool:
        """Deliver the next batch; return whether there was one."""
        if self._erasures != self._log.erasures:
            self._again()
        if self._batch is None:
            # A walk that failed on the way is not gone on with: the next one begins at the cursor.
            walk = self._walk if self._walk is not None else await asyncio.to_thread(self._begin)
            self._walk = None
            self._batch = await asyncio.to_thread(self._read, walk, self._log.size)
            self._walk = walk
        if self._erasures != self._log.erasures:  # while it was read
            return True
        batch = self._batch
        if batch is None:
            return False
        if batch.count:
            try:
                refused = await self._receiver.deliver(batch.payload)
            except Undelivered as failure:
                if failure.too_large and self._most > 1:
                    self._shrink()
                raise
            if refused:
                self._refused(f"records up to {batch.last}: {refused}")
        await asyncio.to_thread(self._cursor.keep, batch.last, batch.at)
        self._batch = None
        self._most = min(BATCH, self._most * 2)
        return True

    def _begin(self) -> Walk:
        if not self._cursor.load(self._log):
            self._failed("its cursor is not of this log, as after a restore: everything is delivered again")
        return self._log.walk(self._cursor.after)

    def _read(self, walk: Walk, size: int) -> _Batch | None:
        records = walk.take(size, most=self._most, room=BATCH_ROOM)
        if not records:
            return None
        events = self._events.tell(records, self._query)
        payload = self._receiver.encode(events) if events else b""
        return _Batch(walk.after, str(records[-1]["at"]), len(events), payload)

    def _shrink(self) -> None:
        """Read the batch again, as a smaller one."""
        self._most //= 2
        self._again()

    def _again(self) -> None:
        """Read again what follows the cursor, with nothing in memory of what was read before."""
        self._erasures = self._log.erasures
        self._batch, self._events = None, Events()
        self._walk = self._log.walk(self._cursor.after)

    def _backed_off(self, failures: int) -> float:
        wait = min(self._pace.longest, self._pace.first * 2.0 ** min(failures - 1, 16))
        return wait * random.uniform(0.75, 1.25)  # noqa: S311 - so that many do not come back at once


def cursor_path(directory: Path, name: str) -> Path:
    """Return where the cursor of the delivery called `name` lies in a data directory."""
    return directory / "forward" / f"{name}.json"
