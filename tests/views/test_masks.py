"""Masks, row filters and the release gate, over each format that a view can be made of."""

import base64
import hashlib
import hmac
import io
import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.names import Classification
from nomoat.core.view import Column, Comparison, Condition, Mask, Scalar, View
from nomoat.views.materialise import BrokenView, Source, materialise
from nomoat.views.said import described, parse_described

KEY = b"k" * 32


def view(*columns: Column, **more: Any) -> View:
    return View("v", Classification.INTERNAL, ("*.csv",), columns, **more)


def made(of: View, rows: dict[str, list[Any]], kind: str = "parquet", key: bytes = KEY) -> dict[str, list[Any]]:
    table = pa.table(rows)
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(table, sink)
        content = sink.getvalue()
    elif kind == "csv":
        lines = [",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
        content = "\n".join(lines).encode()
    else:
        content = "\n".join(json.dumps(row, default=str) for row in table.to_pylist()).encode()
    found: dict[str, list[Any]] = materialise(
        parse_described(json.loads(json.dumps(described(of)))),
        key,
        [Source(kind, memoryview(content))],
        memory=1 << 28,
        threads=1,
    ).to_pydict()
    return found


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_every_mask_in_every_format(kind: str) -> None:
    columns = (
        Column("a"),
        Column("b", Mask.REDACT),
        Column("c", Mask.TRUNCATE, keep=3),
        Column("d", Mask.BUCKET, width=10),
        Column("e", Mask.PSEUDONYM),
        Column("f", Mask.DROP),
    )
    rows: dict[str, list[Any]] = {
        "a": [1],
        "b": ["secret"],
        "c": ["12345x"],
        "d": [-7],
        "e": ["anna"],
        "f": [9],
        "g": [9],
    }
    found = made(view(*columns), rows, kind)
    pseudonym = base64.urlsafe_b64encode(hmac.new(KEY, b"anna", hashlib.sha256).digest())[:12].decode()
    assert found == {"a": [1], "b": ["[redacted]"], "c": ["123"], "d": [-10], "e": [pseudonym]}


def test_nothing_stays_nothing_but_for_what_is_redacted() -> None:
    columns = (Column("b", Mask.REDACT), Column("c", Mask.TRUNCATE, keep=3), Column("e", Mask.PSEUDONYM))
    assert made(
        view(*columns), {"b": [None], "c": pa.array([None], pa.string()), "e": pa.array([None], pa.string())}
    ) == {
        "b": ["[redacted]"],
        "c": [None],
        "e": [None],
    }


def test_a_number_has_the_same_pseudonym_in_every_format() -> None:
    of = view(Column("e", Mask.PSEUDONYM))
    found = [made(of, {"e": [7]}, kind) for kind in ("parquet", "csv", "jsonl")]
    assert found[0] == found[1] == found[2] == made(of, {"e": ["7"]})
    assert found[0] != made(of, {"e": [7]}, key=b"x" * 32)


COMPARED = {
    Comparison.EQUAL: {2},
    Comparison.UNEQUAL: {1, 3},
    Comparison.LESS: {1},
    Comparison.AT_MOST: {1, 2},
    Comparison.MORE: {3},
    Comparison.AT_LEAST: {2, 3},
    Comparison.AMONG: {2},
    Comparison.NOT_AMONG: {1, 3},
}


@pytest.mark.parametrize("comparison", Comparison)
@pytest.mark.parametrize("value", [2, "2"])
def test_rows_are_those_that_compare_so_and_none_without_a_value(comparison: Comparison, value: Scalar) -> None:
    of = view(Column("a"), conditions=(Condition("a", comparison, (value,)),))
    assert set(made(of, {"a": [1, 2, 3, None]})["a"]) == COMPARED[comparison]


def test_a_filter_compares_what_is_there_not_what_is_shown() -> None:
    of = view(Column("a", Mask.REDACT), conditions=(Condition("a", Comparison.EQUAL, ("x' OR '1'='1",)),))
    assert made(of, {"a": ["x", "y"]}) == {"a": []}


@pytest.mark.parametrize("comparison", Comparison)
def test_a_value_that_is_no_number_is_none(comparison: Comparison) -> None:
    of = view(Column("a"), Column("b"), conditions=(Condition("a", comparison, (1,)),))
    assert 9 not in made(of, {"a": [1.0, 0.5, 2.0, float("nan")], "b": [1, 2, 3, 9]})["b"]


@pytest.mark.parametrize("mask", [{}, {"mask": Mask.BUCKET, "width": 0.5}])
@pytest.mark.parametrize("type_", [pa.float32(), pa.float64()])
def test_a_zero_has_no_sign_that_would_single_it_out_of_its_group(mask: dict[str, Any], type_: pa.DataType) -> None:
    of = view(Column("a", **mask), k=3, quasi_identifiers=("a",))
    found = made(of, {"a": pa.array([0.0, -0.0, 0.0], type_)})["a"]
    assert [math.copysign(1, value) for value in found] == [1, 1, 1]


def test_names_of_columns_are_no_sql() -> None:
    name = 'a" FROM source; DROP TABLE masked; --'
    assert made(view(Column(name)), {name: [1], "b": [2]}) == {name: [1]}


@pytest.mark.parametrize("rows", [{"b": [1]}, {"A": [1]}])
def test_a_column_that_is_not_there_makes_no_view(rows: dict[str, list[int]]) -> None:
    with pytest.raises(BrokenView, match="'a'"):
        made(view(Column("a")), rows)


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xy"), st.integers(0, 9)), min_size=1, max_size=60),
    k=st.integers(2, 6),
    by_unit=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_no_group_that_is_released_is_smaller_than_k_and_no_larger_one_is_kept_back(
    rows: list[tuple[int, str, int]], k: int, by_unit: bool
) -> None:
    columns = (Column("age", Mask.BUCKET, width=2), Column("zip"), Column("who"))
    of = view(*columns, k=k, quasi_identifiers=("age", "zip"), unit="who" if by_unit else "")
    table = {name: list(values) for name, values in zip(("age", "zip", "who"), zip(*rows, strict=True), strict=True)}
    members: dict[tuple[int, str], list[int]] = {}
    for age, zipped, who in rows:
        members.setdefault((age // 2 * 2, zipped), []).append(who)
    expected = sorted(
        (*group, who)
        for group, all_of in members.items()
        if len(set(all_of) if by_unit else all_of) >= k
        for who in all_of
    )
    found = made(of, table)
    assert sorted(zip(found["age"], found["zip"], found["who"], strict=True)) == expected
