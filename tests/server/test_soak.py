"""A short soak: memory and descriptors do not grow while clients come and go, slow and half-open ones among them."""

from pathlib import Path

from bench.soak import HALF_OPEN, WARM, soak

SECONDS = 12.0
MOST_GROWTH = 1.25  # so short a time is mostly warm-up; `python -m bench.soak` is the measurement


def test_a_short_soak_leaks_nothing_and_fails_nothing(tmp_path: Path) -> None:
    done = soak(tmp_path, SECONDS, clients=16, probe=2.0)
    assert done.failed == 0
    assert sum(len(tenth.times) for tenth in done.tenths) > 100
    assert done.leaked <= HALF_OPEN
    assert done.growth < MOST_GROWTH, [tenth.memory for tenth in done.tenths[WARM - 1 :]]
