"""Registered values are found whole, whatever stands between their words, and nothing but their hashes is kept."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.content.detectors import PatternDetector
from nomoat.content.registered import Hashes, Registered, Registration, hashes_of
from nomoat.core.errors import Malformed
from nomoat.core.lineage import Label
from nomoat.core.names import Classification

KEY = bytes(range(32))
LABEL = Label(Classification.CONFIDENTIAL, frozenset({"projects"}))


def registered(*values: str, canary: bool = False) -> Registered:
    return Registered(1, KEY, [Registration("names", LABEL, canary, hashes_of(KEY, values))])


def found(text: str, *values: str, canary: bool = False) -> list[str]:
    here = registered(*values, canary=canary)
    return sorted({text[start:end] for start, end, _ in PatternDetector(lambda: here).find(text)})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("nightfall", "is Nightfall late"),
        ("Nightfall Harbour", "NIGHTFALL\n  harbour"),
        ("C-4711-99", "c 4711 99"),
        ("C-4711-99", "(C-4711-99)"),
        ("project nightfall", "project_nightfall.md"),
        ("Müller & Söhne", "MÜLLER & SÖHNE"),
        ("Müller & Söhne", "Muller und... Muller Sohne"),
        ("Straße 5 Ost", "STRASSE 5 OST"),
    ],
)
def test_a_value_is_found_whatever_stands_between_its_words(value: str, text: str) -> None:
    assert len(found(text, value)) == 1


@pytest.mark.parametrize("text", ["nightfalls", "knightfall", "nightfall", "night fall", "harbour nightfall"])
def test_another_word_is_not_it(text: str) -> None:
    assert found(text, "nightfall harbour") == []


def test_the_longest_one_counts() -> None:
    assert found("the nightfall harbour north pier", "nightfall", "nightfall harbour north") == [
        "nightfall harbour north"
    ]
    assert found("the nightfall harbour south pier", "nightfall", "nightfall harbour north") == ["nightfall"]


def test_a_value_is_found_in_what_is_encoded() -> None:
    text = "bmlnaHRmYWxsIGhhcmJvdXIgaXMgbGF0ZQ=="
    assert found(text, "nightfall harbour") == [text.rstrip("=")] or found(text, "nightfall harbour") == [text]


def test_a_canary_is_found_within_a_word() -> None:
    canary = "nmcanary" + "abcdefgh234567abcdefgh23"
    assert found(f"xx{canary.upper()}yy", canary, canary=True) == [canary.upper()]
    assert found("nmcanary" + "z" * 24, canary, canary=True) == []


def test_a_hundred_thousand_values_are_kept_in_few_bytes_and_each_is_found() -> None:
    chance = random.Random(7)  # noqa: S311
    values = [f"customer {chance.randrange(10**9):09d} {chance.choice('abcdef')}x" for _ in range(100_000)]
    hashes = hashes_of(KEY, values)
    assert sum(map(len, hashes)) <= 24 * len(values)
    here = Registered(1, KEY, [Registration("customers", LABEL, canary=False, hashes=Hashes(*hashes))])
    text = "\n".join(f"{value}," for value in values[:500])
    assert len(list(here.find(text))) == 500
    other = "\n".join(f"customer {chance.randrange(10**9, 10**10)} zx" for _ in range(2000))
    assert list(here.find(other)) == []


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5), st.text(max_size=60))
def test_whatever_can_be_registered_is_found_again(values: list[str], around: str) -> None:
    for value in values:
        try:
            here = registered(value)
        except Malformed:
            continue
        text = f"{around} ; {value} ; {around}"
        assert any(True for _ in PatternDetector(lambda here=here: here).find(text)), (value, text)  # type: ignore[misc]


@given(st.text(max_size=40), st.text(max_size=40))
def test_hashes_of_another_key_say_nothing(value: str, text: str) -> None:
    try:
        hashes = hashes_of(KEY, [f"nightfall {value}"])
    except Malformed:
        return
    other = Registered(1, KEY[::-1], [Registration("names", LABEL, canary=False, hashes=hashes)])
    assert list(other.find(f"nightfall {value} {text}")) == []
