"""Every string of a request is a text, and what is redacted is gone, wherever it stood."""

import time
from collections.abc import Mapping
from typing import cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.content import redacted, texts_of, units_of
from nomoat.content.texts import LARGE
from nomoat.core.content import Finding, Hit
from nomoat.core.lineage import Label

WORDS = st.text(alphabet="abc ", max_size=8)
VALUES = st.recursive(
    WORDS | st.integers(-(2**63), 2**64 - 1) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)
BODIES = st.dictionaries(WORDS, VALUES, max_size=5)
SECRET = Finding("secret:x", Label(labels=frozenset({"secret"})), redactable=True)


def strings(value: object) -> list[str]:
    """The reference: every string of a value, keys and large numbers too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in cast("list[object]", value) for text in strings(each)]
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        return [*items, *(text for each in items.values() for text in strings(each))]
    if isinstance(value, int) and abs(value) >= LARGE:
        return [str(abs(value))]
    return []


@given(BODIES)
def test_the_units_of_a_request_have_all_its_texts(body: Mapping[str, object]) -> None:
    found = [text.text for path, unit in units_of(body) for text in texts_of(unit, path)]
    assert sorted(found) == sorted(strings(body))


@given(BODIES)
def test_what_is_redacted_is_gone_and_the_rest_stands(body: Mapping[str, object]) -> None:
    before = orjson.dumps(body)
    texts = [text for path, unit in units_of(body) for text in texts_of(unit, path)]
    hits = [
        Hit(text.path, at, at + 1, SECRET)
        for text in texts
        if text.path is not None
        for at, letter in enumerate(text.text)
        if letter == "a"
    ]
    after = redacted(body, hits)
    values = [text for path, unit in units_of(after) for text in texts_of(unit, path) if text.path is not None]
    kept = [text.text.replace("[redacted: secret:x]", "") for text in values]
    assert kept == [text.text.replace("a", "") for text in texts if text.path is not None]
    assert orjson.dumps(body) == before


def test_findings_that_overlap_are_redacted_together() -> None:
    hits = [Hit(("m",), 4, 9, SECRET), Hit(("m",), 6, 12, SECRET), Hit(("m",), 4, 5, SECRET)]
    assert redacted({"m": "key=12345678 end"}, hits) == {"m": "key=[redacted: secret:x] end"}


def test_attack_a_request_full_of_findings_is_redacted_in_time_that_grows_with_its_size() -> None:
    """Copying what holds each of them, for each of them, takes a minute of everybody's time."""
    count = 200_000
    body = {"input": ["key"] * count}
    begin = time.process_time()
    made = redacted(body, [Hit(("input", number), 0, 3, SECRET) for number in range(count)])
    assert time.process_time() - begin < 20
    assert made == {"input": ["[redacted: secret:x]"] * count}
    assert body == {"input": ["key"] * count}


@pytest.mark.parametrize("number", [4111111111111111, -4111111111111111, 4111111111111111.0, 4111111111111111e3])
def test_attack_a_number_is_written_in_another_way(number: float) -> None:
    [text] = texts_of([number])
    assert text.path is None
    assert text.text.startswith("4111111111111111")
