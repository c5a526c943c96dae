"""A request is looked at in pieces, between which others run; what was looked at is not looked at again."""

import asyncio
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.content import Inspector, Seen, redacted
from nomoat.content.detectors import PatternDetector
from nomoat.content.inspector import KEPT, OVERLAP, PIECE, pieces_of
from nomoat.content.runs import runs_of
from nomoat.content.texts import Text, texts_of
from nomoat.core.content import Content
from tests.content import corpus

KEY = corpus.secrets()["aws-access-key"][0]
PEM = corpus.pem("RSA PRIVATE KEY", lines=190)


class Counting:
    """The detector, and how much it was given."""

    def __init__(self) -> None:
        self._inner = PatternDetector()
        self.version = 0
        self.looked = 0
        self.largest = 0

    def look(self, texts: Sequence[Text]) -> Seen:
        size = sum(len(each.text) for each in texts)
        self.looked += size
        self.largest = max(self.largest, size)
        return self._inner.look(texts)


def look(body: Mapping[str, object], inspector: Inspector | None = None, session: str = "s") -> Content:
    return asyncio.run((inspector or Inspector([PatternDetector()])).look(session, body))


def test_others_run_while_a_large_request_is_looked_at() -> None:
    detector = Counting()
    turns = 0

    async def ask() -> None:
        nonlocal turns
        looking = asyncio.create_task(Inspector([detector]).look("s", {"m": "word " * 1_000_000}))
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
        assert looking.result().findings == frozenset()

    asyncio.run(ask())
    assert detector.largest <= PIECE + OVERLAP
    assert turns >= 5_000_000 // (PIECE + OVERLAP) - 1


@pytest.mark.parametrize("at", [0, PIECE - 10, PIECE, PIECE + OVERLAP - 10, PIECE + OVERLAP, 2 * PIECE + 5])
@pytest.mark.parametrize("value", [KEY, PEM], ids=["key", "pem"])
def test_what_stands_where_two_pieces_meet_is_redacted_as_a_whole(at: int, value: str) -> None:
    before, after = "x\n" * (at // 2), "\ny" * PIECE
    body: Mapping[str, object] = {"m": [before + value + after]}
    (text,) = cast("list[str]", redacted(body, look(body).hits)["m"])
    name = "private-key" if value is PEM else "aws-access-key"
    assert text == f"{before}[redacted: secret:{name}]{after}"


def test_an_encoded_run_of_many_pieces_is_redacted_where_it_tells() -> None:
    run = corpus.b64("some words of a text. " * 10_000 + KEY + " and others" * 10_000)
    body: Mapping[str, object] = {"m": f"see {run} there"}
    hits = look(body).hits
    assert hits
    kept = redacted(body, hits)["m"]
    assert look({"m": kept}).findings == frozenset()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3 * PIECE), max_size=6))
def test_pieces_have_all_of_every_text(sizes: list[int]) -> None:
    texts = [Text((number,), "abcdefghij" * (size // 10 + 1)) for number, size in enumerate(sizes)]
    covered: dict[object, int] = {}
    for piece in pieces_of(texts):
        for path, text in piece.texts:
            assert path
            whole = texts[int(path[0])].text
            assert whole[piece.start : piece.start + len(text)] == text
            assert piece.start <= covered.get(path, 0)
            covered[path] = piece.start + len(text)
    assert covered == {text.path: len(text.text) for text in texts}


def test_what_was_looked_at_is_not_again_for_this_session_alone() -> None:
    detector = Counting()
    inspector = Inspector([detector])
    body: dict[str, object] = {"messages": [{"role": "user", "content": f"{KEY} {number}"} for number in range(9)]}
    first = look(body, inspector)
    looked = detector.looked
    assert look(body, inspector) == first
    assert detector.looked == looked
    assert look(body, inspector, "another").hits == first.hits
    assert detector.looked == 2 * looked
    detector.version = 1
    assert look(body, inspector).hits == first.hits
    assert detector.looked == 3 * looked


def test_what_is_remembered_is_bounded_by_what_was_found() -> None:
    inspector = Inspector([PatternDetector()])
    for number in range(200):
        look({"m": [f"{number} " + "jane.doe@contoso.de " * 900]}, inspector)
    assert sum(seen.weight for seen in inspector._kept.values()) == inspector._weight <= KEPT


def test_a_list_of_thousands_is_redacted_where_it_is_and_the_rest_stands() -> None:
    mails = "".join(f"customer{number}@contoso.de\n" for number in range(40_000))
    body = {"messages": [{"role": "user", "content": f"who of\n{mails}is it?"}, {"role": "user", "content": "me"}]}
    hits = look(body).hits
    assert len(hits) < 40_000
    first, second = cast("list[dict[str, str]]", redacted(body, hits)["messages"])
    assert (first["role"], second) == ("user", {"role": "user", "content": "me"})
    assert first["content"].startswith("who of\n[redacted: personal:email]")
    assert first["content"].endswith("\nis it?")
    assert "contoso" not in first["content"]


class Splitting:
    """Looks for what was split, and finds nothing."""

    version, looks = 0, True

    def look(self, _: Sequence[Text]) -> Seen:
        return Seen()


@pytest.mark.parametrize("across", [None, Splitting()], ids=["each", "across"])
@pytest.mark.parametrize("value", [0, "", {}, [], "x", {"role": "user", "content": "x"}, 1e300], ids=repr)
def test_attack_a_request_of_many_parts_lets_others_run(value: object, across: Splitting | None) -> None:
    """And so at both times: while each part is looked at, and while all are."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def look(body: dict[str, object]) -> None:
        inspector = Inspector([], across=across)
        other = asyncio.create_task(count())
        await inspector.look("s", body)
        other.cancel()

    asyncio.run(look({"input": [value] * 100_000}))
    assert turns > (60 if across else 20)
    turns = 0
    asyncio.run(look({"input": [[value] * 100_000]}))
    if across and isinstance(value, (str, dict)) and value:
        assert turns > 80


def test_attack_a_few_characters_are_a_number_of_hundreds_of_digits() -> None:
    """A request of 2 million of them would be hundreds of megabytes of digits."""
    assert list(texts_of([1e300] * 3 + [-1e25, 10**15, 1e15])) == [Text(None, str(10**15))] * 2


def test_attack_what_is_looked_at_is_not_held() -> None:
    """Beside what a JSON writer takes to make a hash of it."""
    unit = ["word"] * 300_000
    tracemalloc.start()
    for _ in pieces_of(texts_of(unit)):
        pass
    for _ in runs_of({"input": [unit]}):
        pass
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 << 20
