"""Exact numbers and noise: what one unit can change, what noise is drawn for it, and what no row can do."""

import datetime
import io
import json
import math
from collections import Counter
from collections.abc import Sequence

import opendp.prelude as dp
import pytest
from fsspec import AbstractFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.metrics import MILLION, Metric, MetricKind
from nomoat.resources.metrics.answers import answer, dump_answer, load_answer
from nomoat.resources.metrics.mechanism import GRID, Drawn, Question, cells, offset, parts, shape, step
from nomoat.server.releaser import ALPHA, added, noisy
from nomoat.server.tabulator import tabulate

dp.enable_features("contrib")

Row = tuple[str, str, str]  # ward, days, patient
Files = Sequence[Sequence[Row]]

COUNT = Metric("c", MetricKind.COUNT, "*", MILLION, group="ward", values=("east", "north"))
SUM = Metric(
    "s", MetricKind.SUM, "*", MILLION, column="days", bounds=(-2.0, 10.0), group="ward", values=("east", "north")
)
MEAN = Metric("m", MetricKind.MEAN, "*", MILLION, column="days", bounds=(0.0, 10.0))
HISTOGRAM = Metric("h", MetricKind.HISTOGRAM, "*", MILLION, column="days", edges=(0.0, 2.0, 5.0, 10.0))
ROWS = [COUNT, SUM, MEAN, HISTOGRAM]
PERSONS = [
    Metric(**{**{name: getattr(each, name) for name in Metric.__slots__}, "person": "patient", "rows": 2})
    for each in ROWS
]
DAYS = ["0", "1.5", "7", "-3", "1e308", "-1e308", "inf", "-inf", "nan", "", "many", "0x1f", "9" * 400]

row = st.tuples(
    st.sampled_from(["east", "north", "west", ""]), st.sampled_from(DAYS), st.sampled_from(["a", "b", "c", ""])
)
files = st.lists(st.lists(row, max_size=8), min_size=1, max_size=2)


