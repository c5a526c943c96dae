"""Fingerprints of code and what they find: whatever two texts share is found, by who has the key, in linear time."""

import asyncio
import base64
import inspect
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.content import AnswerReader, Inspector
from nomoat.content.copies import KnownSources, Source, keyed
from nomoat.content.fingerprints import Way, fingerprints
from nomoat.content.inspector import Seen
from nomoat.content.runs import MOST_ROLES, STRIDE, runs_of
from nomoat.content.sources import Known, NothingKnown, SourceDetector
from nomoat.content.texts import Text
from nomoat.core.lineage import Label
from tests.architecture.tree import ROOT
from tests.content.leaks import KEY, Body, added, asked, known, numbered, split

CODE = inspect.getsource(json.JSONEncoder)
SOURCE = known([CODE.encode()])
WORDS = st.lists(st.sampled_from([f"{a}{b}" for a in "abcdefgh" for b in range(20)] + list("()[]=+.:")), max_size=60)


def words(text: str, way: Way = Way.EXACT) -> set[int]:
    return set(fingerprints(text.encode())[way].tolist())


def found(source: Known, body: Body, inspector: Inspector | None = None) -> list[str]:
    detector = SourceDetector(lambda: source)
    looking = inspector or Inspector([detector], detector.judge, across=detector)
    return [finding.rule for finding in asyncio.run(looking.look("s", body)).sources]


@given(WORDS, WORDS, WORDS, WORDS, st.data())
@settings(deadline=None)
def test_whatever_is_shared_for_the_reach_of_a_way_is_shared_by_fingerprint(
    before: list[str], after: list[str], one: list[str], two: list[str], data: st.DataObject
) -> None:
    letters = st.sampled_from([f"{a}{b}" for a in "ijklmn" for b in range(20)] + list("()[]=.:"))
    for way in Way:
        shared = data.draw(st.lists(letters, min_size=way.reach, max_size=way.reach))
        texts = [" ".join([*first, *shared, *last]) for first, last in ((before, after), (one, two))]
        first, second = (words(text, way) for text in texts)
        assert first & second


@given(st.text(max_size=300) | st.text(alphabet="/*-#\"' \n\tx1:|+>", max_size=300))
@settings(deadline=None)
def test_any_text_has_fingerprints(text: str) -> None:
    SOURCE.look(text)
    fingerprints(text.encode("utf-8", "surrogatepass"))
    SOURCE.look(text + "\ud800" * 80)


def test_what_formatters_change_changes_nothing() -> None:
    code = "def scale(first, second):\n    return [first.rate(each, 'net') for each in second if each.total > 3]\n" * 4
    other = code.replace("    ", "\t").replace(", ", " ,\n ").replace("'", '"')
    assert words(code) == words(other) != set()


@pytest.mark.parametrize(
    ("code", "commented"),
    [
        ("a = b(c)\n", "a = b(c)  # was jede Zeile ergibt\n"),
        ("a = b(c);\n", "a = b(c); // ce que donne chaque ligne\n"),
        ("a = b(c);\n", "/* was\n * jede Zeile ergibt */ a = b(c);\n"),
        ("select(a)\n", "select(a) -- o que dá cada linha\n"),
        ("def f(a):\n    g(a)\n", 'def f(a):\n    """Was das ist.\n\n    Und mehr.\n    """\n    g(a)\n'),
    ],
)
def test_attack_comments_in_another_language_change_nothing(code: str, commented: str) -> None:
    assert words(code * 20) == words(commented * 20) != set()


def test_attack_every_name_another_leaves_the_blind_fingerprints() -> None:
    other = CODE.replace("self", "this_one").replace("skipkeys", "k").replace("_iterencode", "walk").replace("str", "s")
    first, second = (words(text, Way.BLIND) for text in (CODE, other))
    assert len(first & second) > len(first) * 0.9


