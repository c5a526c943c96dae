"""Every hostile artifact gets its verdict, and for the reason that it was made for."""

import io

import joblib
import pytest

from nomoat.core.verdict import Verdict
from nomoat.inspection.inspect import inspect
from tests.inspection.hostile import HOSTILE, Hostile


def test_there_are_enough() -> None:
    assert len(HOSTILE) >= 45
    assert len({each.data for each in HOSTILE.values()}) == len(HOSTILE)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_artifact_is_found(hostile: Hostile) -> None:
    report = inspect(io.BytesIO(hostile.data), len(hostile.data))
    assert hostile.rule in {finding.rule for finding in report.findings}, report
    assert report.verdict.severity >= hostile.verdict.severity, report
    assert report.verdict is not Verdict.CLEAN


def test_what_joblib_passes_over_is_a_pickle_that_joblib_loads() -> None:
    data = HOSTILE["hidden in data of an array of joblib"].data
    assert list(joblib.load(io.BytesIO(data))) == list(range(64))
