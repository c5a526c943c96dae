"""Quotas as they are used: what was taken, in memory and in the state.

Rules: who asks is charged before anything is sent: at once in memory, so that two cannot take the same room, and on disk
before `charge` returns. INVARIANT (covered): what the state has of a slice is never less than what was taken of it when
something of that left; so a crash gives nothing back. To write seldom, a little more is stored than was taken: what of that
was not taken is lost in a crash, and given back otherwise.
A clock that is set back stands still here until it is where it was.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from nomoat.core.errors import OverQuota, Unavailable
from nomoat.core.quotas import Amounts, Limit, Measure, Meter, Period, worded, written
from nomoat.core.windows import SECONDS, Window, oldest_at, slice_at
from nomoat.stores.state import State
from nomoat.stores.state.quota_schema import quota_use

AHEAD: Final = 32  # a limit by this is what is stored before it is taken
SETTLED_S: Final = 1.0  # how long what was given back may not be stored
MOST_OPEN: Final = 4_096  # meters that are kept in memory

_KEPT: Final = insert(quota_use)
_KEEP: Final = _KEPT.on_conflict_do_update(
    index_elements=["quota", "subject", "period", "slice"],
    set_={name: _KEPT.excluded[name] for name in ("requests", "tokens", "cost")},
)


class _Place(NamedTuple):
    """A slice of a meter's window."""

    name: str
    subject: str
    period: Period
    slice: int


class _Part(NamedTuple):
    """What a charge took of a slice."""

    place: _Place
    amounts: Amounts


@final
class _Book:
    """The windows of one meter."""

    def __init__(self, windows: dict[Period, Window]) -> None:
        self.windows = windows
        self.open = 0  # charges that are not settled

    def forget(self, now: float) -> None:
        """Let go of slices that count no more."""
        for window in self.windows.values():
            window.forget(now)


@final
class Charge:
    """What an access was charged, until it is known what it took."""

    def __init__(self, quotas: "Quotas", meters: Sequence[Meter], amounts: Amounts) -> None:
        self._quotas = quotas
        self._meters = meters
        self.parts: list[_Part] = []
        self._over = False
        quotas.take(meters, amounts, self.parts)
        self.amounts = amounts

    def more(self, amounts: Amounts) -> None:
        """Charge more, for what goes on longer than expected. Raises `OverQuota`: nothing more was charged."""
        self._quotas.take(self._meters, amounts, self.parts)
        self.amounts = Amounts(*map(sum, zip(self.amounts, amounts, strict=True)))

    def settle(self, amounts: Amounts) -> None:
        """End it: it took so much, which may be more or less than was charged. Once; later calls change nothing."""
        if not self._over:
            self._over = True
            self._quotas.settle(self._meters, amounts, self.parts)

    def keep(self) -> None:
        """End it as it is, unless it is settled: nobody can tell what it took."""
        if not self._over:
            self._over = True
            self._quotas.keep(self._meters)


