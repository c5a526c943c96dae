"""A server that does not answer is left alone, longer each time, and then asked by one."""

from hypothesis import given
from hypothesis import strategies as st

from nomoat.stores.circuits import JITTER, LONGEST_S, SHORTEST_S, TRIES, Circuit


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Circuit, Clock]:
    clock = Clock()
    circuit = Circuit(clock)
    for _ in range(TRIES):
        assert circuit.wait() == 0
        circuit.failed()
    return circuit, clock


def test_it_opens_after_some_failures_in_a_row_and_one_success_closes_it() -> None:
    circuit, clock = opened()
    assert SHORTEST_S * (1 - JITTER) <= circuit.wait() <= SHORTEST_S * (1 + JITTER)
    clock.now += 2
    assert circuit.wait() == 0
    assert circuit.wait() > 0, "the others wait for what becomes of the first"
    circuit.succeeded()
    assert [circuit.wait() for _ in range(3)] == [0, 0, 0]


def test_a_success_between_failures_leaves_it_closed() -> None:
    circuit = Circuit(Clock())
    for _ in range(3 * TRIES):
        circuit.failed()
        circuit.succeeded()
    assert circuit.wait() == 0


@given(st.integers(0, 200))
def test_pauses_grow_and_have_an_end(more: int) -> None:
    circuit, clock = opened()
    longest = 0.0
    for _ in range(more):
        pause = circuit.wait()
        longest = max(longest, pause)
        clock.now += pause
        assert circuit.wait() == 0
        circuit.failed()
    assert longest <= LONGEST_S * (1 + JITTER)
    assert more < 10 or longest >= LONGEST_S * (1 - JITTER)
