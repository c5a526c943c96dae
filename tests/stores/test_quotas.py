"""Quotas against a model: no sequence of requests, crashes, restarts and clocks takes more than there is in any window."""

import asyncio
import functools
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from nomoat.core.errors import OverQuota, Unavailable
from nomoat.core.quotas import Amounts, Limit, Measure, Meter, Period, Quota, Scope
from nomoat.core.windows import SECONDS
from nomoat.stores.quotas import AHEAD, MOST_OPEN, SETTLED_S, Charge, Quotas
from nomoat.stores.state import State

T = TypeVar("T")
KEY = bytes(32)
LENGTHS = {Period.MINUTE: 60, Period.DAY: 86_400}


def quota(name: str, *limits: Limit) -> Quota:
    return Quota(name, Scope.EVERYONE, "", each=False, endpoint="", limits=limits)


SMALL = Meter(
    quota(
        "small",
        *[Limit(Measure.REQUESTS, Period.MINUTE, 4), Limit(Measure.TOKENS, Period.MINUTE, 1_000)],
        Limit(Measure.COST, Period.DAY, 5_000),
    ),
    "",
)
LARGE = Meter(quota("large", Limit(Measure.TOKENS, Period.MINUTE, 3_200), Limit(Measure.REQUESTS, Period.DAY, 64)), "")
METERS = [SMALL, LARGE]


class Clock:
    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


