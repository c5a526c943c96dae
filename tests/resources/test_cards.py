"""What is said of a card, and where; whatever the text is, something is said."""

import asyncio

import pytest
from huggingface_hub import DatasetCardData, ModelCardData
from hypothesis import given
from hypothesis import strategies as st

from nomoat.resources.cards import LARGEST, MISSING, MOST_ERRORS, Findings, examine_card


def examined(text: str) -> Findings:
    return asyncio.run(examine_card(text))


def errors(metadata: str) -> tuple[str, ...]:
    found = examined(f"---\n{metadata}\n---\n# Digits\n")
    assert found.warnings == ()
    return found.errors


@pytest.mark.parametrize(
    "metadata",
    [
        "license: mit",
        "license: [mit, apache-2.0]\nlanguage:\n- en\n- no\ntags: []\ntitle: null",
        "language: no",  # Norwegian, and no falsehood
        "language: !!str 7\nlicense: '7'\ntags:",
        "pretty_name: 7\nsize_categories: [1K<n<10K]\ndataset_info: {features: [{name: x, dtype: int64}]}",
        "a: &a [x]\nlicense: *a",
        "b: &b mit\nlicense: *b\ntags: [*b]",
        "a: |\n  not: yaml: at all\nb: 2024-01-01",
    ],
)
def test_nothing_is_said_of_a_card_that_is_in_order(metadata: str) -> None:
    assert errors(metadata) == ()


def test_nothing_is_said_of_what_the_stock_client_writes() -> None:
    data = ModelCardData(language=["en", "no"], tags=["a"], license="mit", model_name="m", more=[{"split": "train"}])
    assert errors(str(data)) == ()
    assert errors(str(DatasetCardData(language="no", license=["mit"], size_categories="1K<n<10K"))) == ()


@pytest.mark.parametrize(
    "text", ["", "# Digits", "---\n---\n", "---\n\n---\n", "---\n# only a comment\n---", "---\na: ["]
)
def test_metadata_that_is_missing_or_empty_is_a_warning(text: str) -> None:
    assert examined(text) == Findings(warnings=(MISSING,))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("title: a: b", "line 2, column 9: mapping values are not allowed here"),
        ("a: 1\nb: [1,\nc: 2", "line 4, column 5: expected ',' or ']', but got '<stream end>'"),
        ("a: 'open", "line 2, column 9: found unexpected end of stream"),
        ("- a", "line 2, column 1: the metadata is a mapping of names to values, not a list"),
        ("just text", "line 2, column 1: the metadata is a mapping of names to values, not a text"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "line 5, column 3: duplicate key 'c'"),
        ("a: 1\n'a': 2", "line 3, column 1: duplicate key 'a'"),
        ("license: 7", "line 2, column 10: license is a text or a list of texts, not a number"),
        ("language: {en: 1}", "line 2, column 11: language is a text or a list of texts, not a mapping"),
        ("language: [en, true]", "line 2, column 16: language is a list of texts; this item is a boolean"),
        ("tags: digits", "line 2, column 7: tags is a list of texts, not a text"),
        ("tags:\n- a\n- b: c", "line 4, column 3: tags is a list of texts; this item is a mapping"),
        ("n: &n 7\nlicense: *n", "line 3, column 10: license is a text or a list of texts, not a number"),
        ("[a]: 1", "line 2, column 1: a key is a text, written out"),
        ("a: *b", "line 2, column 4: *b stands for nothing that was complete before"),
        ("a: 1\n...\nb: 1", "line 4, column 1: expected '<document start>', but found '<block mapping start>'"),
        ("a: 1\n--- {b: 1}", "line 3, column 1: a second document; the metadata is one mapping"),
        ("a: \x07", "line 2, column 4: the character U+0007, which YAML does not allow"),
        ('a: "\\U00110000"', "line 2, column 7: a number that is too large"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(metadata: str, said: str) -> None:
    assert errors(metadata) == (said,)


def test_places_are_counted_from_the_beginning_of_the_file() -> None:
    assert examined("\n\r\n---\r\na: 1\r\na: 2\r\n---\r\n").errors == ("line 5, column 1: duplicate key 'a'",)


def test_several_mistakes_are_told_at_once_but_not_any_number() -> None:
    assert len(errors("license: 7\ntags: x\na: 1\na: 2")) == 3
    assert len(errors("\n".join(["a: 1"] * 1000))) == MOST_ERRORS


def test_metadata_may_have_so_many_characters_and_no_more() -> None:
    assert errors("a: " + "x" * (LARGEST - 3)) == ()
    assert errors("a: " + "x" * (LARGEST - 2)) == (
        f"line 2: the metadata has more than {LARGEST} characters; shorten it",
    )


@given(st.text(alphabet=st.sampled_from("ab:-[]{},&*!%#|>'\"\\?~ \n\r\t.0U\u2028\x00\U0001f600@`"), max_size=60))
def test_something_is_said_of_any_text(metadata: str) -> None:
    found = examined(f"---\n{metadata}\n---\n")
    assert all(said.startswith("line ") and said.encode() for said in found.errors)