@final
class Quotas:
    """What was taken of the quotas of one gateway."""

    def __init__(self, state: State, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock
        self._books: dict[tuple[str, str], _Book] = {}
        self._stored: dict[_Place, Amounts] = {}
        self._dirty: dict[_Place, Amounts] = {}  # and how much more than was taken is to be stored
        self._writing = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._latest = state.read(_latest)

    async def charge(self, meters: Sequence[Meter], amounts: Amounts) -> Charge:
        """Charge all of these meters, or none; once it returns, that is durable.

        Of tokens and cost nobody is charged more than a limit at once: who may take more than that has to have it all.
        Raises `OverQuota` when a limit does not have it, `Unavailable` when it cannot be stored: nothing was charged.
        """
        charge = Charge(self, meters, amounts)
        try:
            if self._uncovered(charge.parts):
                await asyncio.shield(self._store())
        except BaseException:
            charge.settle(Amounts())
            raise
        return charge

    def used(self, meter: Meter) -> Sequence[tuple[Limit, int]]:
        """How much counts now of each limit. Raises `Unavailable`."""
        now, book = self._now(), self._book(meter)
        return [(limit, book.windows[limit.period].used(limit.measure, now)) for limit in meter.quota.limits]

    def subjects(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Of whom something is counted, by the names of quotas. Raises `Unavailable`."""
        wanted = select(quota_use.c.quota, quota_use.c.subject).distinct().where(quota_use.c.quota.in_(names))
        found = {(row.quota, row.subject) for row in self._state.read(lambda each: each.execute(wanted).all())}
        found |= self._books.keys()
        return {name: sorted(subject for of, subject in found if of == name) for name in names}

    async def close(self) -> None:
        """Store exactly what was taken. Where that fails, what is stored is more."""
        self._dirty |= {place: Amounts() for place in self._stored if self._taken(place) is not None}
        with contextlib.suppress(Unavailable):
            await self._store()
        if self._later is not None:
            self._later.cancel()

    # -- in memory --------------------------------------------------------------------------------------

    def take(self, meters: Sequence[Meter], amounts: Amounts, parts: list[_Part]) -> None:
        """Take from all of these meters or none, and add what was taken to `parts`. Raises `OverQuota`, `Unavailable`."""
        now = self._now()
        books = [self._book(meter) for meter in meters]
        self._require_room(meters, books, amounts, now)
        first = not parts
        for meter, book in zip(meters, books, strict=True):
            book.open += first
            for period, limits in _by_period(meter.quota.limits):
                taken = [0, 0, 0]
                for limit in limits:
                    taken[limit.measure] = min(amounts[limit.measure], limit.most)
                part = _Part(_Place(meter.quota.name, meter.subject, period, slice_at(period, now)), Amounts(*taken))
                book.windows[period].take(part.amounts, part.place.slice)
                parts.append(part)
                if self._touch(limits, part.place):
                    self._start()

    def _require_room(self, meters: Sequence[Meter], books: Sequence[_Book], amounts: Amounts, now: float) -> None:
        """Raise `OverQuota` for the limit that has to be waited for the longest, where one has no room."""
        longest, refusal = 0.0, None
        for meter, book in zip(meters, books, strict=True):
            for limit in meter.quota.limits:
                window, wanted = book.windows[limit.period], min(amounts[limit.measure], limit.most)
                if (wait := window.wait(limit.measure, wanted, limit.most, now)) > longest:
                    longest, refusal = wait, (meter, limit, window.used(limit.measure, now))
        if refusal is not None:
            meter, limit, used = refusal
            raise _refusal(meter, limit, amounts, used, longest + now - self._clock())

    def keep(self, meters: Sequence[Meter]) -> None:
        """Count that what a charge took stays taken."""
        for meter in meters:
            self._book(meter).open -= 1

    def settle(self, meters: Sequence[Meter], amounts: Amounts, parts: Sequence[_Part]) -> None:
        """Count that so much was taken in the end where `parts` were."""
        now = self._now()
        for meter in meters:
            book = self._book(meter)
            book.open -= 1
            mine = [part for part in parts if part.place[:2] == (meter.quota.name, meter.subject)]
            for limit in meter.quota.limits:
                of = [part for part in mine if part.place.period is limit.period] if len(mine) > 1 else mine
                if sum(part.amounts[limit.measure] for part in of) != amounts[limit.measure]:
                    self._adjust(book, of, limit.measure, amounts[limit.measure], now)
        if self._later is None and self._dirty:
            self._later = asyncio.get_running_loop().call_later(SETTLED_S, self._start)

    def _adjust(self, book: _Book, parts: Sequence[_Part], measure: Measure, amount: int, now: float) -> None:
        """Give back what was charged too much, the last first; what was charged too little counts from now."""
        over = sum(part.amounts[measure] for part in parts) - amount
        for part in reversed(parts):
            window = book.windows[part.place.period]
            if over > 0 and part.place.slice in window.slices:
                back = min(over, part.amounts[measure])
                window.take(_only(measure, -back), part.place.slice)
                self._dirty.setdefault(part.place, Amounts())
                over -= back
        if over < 0 and parts:
            place = parts[-1].place
            place = place._replace(slice=slice_at(place.period, now))
            book.windows[place.period].take(_only(measure, -over), place.slice)
            self._dirty.setdefault(place, Amounts())

    def _now(self) -> float:
        self._latest = max(self._latest, self._clock())
        return self._latest

    def _book(self, meter: Meter) -> _Book:
        key = (meter.quota.name, meter.subject)
        book = self._books.get(key)
        if book is None:
            if len(self._books) >= MOST_OPEN:
                self._put_away()
            book = self._books[key] = self._load(*key)
        return book

    def _load(self, name: str, subject: str) -> _Book:
        wanted = select(quota_use).where(quota_use.c.quota == name, quota_use.c.subject == subject)
        windows = {period: Window(period) for period in Period}
        for row in self._state.read(lambda connection: connection.execute(wanted).all()):
            amounts = Amounts(row.requests, row.tokens, row.cost)
            windows[Period(row.period)].slices[row.slice] = list(amounts)
            self._stored[_Place(name, subject, Period(row.period), row.slice)] = amounts
        return _Book(windows)

    def _put_away(self) -> None:
        """Let go of meters that are stored as they are."""
        unstored = {(place.name, place.subject) for place in self._dirty}
        self._books = {key: book for key, book in self._books.items() if book.open or key in unstored}
        self._stored = {
            place: each for place, each in self._stored.items() if (place.name, place.subject) in self._books
        }

    # -- on disk ----------------------------------------------------------------------------------------

    def _taken(self, place: _Place) -> Amounts | None:
        book = self._books.get((place.name, place.subject))
        held = book.windows[place.period].slices.get(place.slice) if book else None
        return None if held is None else Amounts(*held)

    def _touch(self, limits: Sequence[Limit], place: _Place) -> bool:
        """Whether a slice is to be stored: where what is stored of it is used up, or soon will be."""
        taken, stored = self._taken(place) or Amounts(), self._stored.get(place, Amounts())
        if all(taken[each.measure] + each.most // AHEAD // 2 <= stored[each.measure] for each in limits):
            return False
        ahead = [0, 0, 0]
        for limit in limits:
            ahead[limit.measure] = limit.most // AHEAD
        self._dirty[place] = Amounts(*ahead)
        return True

    def _uncovered(self, parts: Sequence[_Part]) -> bool:
        """Whether more was taken of these slices than is stored."""
        return any(
            used > kept
            for place, _ in parts
            for used, kept in zip(self._taken(place) or Amounts(), self._stored.get(place, Amounts()), strict=True)
        )

    def _start(self) -> None:
        self._store()

    def _store(self) -> asyncio.Task[None]:
        """The write that will have everything which was taken up to now."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._write())
            self._next.add_done_callback(_heard)
        return self._next

    async def _write(self) -> None:
        async with self._writing:
            self._next = None  # what is taken from here on goes with the one after
            if self._later is not None:
                self._later.cancel()
                self._later = None
            dirty, self._dirty, rows = self._dirty, {}, list[dict[str, object]]()
            wanted: dict[_Place, Amounts] = {}
            for place, ahead in dirty.items():
                if (taken := self._taken(place)) is not None:
                    amounts = wanted[place] = Amounts(*map(sum, zip(taken, ahead, strict=True)))
                    # Until it is written it is not known which of the two is there.
                    self._stored[place] = Amounts(*map(min, self._stored.get(place, Amounts()), amounts))
                    rows.append({"quota": place.name, **place._asdict(), **amounts._asdict()})
            now = self._latest
            for book in self._books.values():
                book.forget(now)
            try:
                # Not followed: a state without it is no older than what the log knows, and forgets what was taken at most.
                await self._state.write(lambda connection: _keep(connection, rows, now), followed=False)
            except BaseException:
                self._dirty = dirty | self._dirty
                raise
            self._stored |= wanted
            self._stored = {
                place: each for place, each in self._stored.items() if place.slice >= oldest_at(place.period, now)
            }


def _keep(connection: Connection, rows: Sequence[dict[str, object]], now: float) -> None:
    if rows:
        connection.execute(_KEEP, rows)
    for period in Period:
        gone = delete(quota_use).where(quota_use.c.period == period.value, quota_use.c.slice < oldest_at(period, now))
        connection.execute(gone)


def _latest(connection: Connection) -> float:
    """The beginning of the newest slice: time was there already."""
    newest = select(quota_use.c.period, func.max(quota_use.c.slice)).group_by(quota_use.c.period)
    return max((float(slice_ * SECONDS[Period(period)]) for period, slice_ in connection.execute(newest)), default=0.0)


@lru_cache(maxsize=1024)
def _by_period(limits: tuple[Limit, ...]) -> Sequence[tuple[Period, Sequence[Limit]]]:
    """Limits by the period that they are of."""
    periods = sorted({limit.period for limit in limits})
    return [(period, [limit for limit in limits if limit.period is period]) for period in periods]


def _only(measure: Measure, amount: int) -> Amounts:
    amounts = [0, 0, 0]
    amounts[measure] = amount
    return Amounts(*amounts)


def _refusal(meter: Meter, limit: Limit, amounts: Amounts, used: int, wait: float) -> OverQuota:
    seconds = max(1, math.ceil(wait))
    left = max(0, limit.most - used)
    whose = "each" if meter.quota.each else "all whom it is for together"
    said = f"the quota {meter.quota.name} allows {whose} {worded(limit)}"
    if limit.measure is not Measure.REQUESTS:
        wanted = min(amounts[limit.measure], limit.most)
        said += f"; {written(limit.measure, left)} are left, and this may take {written(limit.measure, wanted)}"
    return OverQuota(f"{said}; try again in {seconds} s", quota=meter.quota.name, retry_after=seconds)


def _heard(task: asyncio.Task[None]) -> None:
    """Take note of how a write ended: whoever was to wait for it may have left."""
    if not task.cancelled():
        task.exception()
