"""Answers as they come: nothing that could become a match leaves, and everything else does, unchanged and in order."""

import asyncio
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.content import AnswerReader, Inspector
from nomoat.content.answers import MOST_PASSAGES
from nomoat.content.events import MOST_MARKS
from nomoat.content.settling import LONGEST_GROUPS, settled
from nomoat.core.content import Finding
from nomoat.core.errors import Unavailable
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from tests.inference.desk import Words

CANARY = "nmc-7f3a9e-canary-0451-aaff"
FOUND = Finding("canary:x", Label(Classification.PUBLIC, frozenset({"canary"})))


def reader(word: str = CANARY, *, streamed: bool = True, whole: bool = False) -> AnswerReader:
    return AnswerReader(Inspector([Words({word: FOUND})]), "s", streamed=streamed, whole=whole)


def said(value: object, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"


def chat(**delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return said({"id": "c-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def argument(text: str) -> bytes:
    return chat(tool_calls=[{"index": 1, "function": {"arguments": text}}])


def message(text: str) -> bytes:
    delta = {"type": "text_delta", "text": text}
    return said({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")


def thinking(text: str) -> bytes:
    delta = {"type": "thinking_delta", "thinking": text}
    return said({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")


def tool_input(text: str) -> bytes:
    delta = {"type": "input_json_delta", "partial_json": text}
    return said({"type": "content_block_delta", "index": 2, "delta": delta}, "content_block_delta")


def response(text: str) -> bytes:
    event = {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": text}
    return said(event, "response.output_text.delta")


def completion(text: str) -> bytes:
    return said({"id": "c-1", "choices": [{"index": 0, "text": text}]})


def reasoning(text: str) -> bytes:
    return chat(reasoning_content=text)


def content(text: str) -> bytes:
    return chat(role="assistant", content=text)


SORTS = [content, argument, reasoning, message, thinking, tool_input, response, completion]


def out_of(there: AnswerReader, parts: list[bytes]) -> list[bytes]:
    """What leaves after each part, while nothing was found."""

    async def play() -> list[bytes]:
        left = []
        for number, part in enumerate(parts):
            await there.feed(part, over=number == len(parts) - 1)
            left.append(there.take())
        return left

    return asyncio.run(play())


@pytest.mark.parametrize("event", SORTS)
def test_a_canary_never_leaves_at_whatever_place_it_is_split(event: object) -> None:
    assert callable(event)
    for first in range(len(CANARY) + 1):
        for second in range(first, len(CANARY) + 1, 5):
            pieces = ["well, ", CANARY[:first], CANARY[first:second], CANARY[second:], " and", " so on "]
            there = reader()
            left = b"".join(out_of(there, [event(piece) for piece in pieces]))
            assert there.found == {FOUND}
            assert left == event("well, ") + (event("") if first == 0 else b"") + (
                event("") if first == 0 == second else b""
            )


@pytest.mark.parametrize("event", SORTS)
def test_a_canary_of_one_character_an_event_never_leaves(event: object) -> None:
    assert callable(event)
    there = reader()
    left = out_of(there, [event("so "), *map(event, CANARY), event(" ")])
    assert b"".join(left) == event("so ")


@given(
    st.lists(
        st.tuples(st.sampled_from(SORTS), st.text(st.sampled_from("ab 1-\u00e9\u4e2d\n"), max_size=9)), max_size=30
    ),
    st.lists(st.integers(1, 90), min_size=1, max_size=20),
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
@settings(max_examples=150, deadline=None)
def test_events_leave_as_they_came_in_their_order(
    told: list[tuple[object, str]], sizes: list[int], whole: bool, line: bytes
) -> None:
    """However the network cuts them, what has nothing in it leaves byte for byte; what has left is always a beginning of it."""
    stream = b"".join(event(text) for event, text in told if callable(event)) + b": ping\n\ndata: [DONE]\n\n"
    stream = stream.replace(b"\n", line)
    parts, at = list[bytes](), 0
    while at < len(stream):
        size = sizes[len(parts) % len(sizes)]
        parts.append(stream[at : at + size])
        at += size
    there = reader(whole=whole)
    left = out_of(there, parts)
    assert b"".join(left) == stream
    assert not whole or not any(left[:-1])
    assert (there.held, there.found) == (0, frozenset())


def test_words_flow_with_the_last_one_held_at_the_most() -> None:
    words = [f"{word} " for word in ["lorem", "ipsum", "dolor", "sit", "amet"]]
    tokens = [content(word) for word in words]
    assert out_of(reader(), tokens) == tokens, "each word leaves with the space after it"
    late = [content(word) for word in ["lorem", " ipsum", " dolor", " sit"]]
    assert out_of(reader(), late) == [b"", late[0], late[1], late[2] + late[3]]


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("hello", ""),
        ("hello ", "hello "),
        ("call +49 30 ", "call "),
        ("call +49 30 1234", "call "),
        ("call +49 30 and", "call +49 30 "),
        ("4111 1111 ", ""),
        ("GB82 WEST 1234 ", ""),
        ("in the WEST ", "in the WEST "),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE ", ""),
        ("see -----BEGIN A-----\nMII\n-----END A-----\nthen ", "see -----BEGIN A-----\nMII\n-----END A-----\nthen "),
        ("\u4e2d\u6587\u5b57", "\u4e2d\u6587\u5b57"),
        ("x" * 5000, "x" * 904),
    ],
)
def test_what_could_go_on_to_be_a_match_stays(text: str, leaves: str) -> None:
    assert text[: settled(text)] == leaves


def test_numbers_without_end_leave_in_the_end() -> None:
    text = "".join(f"{number} " for number in range(200))
    assert len(text) - LONGEST_GROUPS <= settled(text) < len(text)


def test_what_is_in_no_fragment_is_looked_at_too() -> None:
    there = reader()
    snapshot = said({"type": "response.completed", "response": {"output": [{"text": f"the {CANARY} is"}]}})
    assert b"".join(out_of(there, [content("a "), snapshot])) == content("a ")
    assert there.found
    for odd in (b"data: not json " + CANARY.encode() + b"\n\n", b": " + CANARY.encode() + b"\n\n", said({CANARY: 1})):
        assert b"".join(out_of(there := reader(), [odd])) == b""
        assert there.found


def test_a_block_that_begins_with_text_goes_on_in_its_deltas() -> None:
    begun = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": CANARY[:9]}}
    there = reader()
    assert b"".join(out_of(there, [said(begun), message(CANARY[9:]), message(" ")])) == b""
    assert there.found


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_is_looked_at_whatever_its_header_calls_it(streamed: bool) -> None:
    events = [content(CANARY[:9]), content(CANARY[9:])]
    document = [json.dumps({"choices": [{"message": {"content": f"a {CANARY}"}}]}).encode()]
    for parts in (events, document):
        there = reader(streamed=streamed)
        assert b"".join(out_of(there, parts)) == b""
        assert there.found


def test_what_was_permitted_leaves_and_is_not_asked_again() -> None:
    async def play() -> None:
        there = reader()
        await there.feed(content(f"{CANARY} "), over=False)
        assert (there.take(), there.found) == (b"", frozenset({FOUND}))
        there.permit(there.found, whole=False)
        assert there.take() == content(f"{CANARY} ")
        await there.feed(content(f"{CANARY} again "), over=True)
        assert (there.take(), there.found) == (content(f"{CANARY} again "), frozenset())

    asyncio.run(play())


def test_what_is_held_is_bounded() -> None:
    async def play() -> None:
        there = reader()
        for _ in range(40):
            await there.feed(b"x" * (1 << 20), over=False)  # an event without an end

    with pytest.raises(Unavailable, match="would have to be held"):
        asyncio.run(play())


def test_a_long_answer_is_not_kept() -> None:
    draw = random.Random(3)  # noqa: S311
    there = reader()
    parts = [content(f"{draw.random()} and ") for _ in range(20_000)]
    assert b"".join(out_of(there, parts)) == b"".join(parts)
    assert sum(len(passage.text) for passage in there._passages.values()) < 10_000


def test_attack_an_answer_that_can_be_read_in_two_ways_is_none() -> None:
    there = reader(streamed=False)
    with pytest.raises(Unavailable, match="none of its protocol"):
        asyncio.run(there.feed(b'{"content": "%s", "content": "x"}' % CANARY.encode(), over=True))
    with pytest.raises(Unavailable):
        there.take()


def test_attack_what_may_be_released_takes_along_what_can_be_read_in_two_ways() -> None:
    there = reader("sesame")
    twofold = b'data: {"a": "sesame", "delta": {"text": "what nobody looked at", "text": "x"}}\n\n'
    asyncio.run(there.feed(twofold, over=False))
    assert there.found == {FOUND}
    there.permit(there.found, whole=False)
    with pytest.raises(Unavailable, match="none of its protocol"):
        there.take()


def test_attack_a_stream_of_ever_new_places_takes_bounded_memory() -> None:
    there = reader()

    async def run() -> None:
        for number in range(MOST_PASSAGES + 2):
            await there.feed(said({"index": number, "delta": {"text": "a "}}), over=False)
            there.take()

    with pytest.raises(Unavailable, match="texts at a time"):
        asyncio.run(run())


@pytest.mark.parametrize("streamed", [False, True])
def test_attack_an_answer_of_values_that_say_nothing_is_not_parsed(streamed: bool) -> None:
    there = reader(streamed=streamed)
    empty = b'data: {"a": [' + b"{}," * MOST_MARKS + b"{}]}\n\n"
    with pytest.raises(Unavailable, match="none of its protocol"):
        asyncio.run(there.feed(empty if streamed else empty[6:], over=True))
