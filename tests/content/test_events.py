"""Events that are like the one before are read without parsing them, and are read the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.content.events import MOST_LEARNT, Fragment, Recurrence, fragments_of

TEXTS = st.lists(
    st.text(max_size=12) | st.sampled_from(['"', "\\", '","x":"', "c-1", "word ", '"}}', "é\u2028"]),
    min_size=2,
    max_size=8,
)
SHAPES: dict[str, Any] = {
    "chat": lambda text: {"id": "c-1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]},
    "message": lambda text: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
    "the same text twice": lambda text: {"id": text, "choices": [{"index": 0, "delta": {"content": text}}]},
    "two choices": lambda text: {"choices": [{"index": at, "delta": {"content": text}} for at in range(2)]},
    "escaped": lambda text: {"id": "word ", "choices": [{"index": 0, "delta": {"content": text}}]},
}


def written(shape: str, text: str) -> bytes:
    return b"data: " + json.dumps(SHAPES[shape](text), ensure_ascii=shape == "escaped").encode() + b"\n\n"


@pytest.mark.parametrize("shape", SHAPES)
@given(texts=TEXTS)
def test_what_is_read_of_an_event_is_what_parsing_it_says(shape: str, texts: list[str]) -> None:
    recurrence = Recurrence()
    for text in texts:
        event = written(shape, text)
        parsed = list(fragments_of(event, set()))
        again = recurrence.of(event)
        if again is not None:
            assert [each for each in parsed if each.of is not None] == [again]
        else:
            recurrence.learn(event, parsed)


def test_most_events_of_a_stream_are_like_the_one_before() -> None:
    recurrence = Recurrence()
    first = written("chat", "one ")
    recurrence.learn(first, list(fragments_of(first, set())))
    of = next(each.of for each in fragments_of(first, set()) if each.of is not None)
    assert recurrence.of(written("chat", 'two "')) == Fragment(of, 'two "')
    assert recurrence.of(written("message", "three")) is None


def test_a_stream_in_which_no_event_is_like_another_is_not_learnt_from_for_ever() -> None:
    recurrence = Recurrence()
    for number in range(3 * MOST_LEARNT):
        event = json.dumps({"sequence": number, "delta": "x"}).encode()
        recurrence.learn(b"data: " + event + b"\n\n", list(fragments_of(b"data: " + event, set())))
    same = b'data: {"delta": "x"}\n\n'
    recurrence.learn(same, list(fragments_of(same, set())))
    assert recurrence.of(same) is None


@pytest.mark.parametrize(
    "event",
    [
        b'{"choices": [{"index": 0, "delta": {"content": "what nobody looks at", "content": "x"}}]}',
        b'{"delta": "what nobody looks at", "type": "x", "delta": "y"}',
        b'{"a": {"what nobody looks at": 1, "b": "\\\\"}, "a": {"b": "\\""}}',
    ],
)
def test_attack_an_event_that_can_be_read_in_two_ways_is_none(event: bytes) -> None:
    assert any(each.malformed for each in fragments_of(b"data: " + event + b"\n\n", set()))


@pytest.mark.parametrize("value", [[1], {}, "x" * 1_000_000])
@pytest.mark.parametrize("place", ["index", "item_id", "type"])
def test_attack_an_event_says_where_it_is_as_no_protocol_does(place: str, value: object) -> None:
    event = {"choices": [{"index": value, "delta": {"content": "a"}}], place: value, "delta": "b"}
    fragments = list(fragments_of(b"data: " + json.dumps(event).encode() + b"\n\n", set()))
    assert {each.text for each in fragments} >= {"a", "b"}
    assert all(len(repr(each.of)) < 1000 for each in fragments)
    assert {each.of for each in fragments}, "each can be looked up"
