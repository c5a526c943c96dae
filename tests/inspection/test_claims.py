"""What a process says that read hostile bytes is taken strictly: anything else than an answer is no answer."""

import json

import pytest

from nomoat.core import claims
from nomoat.core.verdict import LONGEST_WHAT, MOST_FINDINGS, Verdict
from nomoat.server.scanning import _reports

FINDING = ["quarantined", "pickle.unknown-global", "a", "b"]
GOOD = [{"format": "zip", "findings": [FINDING]}]
WRONG: dict[str, object] = {
    "no list": GOOD[0],
    "too few": [],
    "too many": GOOD * 2,
    "no object": [[]],
    "no findings": [{"format": "zip"}],
    "a format that is no text": [{"format": 1, "findings": []}],
    "a format that is long": [{"format": "z" * (LONGEST_WHAT + 1), "findings": []}],
    "what cannot be printed": [{"format": "z\x1b[2J", "findings": []}],
    "findings without end": [{"format": "zip", "findings": [FINDING] * (MOST_FINDINGS + 1)}],
    "a finding of three parts": [{"format": "zip", "findings": [FINDING[:3]]}],
    "a finding of five parts": [{"format": "zip", "findings": [[*FINDING, ""]]}],
    "a verdict that is none": [{"format": "zip", "findings": [["fine", *FINDING[1:]]]}],
}


def test_an_answer_is_understood() -> None:
    (report,) = _reports(json.dumps(GOOD).encode(), 1)
    assert (report.verdict, report.format, len(report.findings)) == (Verdict.QUARANTINED, "zip", 1)


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
def test_anything_else_is_no_answer(answer: object) -> None:
    with pytest.raises((ValueError, KeyError)):
        _reports(json.dumps(answer).encode(), 1)


@pytest.mark.parametrize(
    "line", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b"[NaN]", b"[-Infinity]", b"[1", b"", b"\xff"]
)
def test_what_is_no_json_or_too_deep_is_no_answer(line: bytes) -> None:
    with pytest.raises(ValueError):
        claims.parse(line)


@pytest.mark.parametrize("value", [True, None, "1", 10**400, 1e309, -(10**400), [1]])
def test_a_number_is_finite_and_no_truth(value: object) -> None:
    with pytest.raises(ValueError, match="no number"):
        claims.number(value)


@pytest.mark.parametrize("value", [True, -1, 1 << 62, 1.0, "1", None])
def test_a_count_is_a_whole_number_that_is_not_negative(value: object) -> None:
    with pytest.raises(ValueError, match="no count"):
        claims.count(value)


def test_what_is_shown_fits_one_line() -> None:
    assert claims.shown(" a\n\tb\x1b[31m" + "c" * 99, 10) == "a b?[31mcc"
    with pytest.raises(ValueError, match="no text"):
        claims.shown(1, 10)
