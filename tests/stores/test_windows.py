"""Sliding windows against a list of what was taken when: never more in any window, and room when it is said to be."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.quotas import Measure, Period
from nomoat.core.windows import SECONDS, Window, slice_at

LENGTH = 60
MOST = 10
TIMES = st.lists(st.tuples(st.floats(0, 20, allow_nan=False), st.integers(1, MOST)), min_size=5, max_size=60)


@settings(deadline=None, max_examples=300)
@given(TIMES)
def test_no_window_has_more_than_the_most(steps: list[tuple[float, int]]) -> None:
    window, now, taken = Window(Period.MINUTE), 1_000_000.0, list[tuple[float, int]]()
    for seconds, amount in steps:
        now += seconds
        window.forget(now)
        wait = window.wait(Measure.TOKENS, amount, MOST, now)
        before = sum(each for at, each in taken if at > now - LENGTH)
        if wait == 0:
            assert before + amount <= MOST
            window.take((0, amount, 0), slice_at(Period.MINUTE, now))
            taken.append((now, amount))
        else:
            longer = sum(each for at, each in taken if at > now - LENGTH - SECONDS[Period.MINUTE])
            assert longer + amount > MOST, "it waits no more than a slice too long"
            assert window.wait(Measure.TOKENS, amount, MOST, now + wait) == 0
            assert window.wait(Measure.TOKENS, amount, MOST, now + wait - 0.001) > 0


def test_a_slice_counts_until_the_whole_of_it_is_out_of_the_window() -> None:
    window = Window(Period.MINUTE)
    window.take((1, 0, 0), slice_at(Period.MINUTE, 1_000_004.9))
    assert window.used(Measure.REQUESTS, 1_000_064.8) == 1
    assert window.used(Measure.REQUESTS, 1_000_065.0) == 0
    assert window.wait(Measure.REQUESTS, 1, 1, 1_000_004.9) == 1_000_065.0 - 1_000_004.9
