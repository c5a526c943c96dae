"""What a request may take, and what an answer took that does not say so."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.content.estimates import LONGEST_LINE, UNSTATED, Passing, expected
from nomoat.content.usage import Usage, UsageReader
from nomoat.core.inference import MOST, Call

EXPECTED = Usage(10, 1_000)


@pytest.mark.parametrize(
    ("call", "body", "output"),
    [
        (Call.CHAT, {}, UNSTATED),
        (Call.CHAT, {"max_tokens": 7}, 7),
        (Call.CHAT, {"max_tokens": 7, "max_completion_tokens": 9}, 9),
        (Call.RESPONSE, {"max_output_tokens": 5, "max_tokens": 3}, 5),
        (Call.CHAT, {"max_tokens": 7, "n": 4}, 28),
        (Call.COMPLETION, {"max_tokens": 7, "best_of": 3, "n": 2, "prompt": ["a", "b"]}, 42),
        (Call.COMPLETION, {"max_tokens": 7, "prompt": [1, 2, 3]}, 7),
        (Call.CHAT, {"max_tokens": "nine", "n": True}, UNSTATED),
        (Call.CHAT, {"max_tokens": "nan", "n": "-4"}, UNSTATED),
        (Call.CHAT, {"max_tokens": -5, "n": -1}, UNSTATED),
        (Call.CHAT, {"max_tokens": 1 << 60, "n": 1 << 60}, MOST),
        (Call.EMBEDDING, {"max_tokens": 9}, 0),
    ],
)
def test_a_request_may_take_the_most_that_anything_in_it_says(call: Call, body: dict[str, Any], output: int) -> None:
    assert expected(call, body, 41) == Usage(11, output)


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 5000.0, "n": 2},
        {"max_tokens": "5000", "n": "2"},
        {"max_tokens": "+5000", "n": 2.0},
        {"max_tokens": " 5e3 ", "n": "2.0"},
        {"max_completion_tokens": "10000", "max_tokens": 1},
    ],
)
def test_attack_a_number_that_lenient_servers_read_is_not_one_for_quotas(body: dict[str, Any]) -> None:
    assert expected(Call.CHAT, body, 41) == Usage(11, 10_000)


def test_counting_takes_nothing() -> None:
    assert expected(Call.COUNT, {"max_tokens": 9}, 41) == Usage(0, 0)


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


SAID = "twelve chars"
STREAMS = {
    "openai chat": event({"choices": [{"index": 0, "delta": {"content": SAID}}]}),
    "openai tools": event({"choices": [{"delta": {"tool_calls": [{"function": {"arguments": SAID}}]}}]}),
    "openai completion": event({"choices": [{"text": SAID}]}),
    "openai response": event({"type": "response.output_text.delta", "delta": SAID}),
    "anthropic": event({"type": "content_block_delta", "delta": {"text": SAID}}),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_what_a_stream_says_is_counted_by_its_characters(stream: bytes) -> None:
    passing = Passing(Call.CHAT, EXPECTED, status=200, streamed=True)
    passing.feed(stream * 10 + b'data: [DONE]\n\n: ping\n\ndata: {"type": "ping"}\n\ndata: [1]\n\n')
    assert passing.written == 10 * len(SAID) // 4


@settings(deadline=None)
@given(st.lists(st.integers(0, 2_000)))
def test_it_is_the_same_wherever_the_parts_are_cut(cuts: list[int]) -> None:
    stream, passing, at = b"".join(STREAMS.values()) * 3, Passing(Call.CHAT, EXPECTED, status=200, streamed=True), 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        passing.feed(stream[at:cut])
        at = cut
    assert passing.written == 15 * len(SAID) // 4


def test_a_line_without_an_end_takes_no_memory_and_counts() -> None:
    passing = Passing(Call.CHAT, EXPECTED, status=200, streamed=True)
    for _ in range(3 * LONGEST_LINE // 65_536 + 3):
        passing.feed(b"x" * 65_536)
    assert len(passing._held) <= LONGEST_LINE
    assert passing.written >= 2 * LONGEST_LINE // 4


def total(answer: bytes, *, status: int = 200, streamed: bool, complete: bool = True) -> tuple[Usage, bool]:
    passing, reader = Passing(Call.CHAT, EXPECTED, status=status, streamed=streamed), UsageReader(streamed=streamed)
    passing.feed(answer)
    reader.feed(answer)
    passing.complete = complete
    return passing.total(reader)


WHOLE = json.dumps({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}).encode()
BEGUN = event({"message": {"usage": {"input_tokens": 30, "output_tokens": 1}}})


def test_what_was_taken_is_what_is_said_or_what_passed_or_what_was_expected() -> None:
    assert total(WHOLE, streamed=False) == (Usage(3, 4), False)
    assert total(b"x" * 40, streamed=False) == (Usage(10, 10), True)
    assert total(b"x" * 40, streamed=False, complete=False) == (Usage(10, 1_000), True), "it was written whole"
    assert total(b"{}", status=500, streamed=False) == (Usage(0, 0), False)
    # One that breaks off has said how much was read, and of what it wrote only the beginning.
    assert total(BEGUN + STREAMS["anthropic"] * 4, streamed=True, complete=False) == (Usage(30, 12), True)
    assert total(STREAMS["anthropic"], streamed=True) == (Usage(10, 3), True)
    assert total(b"data: a line that never ends", streamed=True) == (Usage(10, 7), True)