def test_attack_beginnings_of_comments_cost_no_more_than_other_text() -> None:
    """Each that is not ended could be followed to the end of the text."""

    def cost(text: bytes) -> float:
        begun = time.process_time()
        fingerprints(text)
        return time.process_time() - begun

    size = 1 << 20
    plain = cost(b"abc d(ef) " * (size // 10))
    for beginning in (b"/*a ", b"\n'''a ", b'\n"""a ', b"\n12: ", b"\n   ", b"# ", b"*/", b"-- /*"):
        assert cost(beginning * (size // len(beginning))) < max(plain, 0.05) * 60, beginning


def test_another_key_finds_nothing() -> None:
    stolen = known([CODE.encode()])
    stolen._key = b"\1" * 32
    assert found(SOURCE, asked(CODE)) == ["source:acme/engine"]
    assert found(stolen, asked(CODE)) == []


def test_attack_a_copy_is_found_however_it_was_written_down() -> None:
    twice = base64.b64encode(base64.b64encode(CODE.encode())).decode()
    urlsafe = base64.urlsafe_b64encode(CODE.encode()).decode().rstrip("=")
    for text in (
        twice,
        urlsafe,
        json.dumps(json.dumps({"x": CODE})),
        numbered(CODE),
        added(CODE),
        CODE.replace("\n", "\r\n"),
    ):
        assert found(SOURCE, asked(text)) == ["source:acme/engine"], text[:40]


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 8, 13])
def test_attack_a_copy_that_is_split_over_messages_is_found(lines: int) -> None:
    assert found(SOURCE, split(CODE, lines)) == ["source:acme/engine"]


@pytest.mark.parametrize("lines", [1, 2, 3])
@pytest.mark.parametrize(
    "roles", [("user", "assistant"), ("user", "assistant", "system", "developer", "tool")], ids=len
)
def test_attack_a_copy_is_split_over_roles_in_turn(lines: int, roles: tuple[str, ...]) -> None:
    code = CODE.splitlines()
    pieces = ["\n".join(code[start : start + lines]) for start in range(0, len(code), lines)]
    said = [{"role": role, "content": piece} for role, piece in zip(cycle(roles), pieces, strict=False)]
    assert found(SOURCE, {"model": "m", "messages": said}) == ["source:acme/engine"]


def test_attack_a_message_of_ever_new_roles_takes_bounded_memory_and_is_looked_at() -> None:
    said = [{"role": f"role-{number}", "content": line} for number, line in enumerate(CODE.splitlines())]
    assert found(SOURCE, {"model": "m", "messages": said}) == ["source:acme/engine"]
    many = [{"role": f"role-{number}", "content": "x"} for number in range(10_000)]
    assert len({id(part) for part in runs_of({"messages": many}) if part}) < 2 * 10_000 / STRIDE + 2 * MOST_ROLES


def test_attack_a_copy_that_is_split_within_a_message_is_found() -> None:
    blocks = [{"type": "text", "text": line} for line in CODE.splitlines()]
    content: Body = {"model": "m", "messages": [{"role": "user", "content": blocks}]}
    assert found(SOURCE, content) == ["source:acme/engine"]
    assert found(SOURCE, {"model": "m", "input": CODE.splitlines()}) == ["source:acme/engine"]
    assert found(SOURCE, {"model": "m", "metadata": dict.fromkeys(CODE.splitlines(), 1)}) == ["source:acme/engine"]


@pytest.mark.parametrize("key", ["name", "id", "role", "status"])
def test_attack_a_copy_is_split_over_words_of_the_protocol(key: str) -> None:
    said = [{key: line} for line in CODE.splitlines()]
    assert found(SOURCE, {"model": "m", "messages": said}) == ["source:acme/engine"]


def test_attack_a_copy_is_split_over_the_arguments_of_tools() -> None:
    calls = [{"function": {"name": "say", "arguments": json.dumps({"name": line})}} for line in CODE.splitlines()]
    said = [{"role": "assistant", "tool_calls": [call]} for call in calls]
    assert found(SOURCE, {"model": "m", "messages": said}) == ["source:acme/engine"]
    assert found(SOURCE, {"model": "m", "choices": [{"message": each} for each in said]}) == ["source:acme/engine"]


def told(events: Sequence[Body]) -> tuple[list[str], int]:
    """What is found in a stream, and how many of its events left before."""
    detector = SourceDetector(lambda: SOURCE)
    reader = AnswerReader(Inspector([detector], detector.judge, across=detector), "s", streamed=True, whole=False)

    async def read() -> int:
        left = b""
        for number, event in enumerate(events, 1):
            await reader.feed(b"data: " + json.dumps(event).encode() + b"\n\n", over=number == len(events))
            left += reader.take()
            if reader.found:
                break
        return left.count(b"data: ")

    left = asyncio.run(read())
    return [finding.rule for finding in reader.everything.sources], left


def test_attack_a_model_tells_a_copy_line_by_line_in_calls_of_tools() -> None:
    lines = CODE.splitlines()
    for calls in (
        [{"index": number, "function": {"arguments": json.dumps({"line": line})}} for number, line in enumerate(lines)],
        [
            {"index": number, "function": {"name": "say", "arguments": line}}
            for number, line in enumerate(lines[60:110])
        ],
    ):
        events: list[Body] = [{"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]} for call in calls]
        found, left = told(events)
        assert found == ["source:acme/engine"]
        assert left < 40
    blocks: list[Body] = [
        {"type": "content_block_delta", "index": number, "delta": {"type": "text_delta", "text": line}}
        for number, line in enumerate(lines)
    ]
    assert told(blocks)[0] == ["source:acme/engine"]


def test_attack_a_server_calls_each_fragment_another_item() -> None:
    kind = "response.output_text.delta"
    events: list[Body] = [
        {"type": kind, "item_id": f"msg_{at}", "output_index": 0, "content_index": 0, "delta": CODE[at : at + 16]}
        for at in range(0, len(CODE), 16)
    ]
    found, left = told(events)
    assert found == ["source:acme/engine"]
    assert left < len(events) / 2


def test_a_few_lines_are_not_a_copy() -> None:
    assert found(SOURCE, asked("\n".join(CODE.splitlines()[:4]))) == []


class Counting:
    """A detector that knows how often it was asked."""

    version: object = 1
    looks = True

    def __init__(self) -> None:
        self.looked = 0

    def look(self, texts: Sequence[Text]) -> Seen:
        self.looked += 1
        return SourceDetector(lambda: SOURCE).look(texts)


def test_a_conversation_that_grows_is_not_looked_at_anew() -> None:
    counting = Counting()
    inspector = Inspector([counting], across=counting)
    body = split("\n".join(f"line {number} of nobody" for number in range(300)), 1)
    found(SOURCE, body, inspector)
    before = counting.looked
    cast("list[Body]", body["messages"]).append({"role": "user", "content": "one more"})
    found(SOURCE, body, inspector)
    assert 0 < counting.looked - before <= 3, "the new message, and the last parts of the runs that it is in"


def test_what_was_seen_before_a_source_was_registered_is_looked_at_again() -> None:
    current: list[Known] = [NothingKnown()]
    detector = SourceDetector(lambda: current[0])
    inspector = Inspector([detector], detector.judge, across=detector)
    assert found(SOURCE, asked(CODE), inspector) == []
    current[0] = SOURCE
    assert found(SOURCE, asked(CODE), inspector) == ["source:acme/engine"]


def test_parts_of_a_run_overlap_and_stay_as_they_are() -> None:
    body: Body = {"messages": [{"role": "user", "content": str(number)} for number in range(100)]}
    parts = [[text.text for text in part] for part in runs_of(body) if part]
    assert {text for part in parts for text in part} == {str(number) for number in range(100)}
    assert all(set(first) & set(second) for first, second in pairwise(parts))
    cast("list[Body]", body["messages"]).append({"role": "user", "content": "more"})
    assert [[text.text for text in part] for part in runs_of(body) if part][:-1] == parts[:-1]


def test_what_two_sources_have_is_found_as_both() -> None:
    kept = {way: keyed(KEY, words.tobytes(), way) for way, words in fingerprints(CODE.encode()).items()}
    both = KnownSources(1, KEY, [Source(name, Label(), "team", kept) for name in ("acme/one", "acme/two")])
    assert found(both, asked(CODE)) == ["source:acme/one", "source:acme/two"]


def test_numpy_is_not_loaded_before_a_source_is_registered() -> None:
    script = """
import asyncio, sys
import nomoat.server.assembly, nomoat.cli.source
from nomoat.content import AnswerReader, Inspector
from nomoat.content.texts import Text
from nomoat.content.sources import NothingKnown, SourceDetector
detector = SourceDetector(lambda known=NothingKnown(): known)
inspector = Inspector([detector], detector.judge, across=detector)
asyncio.run(inspector.look("s", {"messages": [{"role": "user", "content": "x" * 1000}] * 3}))
assert "numpy" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_attack_a_copy_in_the_place_of_a_word_of_the_protocol_is_found() -> None:
    for key in ("role", "id", "type", "anything"):
        assert found(SOURCE, {"model": "m", "messages": [{key: CODE}]}) == ["source:acme/engine"]
