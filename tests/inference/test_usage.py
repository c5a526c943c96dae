"""Tokens are read from answers as they pass, wherever their parts are cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.content.usage import LARGEST_ANSWER, LARGEST_EVENT, Usage, UsageReader

OPENAI = json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}).encode()
STREAM = b'data: {"choices": []}\n\ndata: ' + OPENAI + b"\n\ndata: [DONE]\n\n"
RESPONSE = (
    b'data: {"type": "response.completed", "response": {"usage": {"input_tokens": 7, "output_tokens": 5}}}\r\n\r\n'
)
ANTHROPIC = (
    b'event: message_start\ndata: {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}\n\n'
    b'event: message_delta\ndata: {"type": "message_delta", "usage": {"output_tokens": 5}}\n\n'
)


def read(answer: bytes, cuts: list[int], *, streamed: bool) -> Usage | None:
    reader, at = UsageReader(streamed=streamed), 0
    for cut in [*sorted(cut % (len(answer) + 1) for cut in cuts), len(answer)]:
        reader.feed(answer[at:cut])
        at = cut
    return reader.total()


@settings(deadline=None)
@given(
    st.sampled_from([(OPENAI, False), (STREAM, True), (RESPONSE, True), (ANTHROPIC, True)]),
    st.lists(st.integers(0, 500)),
)
def test_it_is_the_same_wherever_the_parts_are_cut(answer: tuple[bytes, bool], cuts: list[int]) -> None:
    content, streamed = answer
    assert read(content, cuts, streamed=streamed) == Usage(7, 5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{",
        b"[]",
        b'{"usage": 3}',
        b'{"usage": {"prompt_tokens": "7", "completion_tokens": true}}',
        b'{"usage": {"prompt_tokens": -1}}',
        b'{"message": "usage"}',
        b"\xff\n",
    ],
)
def test_what_says_nothing_says_nothing(answer: bytes) -> None:
    assert read(answer, [], streamed=False) is None
    assert read(b"data: " + answer + b"\n\n", [], streamed=True) is None


def test_what_is_too_long_takes_no_memory_and_later_events_count() -> None:
    reader = UsageReader(streamed=True)
    for _ in range(3 * LARGEST_EVENT // 65_536):
        reader.feed(b"x" * 65_536)
    assert len(reader._held) <= LARGEST_EVENT
    reader.feed(b'"usage": {}\n' + STREAM)
    assert reader.total() == Usage(7, 5)
    whole = UsageReader(streamed=False)
    whole.feed(b" " * (LARGEST_ANSWER + 1))
    whole.feed(OPENAI)
    assert whole.total() is None


def test_text_that_speaks_of_usage_is_not_usage() -> None:
    said = json.dumps({"choices": [{"delta": {"content": '{"usage": {"prompt_tokens": 9}}'}}]}).encode()
    assert read(b"data: " + said + b"\n\n", [], streamed=True) is None
