"""Group commit: records that come while the disk is busy share the next write and sync.

Rules: one batch is with the writer thread at a time, the next one gathers meanwhile. After any error
the log is down: accesses are refused, outcomes and priority records are kept, the failed batch is
settled and a new segment begun; each second it tries again. With a full disk it goes on, on reserved
space, for outcomes and priority records only. Refusals are counted and recorded when it is over.
The event loop owns everything here; `Tail.commit`, `settle`, `roll` and `publish` run in the thread.
"""

from asyncio import AbstractEventLoop, Event, Future, TimerHandle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, final

from nomoat.audit.entries import Draft, SealedRecord
from nomoat.audit.outage import Mode, Outage
from nomoat.audit.segments import OpenAccess
from nomoat.audit.tail import Batch, Item, Stamped, Tail
from nomoat.core.durations import Durations
from nomoat.core.errors import Corrupt, Misuse, TooLarge, Unavailable
from nomoat.core.record import Json, Receipt, Record, RecordKind
from nomoat.stores.segments import Reserve, WriterThread, is_full

OUTCOME_DELAY: Final = 0.02
"""Seconds that a record without a waiter waits for company."""
_DISK_FULL: Final = "the disk is full"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Sizes in bytes, times in seconds.

    `pending_size` bounds what waits for the writer, `held_limit` how many outcomes wait for a disk.
    """

    segment_size: int = 64 * 1024 * 1024
    reserve_size: int = 4 * 1024 * 1024
    reserve_slice: int = 256 * 1024
    probe_interval: float = 1.0
    publish_interval: float = 1.0
    pending_size: int = 32 * 1024 * 1024
    held_limit: int = 64 * 1024


class ClockBehind(Exception):
    """The clock is `seconds` behind the newest record."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Gate:
    """What group commit asks of the log.

    `draft` prepares an item now, or returns None when it will come again; it raises `ClockBehind`.
    `seal` makes a draft the record of a number and time. `now` is the present as a record's time.
    """

    draft: Callable[[Item], Stamped | None]
    seal: Callable[[Draft, int, str], SealedRecord]
    now: Callable[[], str]