class Held(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """One file in memory."""

    protocol = "nomoat"
    cachable = False

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def open(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO(self.content)

    def info(self, path: str, **_: object) -> dict[str, object]:
        return {"name": path, "size": len(self.content), "type": "file"}

    def glob(self, path: str, **_: object) -> list[str]:
        return [path]

    def exists(self, *_: object, **__: object) -> bool:
        return True

    def modified(self, *_: object) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(0, datetime.UTC)


def csv(rows: Sequence[Row]) -> bytes:
    return "".join(",".join(each) + "\n" for each in [("ward", "days", "patient"), *rows]).encode()


def jsonl(rows: Sequence[Row]) -> bytes:
    named = (dict(zip(("ward", "days", "patient"), each, strict=True)) for each in rows)
    return "".join(json.dumps(each) + "\n" for each in named).encode()


def numbers(metric: Metric, found: Files, format_: str = "jsonl") -> tuple[list[int], list[int]]:
    """The exact count and sum of each cell, as the two processes find them."""
    write = {"jsonl": jsonl, "csv": csv}[format_]
    tables = [
        json.loads(json.dumps(tabulate(Question(metric, format_, len(found) == 1), Held(write(each)))))
        for each in found
    ]
    made = added(tables, shape(metric))
    assert made is not None, tables
    return made.counts, made.sums


def distance(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(abs(left - right) for left, right in zip(one, other, strict=True))


@pytest.mark.parametrize("metric", [*ROWS, *PERSONS], ids=lambda each: f"{each.kind}-{each.person}")
def test_no_unit_changes_the_numbers_by_more_than_noise_is_made_for(metric: Metric) -> None:
    """Neighbours: with and without one row, or one person with all their rows, in one file or several."""
    reach = {part.of: part.sensitivity for part in parts(metric)}

    @settings(max_examples=20, deadline=None)
    @given(files, st.data())
    def hold(found: list[list[Row]], data: st.DataObject) -> None:
        if metric.person:
            person = data.draw(st.sampled_from(["a", "b", "c", ""]))
            fewer = [[each for each in one if each[2] != person] for one in found]
        else:
            which = data.draw(st.sampled_from([number for number, one in enumerate(found) if one] or [0]))
            fewer = [one[1:] if number == which else one for number, one in enumerate(found)]
        (count, total), (count_, total_) = numbers(metric, found), numbers(metric, fewer)
        assert distance(count, count_) <= reach["count"]
        assert distance(total, total_) <= reach.get("sum", 0)

    hold()


def test_the_reach_is_what_one_unit_can_do_and_no_guess() -> None:
    """A noise twice as small would not be enough."""
    one: Files = [[("east", "10", "a")]]
    assert distance(numbers(SUM, one)[1], numbers(SUM, [[]])[1]) == GRID
    two: Files = [[("east", "1e308", "a")], [("east", "10", "a"), ("east", "11", "a")]]
    assert numbers(PERSONS[1], two) == ([2, 0], [2 * GRID, 0])


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_values_are_clamped_and_what_is_no_number_is_of_no_row(format_: str) -> None:
    found = [[("east", each, "p") for each in DAYS]]
    count, total = numbers(SUM, found, format_)
    # 0, 1.5, 7, -3 → -2, 1e308 → 10, -1e308 → -2, inf → 10, -inf → -2; a number too long to be one may be inf.
    assert count[0] in {8, 9}
    assert round((total[0] - (count[0] - 8) * GRID) * step(SUM), 3) == pytest.approx(22.5, abs=0.001)
    assert numbers(COUNT, found, format_)[0] == [len(DAYS), 0]
    bins = numbers(HISTOGRAM, found, format_)[0]
    assert bins[:2] == [5, 0]
    assert bins[2] in {3, 4}


CSV_ROWS = [
    b"east",
    b"east,1,a,b,c",
    b"# east,1,a",
    b"",
    b"ea\0st,1",
    b"e\xe9st",
    b"ward,days,patient",
    b"a;b",
    b"x" * 3_000_000,
]
JSON_ROWS = [
    b"{",
    b"[1]",
    b"5",
    b"null",
    b'"x"',
    b'{"ward": {"a": 1}}',
    b'{"ward": "\xe9"}',
    b'{"ward": "' + b"x" * 17_000_000,
]


@pytest.mark.parametrize("at", [0, 30, 60])
@pytest.mark.parametrize(("format_", "rows"), [("csv", CSV_ROWS), ("jsonl", JSON_ROWS)])
def test_a_row_that_is_none_changes_no_other(format_: str, rows: list[bytes], at: int) -> None:
    """It may count or not; the question does not fail for it, and every other row counts as before."""
    wards = ["east", "north", "west"] * 20
    lines = [b"%b,1,a" % ward.encode() if format_ == "csv" else json.dumps({"ward": ward}).encode() for ward in wards]
    for odd in rows:
        given = [*([b"ward,days,patient"] if format_ == "csv" else []), *lines[:at], odd, *lines[at:]]
        found = tabulate(Question(COUNT, format_, alone=True), Held(b"\n".join(given) + b"\n"))
        made = added([json.loads(json.dumps(found))], shape(COUNT))
        assert made is not None, odd[:20]
        assert distance(made.counts, [20, 20]) <= 1, odd[:20]


@pytest.mark.parametrize("metric", [*ROWS, *PERSONS], ids=lambda each: f"{each.kind}-{each.person}")
def test_opendp_says_that_the_noise_is_worth_the_epsilon(metric: Metric) -> None:
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    spent = 0.0
    for part in parts(metric):
        _, scale, _ = noisy([0] * cells(metric), part.sensitivity, part.epsilon)
        worth = dp.m.make_laplace(*space, scale=scale).map(d_in=part.sensitivity)
        assert worth <= part.epsilon / MILLION
        assert worth >= part.epsilon / MILLION * (1 - 1e-9)  # and no noise is wasted
        spent += worth
    assert sum(part.epsilon for part in parts(metric)) == metric.epsilon
    assert spent <= metric.epsilon / MILLION


@given(st.integers(1, 1 << 40), st.integers(1_000, 100 * MILLION))
@settings(max_examples=60, deadline=None)
def test_no_reach_or_epsilon_leads_to_too_little_noise(sensitivity: int, epsilon: int) -> None:
    _, scale, _ = noisy([0], sensitivity, epsilon)
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    assert dp.m.make_laplace(*space, scale=scale).map(d_in=sensitivity) <= epsilon / MILLION


def test_noise_is_laplace_of_that_scale() -> None:
    """Bounds that 20,000 draws miss by chance less than once in 10^9 runs."""
    draws, scale, accuracy = noisy([0] * 20_000, 10, MILLION)
    assert scale == pytest.approx(10)
    deviation = scale * math.sqrt(2)
    assert abs(sum(draws) / len(draws)) < 7 * deviation / math.sqrt(len(draws))
    within = sum(abs(draw) <= 7 for draw in draws) / len(draws)  # 1 - exp(-7.5 / 10) ≈ 0.53
    assert 0.48 < within < 0.58
    further = sum(abs(draw) > accuracy for draw in draws) / len(draws)
    assert 0.01 < further < ALPHA + 0.02
    assert max(Counter(draws).values()) < len(draws) * 0.09  # no value is drawn too often: the likeliest has 0.05


def test_noise_is_never_the_same_twice() -> None:
    assert noisy([0] * 50, 100, MILLION)[0] != noisy([0] * 50, 100, MILLION)[0]


@pytest.mark.parametrize(
    "table",
    [
        None,
        {"rows": 1},
        [[0, 1]],
        [[0, 1, 2, 3]],
        [[2, 1, 0]],
        [[-1, 1, 0]],
        [[0, 0, 0]],
        [[0, -1, 0]],
        [[0, 1, GRID + 1]],
        [[0, 1, -GRID - 1]],
        [[0, 1.5, 0]],
        [["a", 0, 1]],
        [["0", 1, 1]],
        [7],
    ],
)
def test_what_a_process_that_was_taken_over_answers_is_not_believed(table: object) -> None:
    """More than its rows could sum to, groups that there are not, persons where there are none."""
    assert added([[[0, 3, 5]], table], shape(SUM)) is None
    assert added([[[0, 3, 5]]], shape(SUM)) is not None


def test_sums_stop_before_they_wrap_around() -> None:
    made = added([[[0, 1 << 80, (1 << 80) * GRID]]], shape(SUM))
    assert made is not None
    assert made.sums[0] == 1 << 62
    assert made.counts[0] == 1 << 62
    noisy(made.sums, GRID, MILLION)


def test_groups_are_withheld_by_their_noisy_count_alone() -> None:
    few, many = Drawn((9, 10), 1.0, 3.0), Drawn((10**9, 20 * GRID), 5.0, 12.0)
    made = answer(SUM, (few, many))
    assert [cell.value is None for cell in made.cells] == [True, False]
    assert made.cells[1].value == pytest.approx(20 * 10.0)
    assert load_answer(dump_answer(made)) == made


def test_a_mean_stays_within_its_bounds_and_says_how_near_it_is() -> None:
    def told(count: int, total: int) -> float:
        (cell,) = answer(MEAN, (Drawn((count,), 1.0, 3.0), Drawn((total,), 1.0, 0.1 * GRID))).cells
        assert cell.value is not None
        assert cell.accuracy is not None
        assert 0 <= cell.value <= 10
        assert 0 < cell.accuracy <= 10
        return cell.value

    assert told(100, 0) == pytest.approx(offset(MEAN))
    assert told(100, 50 * GRID) == pytest.approx(7.5)
    assert told(10, 1000 * GRID) == 10
    assert told(10, -1000 * GRID) == 0