class Model(RuleBasedStateMachine):
    """Quotas, and every charge with its time, kept by hand; time as the quotas see it never goes back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "state.db"
        self.state = State.create(self.path, KEY)
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.latest = self.clock.at
        self.crashed = False
        self.quotas = self.run(self.opened())
        self.charged: list[tuple[float, list[Meter], Amounts]] = []
        self.open: list[tuple[int, Charge]] = []

    async def opened(self) -> Quotas:
        return Quotas(self.state, self.clock)

    def run(self, coroutine: Awaitable[T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def counted(self, meter: Meter, limit: Limit, at: float, length: float) -> int:
        """What was taken of a limit in the window that ends at an instant."""
        return sum(
            min(amounts[limit.measure], limit.most)
            for when, meters, amounts in self.charged
            if meter in meters and at - length < when <= at
        )

    @rule(
        which=st.sampled_from([[SMALL], [LARGE], METERS]),
        tokens=st.integers(0, 1_000),
        cost=st.integers(0, 3_000),
        patient=st.booleans(),
    )
    def ask(self, which: list[Meter], tokens: int, cost: int, patient: bool) -> None:
        amounts = Amounts(1, tokens, cost)
        try:
            self.charge(which, amounts)
        except OverQuota as refused:
            assert self.crashed or self.full(which, amounts), "it was refused, and a window longer by a slice had room"
            if patient:
                self.clock.at += refused.retry_after
                self.charge(which, amounts)  # there is room when it says so

    def see(self) -> None:
        """Have the quotas see what time it is."""
        self.latest = max(self.latest, self.clock.at)
        self.quotas.used(SMALL)

    def charge(self, which: list[Meter], amounts: Amounts) -> None:
        self.latest = max(self.latest, self.clock.at)
        charge = self.run(self.quotas.charge(which, amounts))
        self.charged.append((self.latest, which, amounts))
        self.open.append((len(self.charged) - 1, charge))

    def full(self, which: list[Meter], amounts: Amounts) -> bool:
        return any(
            self.counted(meter, limit, self.latest, LENGTHS[limit.period] + SECONDS[limit.period])
            + min(amounts[limit.measure], limit.most)
            > limit.most
            for meter in which
            for limit in meter.quota.limits
        )

    @rule(data=st.data(), share=st.integers(0, 100))
    def settle(self, data: st.DataObject, share: int) -> None:
        if self.open:
            number, charge = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            when, meters, amounts = self.charged[number]
            took = Amounts(1, amounts.tokens * share // 100, amounts.cost * share // 100)

            async def settle() -> None:
                charge.settle(took)

            self.run(settle())
            # What was charged is at most a limit, and what it took may be less than that.
            self.charged[number] = (when, meters, took)

    @rule(seconds=st.sampled_from([1.0, 4.9, 30.0, 56.0, 61.0, 66.0, 3_700.0, 83_000.0, 90_001.0]))
    def later(self, seconds: float) -> None:
        self.clock.at += seconds

    @rule(seconds=st.sampled_from([1.0, 120.0, 100_000.0]))
    def set_back(self, seconds: float) -> None:
        self.see()
        self.clock.at -= seconds

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.see()
        if clean:
            self.run(self.quotas.close())
        # A crash loses what was given back since the last write; a clock that was set back is known by its slice only.
        self.crashed = self.crashed or not clean or self.latest > self.clock.at
        self.open.clear()  # whoever was answered is gone: what was charged stays
        self.state.close()
        self.state = State.open(self.path, KEY)
        self.quotas = self.run(self.opened())
        self.latest = max([self.clock.at, *(when for when, _, _ in self.charged)])

    @invariant()
    def never_more_than_there_is_in_any_window(self) -> None:
        for meter in METERS:
            for limit in meter.quota.limits:
                for when, meters, _ in self.charged:
                    if meter in meters:
                        assert self.counted(meter, limit, when, LENGTHS[limit.period]) <= limit.most

    def teardown(self) -> None:
        self.run(self.quotas.close())
        self.state.close()
        self.loop.close()
        self.folder.cleanup()


def test_no_sequence_takes_more_than_there_is_in_any_window() -> None:
    run_state_machine_as_test(Model, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


def looped(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """Run a test in a loop of its own."""

    @functools.wraps(test)
    def run(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path))

    return run


def opened(path: Path, clock: Clock) -> tuple[State, Quotas]:
    state = State.open(path, KEY) if path.exists() else State.create(path, KEY)
    return state, Quotas(state, clock)


@looped
async def test_two_that_race_do_not_both_take_the_last(tmp_path: Path) -> None:
    state, quotas = opened(tmp_path / "state.db", Clock())
    asked = [quotas.charge([SMALL], Amounts(1)) for _ in range(50)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, Charge) for each in ended) == 4
    assert sum(isinstance(each, OverQuota) for each in ended) == 46
    state.close()


@looped
async def test_all_of_several_quotas_are_charged_or_none(tmp_path: Path) -> None:
    state, quotas = opened(tmp_path / "state.db", Clock())
    await quotas.charge([SMALL], Amounts(4, 0))
    with pytest.raises(OverQuota, match="small"):
        await quotas.charge([LARGE, SMALL], Amounts(1, 10))
    assert [used for _, used in quotas.used(LARGE)] == [0, 0]
    state.close()


@looped
async def test_what_a_cancelled_caller_was_charged_is_given_back(tmp_path: Path) -> None:
    state, quotas = opened(tmp_path / "state.db", Clock())
    task = asyncio.create_task(quotas.charge([SMALL], Amounts(1, 100)))
    await asyncio.sleep(0)  # it is in memory, and waits for the disk
    assert quotas.used(SMALL)[0][1] == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [used for _, used in quotas.used(SMALL)] == [0, 0, 0]
    await quotas.close()
    state.close()


@looped
async def test_what_cannot_be_stored_is_refused_and_not_charged(tmp_path: Path) -> None:
    state, quotas = opened(tmp_path / "state.db", Clock())
    await quotas.charge([SMALL], Amounts(1))
    state.close()
    with pytest.raises(Unavailable):
        await quotas.charge([SMALL], Amounts(1))
    with pytest.raises(Unavailable):  # a meter that was not looked at yet cannot be read either
        await quotas.charge([LARGE], Amounts(1))
    assert quotas.used(SMALL)[0][1] == 1


@looped
async def test_what_is_given_back_is_stored_a_little_later(tmp_path: Path) -> None:
    state, quotas = opened(tmp_path / "state.db", Clock())
    charge = await quotas.charge([SMALL], Amounts(1, 1_000))
    charge.settle(Amounts(1, 10))
    charge.settle(Amounts(1, 999))  # once is all
    await asyncio.sleep(SETTLED_S + 0.5)
    assert [used for _, used in Quotas(state, Clock()).used(SMALL)][1] <= 10 + 1_000 // AHEAD
    await quotas.close()
    assert [used for _, used in Quotas(state, Clock()).used(SMALL)] == [1, 10, 0]
    state.close()


@looped
async def test_what_may_take_more_than_a_limit_has_it_all_and_what_it_took_beyond_counts(tmp_path: Path) -> None:
    clock = Clock()
    state, quotas = opened(tmp_path / "state.db", clock)
    charge = await quotas.charge([SMALL], Amounts(1, 10_000))
    assert quotas.used(SMALL)[1][1] == 1_000
    clock.at += 40
    charge.settle(Amounts(1, 2_500))
    assert quotas.used(SMALL)[1][1] == 2_500
    clock.at += 40  # what was charged at first is out of the window, what it took beyond that is not
    assert quotas.used(SMALL)[1][1] == 1_500
    with pytest.raises(OverQuota) as refused:
        await quotas.charge([SMALL], Amounts(1, 1))
    clock.at += refused.value.retry_after
    await quotas.charge([SMALL], Amounts(1, 1))
    state.close()


@looped
async def test_what_goes_on_takes_more_until_there_is_none(tmp_path: Path) -> None:
    state, quotas = opened(tmp_path / "state.db", Clock())
    charge = await quotas.charge([SMALL], Amounts(1, 400))
    charge.more(Amounts(0, 600))
    with pytest.raises(OverQuota, match="0 are left"):
        charge.more(Amounts(0, 1))
    assert [used for _, used in quotas.used(SMALL)] == [1, 1_000, 0]
    charge.settle(Amounts(1, 300))
    assert [used for _, used in quotas.used(SMALL)] == [1, 300, 0]
    state.close()


@looped
async def test_meters_are_put_away_and_come_back_as_they_were(tmp_path: Path) -> None:
    state, quotas = opened(tmp_path / "state.db", Clock())
    meters = [Meter(SMALL.quota, f"person:{number}") for number in range(MOST_OPEN + 50)]
    held = await quotas.charge([SMALL], Amounts(1, 5))
    for meter in meters[:3]:
        (await quotas.charge([meter], Amounts(2, 20))).keep()
    await quotas.close()
    for meter in meters:
        quotas.used(meter)
    assert len(quotas._books) <= MOST_OPEN
    assert [used for _, used in quotas.used(meters[0])] == [2, 20, 0]
    held.settle(Amounts(1, 7))
    assert [used for _, used in quotas.used(SMALL)] == [1, 7, 0]
    state.close()


@looped
async def test_under_load_it_is_seldom_written(tmp_path: Path) -> None:
    meter = Meter(quota("wide", Limit(Measure.REQUESTS, Period.MINUTE, 64_000)), "")
    state, quotas = opened(tmp_path / "state.db", Clock())
    for _ in range(4_000):
        charge = await quotas.charge([meter], Amounts(1, 10))
        charge.settle(Amounts(1, 10))
    assert state.generation <= 12, "a write for each 2,000 requests or so, and some by the time"
    assert quotas.used(meter)[0][1] == 4_000
    await quotas.close()
    state.close()


DIES = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.stores.test_quotas import *

async def main():
    state, quotas = opened(Path(sys.argv[1]), Clock())
    await quotas.charge([SMALL], Amounts(3, 700))
    os.kill(os.getpid(), signal.SIGKILL)  # between the charge and the answer

asyncio.run(main())
"""


def test_what_was_charged_is_charged_after_a_kill(tmp_path: Path) -> None:
    died = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DIES), str(tmp_path / "state.db"), str(Path(__file__).parents[2])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    asyncio.run(_charged_still(tmp_path / "state.db"))


async def _charged_still(path: Path) -> None:
    state, quotas = opened(path, Clock())
    requests, tokens, _ = [used for _, used in quotas.used(SMALL)]
    assert requests == 3
    assert 700 <= tokens <= 700 + 1_000 // AHEAD
    with pytest.raises(OverQuota, match="1,000 tokens a minute"):
        await quotas.charge([SMALL], Amounts(1, 400))
    state.close()