@final
class GroupCommit:
    """The way of records to the disk, and what happens when the disk does not take them."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        tail: Tail,
        writer: WriterThread,
        reserve: Reserve,
        gate: Gate,
        settings: LogSettings,
    ) -> None:
        self._loop = loop
        self._tail = tail
        self._writer = writer
        self._reserve = reserve
        self._gate = gate
        self._settings = settings
        self._pending = Batch(tail.frontier.size)
        self._failed: Batch | None = None
        self._full = False
        self._held: deque[Item] = deque()
        self._mode = Mode.NORMAL
        self._outage: Outage | None = None
        self._busy = False
        self._soon = False
        self._later: TimerHandle | None = None
        self._probe: TimerHandle | None = None
        self._publishing: TimerHandle | None = None
        self._quiet = Event()
        self._ending = False
        self._begun = 0.0
        self.syncs = Durations()

    def begin_full(self) -> None:
        """Start on the reserve: there was no room to fill it."""
        self._full = True
        self._mode = Mode.RESERVED
        self._begin_outage("log", _DISK_FULL)

    @property
    def mode(self) -> Mode:
        """What is taken at present."""
        return self._mode

    def submit(self, item: Item) -> None:
        """Take an item with a waiter into the next batch. Raises `Unavailable` and counts the refusal."""
        if self._mode is not Mode.NORMAL and not (item.record.priority and self._mode is Mode.RESERVED):
            raise self._refusal("log", self._outage.reason if self._outage else "it is being mended")
        if self._pending.size >= self._settings.pending_size:
            raise self._refusal("log", "too many requests wait to be recorded")
        try:
            self._enter(item)
        except ClockBehind as clock:
            raise self._refusal("clock", f"the clock is {clock.seconds} s behind the newest record") from None

    def offer(self, item: Item) -> None:
        """Take an item that must be kept: now, or when it is possible again."""
        if self._mode is Mode.DOWN or self._pending.size >= self._settings.pending_size:
            self.hold(item)
            return
        try:
            self._enter(item)
        except (ClockBehind, Unavailable, Corrupt):  # the subject's key may be what cannot be read
            self.hold(item)

    def _enter(self, item: Item) -> None:
        """Take an item into the pending batch and see that the batch will be written."""
        stamped = self._gate.draft(item)
        if stamped is None:
            return
        self._pending.add(item, stamped)
        if self._busy:
            return
        if item.waiter is None:
            if self._later is None:
                self._later = self._loop.call_later(OUTCOME_DELAY, self._flush)
        elif not self._soon:
            # Whoever is ready in this turn of the loop still gets into this batch.
            self._soon = True
            self._loop.call_soon(self._flush)

    def hold(self, item: Item) -> None:
        """Keep an item in memory until the log can take it."""
        if len(self._held) < self._settings.held_limit:
            self._held.append(item)
        else:
            self._lose("too many outcomes wait to be recorded")
        self._watch()

    def end_segment(self) -> None:
        """Go on in a new segment after the next batch."""
        self._ending = True

    async def drain(self) -> None:
        """Return when everything taken is durable, or cannot be for now."""
        while self._busy or (self._pending and self._mode is not Mode.DOWN):
            self._quiet.clear()
            self._flush()
            if self._busy:
                await self._quiet.wait()

    def conclude(self) -> None:
        """Record an outage that lasts until the end, so that its refusals are told."""
        outage, self._outage = self._outage, None
        if outage is not None:
            self.offer(Item(outage.record()))

    def stop(self) -> None:
        """Cancel what is scheduled. What is still held then is lost; its accesses close at the next start."""
        for item in self._held:
            self._refuse(item.waiter, "it is closed")
        for timer in (self._later, self._probe, self._publishing):
            if timer is not None:
                timer.cancel()

    # -- The writer's turn ----------------------------------------------------------------------------

    def _flush(self) -> None:
        """Seal the pending batch and hand it to the writer thread, unless that has one."""
        if self._later is not None:
            self._later.cancel()
        self._soon, self._later = False, None
        if self._busy or self._mode is Mode.DOWN:
            return
        batch = self._pending
        if not batch:
            self._quiet.set()
            return
        self._pending = Batch(batch.first + len(batch))
        batch.seal(self._gate.seal)
        self._tail.prepare(batch)
        self._busy = True
        self._begun = self._loop.time()
        self._writer.submit(partial(self._tail.commit, batch), partial(self._committed, batch))

    def _committed(self, batch: Batch, result: bytes | Exception) -> None:
        self.syncs.add(self._loop.time() - self._begun)
        self._busy = False
        if isinstance(result, Exception):
            self._break(batch, result)
            return
        self._tail.advance(batch, result)
        if self._ending or self._tail.segment.length >= self._settings.segment_size:
            self._ending = False
            self._busy = True
            self._writer.submit(self._tail.roll, self._rolled)
        for place, waiter in enumerate(batch.waiters):  # nobody waits for how an access ended
            if waiter is not None:
                self._acknowledge(waiter, Receipt(batch.first + place, batch.leaves[place]))
        # Those waiters go on in the next turn of the loop; how their accesses end still gets into the next
        # batch. Half as many batches are written, and a turn is short beside what each of them costs.
        if self._pending and not self._soon:
            self._soon = True
            self._loop.call_soon(self._flush)
        elif not self._pending:
            self._flush()
        if self._publishing is None:
            self._publishing = self._loop.call_later(self._settings.publish_interval, self._publish)

    def _rolled(self, result: Exception | None) -> None:
        self._busy = False
        if isinstance(result, Exception):
            self._break(None, result)
        else:
            self._flush()

    def _publish(self) -> None:
        self._publishing = None
        # The file is a convenience for copying; a disk that cannot take it shows at the next commit.
        self._writer.submit(self._tail.publish, lambda _: None)

    def _acknowledge(self, waiter: "Future[Receipt]", receipt: Receipt) -> None:
        """Tell the waiter that the record is durable; if it is gone, nobody will close the access."""
        if not waiter.done():
            waiter.set_result(receipt)
        elif (access := self._tail.open.get(receipt.index)) is not None:
            self.offer(interrupted(access))

    # -- Faults ---------------------------------------------------------------------------------------

    def _break(self, batch: Batch | None, error: Exception) -> None:
        """After a failed write: refuse accesses, keep what must be kept, begin to mend."""
        self._full = is_full(error)
        self._mode = Mode.DOWN
        self._begin_outage("log", _reason(error))
        pending, self._failed = self._pending, batch
        for lost in filter(None, (batch, pending)):
            for place, waiter in enumerate(lost.waiters):
                if place not in lost.again:
                    self._refuse(waiter, _reason(error))
        self._held.extend(pending.again.values())
        self._mend()

    def _mend(self) -> None:
        """Settle the failed batch and go on in a new segment; on a full disk, with space from the reserve."""
        batch, tail, reserve, full = self._failed, self._tail, self._reserve, self._full

        def job() -> None:
            if batch is not None:
                tail.settle(batch)
            if full:
                reserve.release()
            tail.roll()

        self._busy = True
        self._writer.submit(job, self._mended)

    def _mended(self, result: Exception | None) -> None:
        self._busy = False
        batch = self._failed
        if batch is not None and batch.kept is not None:
            self._failed = None
            self._account(batch, batch.kept)
        if isinstance(result, Exception):
            self._still_down(result)
            return
        self._pending = Batch(self._tail.frontier.size)
        if self._full:
            self._mode = Mode.RESERVED
            self._release_held()
        else:
            self._recover()
        self._watch()
        self._flush()

    def _still_down(self, error: Exception) -> None:
        self._full = is_full(error)
        self._begin_outage("log", _reason(error)).reason = _reason(error)
        waiters = [item.waiter for item in self._held]
        for waiter in [*waiters, *(self._failed.waiters if self._failed else ())]:  # nobody waits for the disk
            self._refuse(waiter, _reason(error))
        self._held = deque(item for item in self._held if item.waiter is None)
        self._quiet.set()
        self._watch()

    def _account(self, batch: Batch, kept: int) -> None:
        """Of a settled batch, the first `kept` records stayed and are durable; the others come again."""
        again: list[Item] = []
        for place, (waiter, receipt) in enumerate(batch.receipts()):
            if place >= kept:
                item = batch.again.get(place)
                again.extend([item] if item is not None and (waiter is None or not waiter.done()) else [])
            elif waiter is not None:
                self._acknowledge(waiter, receipt)
        self._held.extendleft(reversed(again))

    def _recover(self) -> None:
        """Everything is taken again: first the record of the outage, then what was held."""
        self._mode = Mode.NORMAL
        if self._outage is not None:
            try:
                self._enter(Item(self._outage.record()))
            except (ClockBehind, Unavailable, Corrupt):
                return  # the outage lasts
            self._outage = None
        self._release_held()

    def _release_held(self) -> None:
        held, self._held = self._held, deque()
        for item in held:
            try:
                self.offer(item)
            except (Misuse, TooLarge) as error:  # it must not take the others with it
                self._lose(f"an outcome cannot be recorded ({error})")

    def _watch(self) -> None:
        """Look again after the probe interval, as long as something is amiss."""
        if self._probe is None and (self._outage is not None or self._held):
            self._probe = self._loop.call_later(self._settings.probe_interval, self._look)

    def _look(self) -> None:
        self._probe = None
        if self._mode is Mode.NORMAL:
            self._recover()
        elif not self._busy:
            if self._mode is Mode.DOWN:
                self._mend()
            else:
                self._busy = True
                self._writer.submit(self._reserve.fill, self._filled)
        self._watch()

    def _filled(self, result: Exception | None) -> None:
        """On the reserve: the disk has room again when the reserve could be filled."""
        self._busy = False
        if not isinstance(result, Exception):
            self._recover()
        self._flush()

    def _lose(self, reason: str) -> None:
        self._begin_outage("log", reason).lost += 1

    def _begin_outage(self, part: str, reason: str) -> Outage:
        if self._outage is None:
            self._outage = Outage(part, reason, since=self._gate.now())
            self._watch()
        return self._outage

    def _refuse(self, waiter: "Future[Receipt] | None", reason: str) -> None:
        """Tell the waiter, if there is one, that the record will not be kept."""
        if waiter is not None and not waiter.done():
            waiter.set_exception(self._refusal("log", reason))

    def _refusal(self, part: str, reason: str) -> Unavailable:
        """Count a refusal; return what to raise."""
        self._begin_outage(part, reason).refused += 1
        return Unavailable(part, reason)


def interrupted(access: OpenAccess) -> Item:
    """The outcome of an access that nobody will close any more."""
    content: dict[str, Json] = {"outcome": "interrupted"}
    record = Record(RecordKind.OUTCOME, "", access.what, on="", decision="", content=content, of=access.opening)
    return Item(record, access=access)


def _reason(error: Exception) -> str:
    if is_full(error):
        return _DISK_FULL
    return f"it cannot be written ({error.strerror if isinstance(error, OSError) else type(error).__name__})"
