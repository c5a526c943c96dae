"""What a simulated model says in the calls beside chats, in the forms that OpenAI and Anthropic document."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson


def response(model: str, text: str, output: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """An answer of OpenAI's Responses API."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": model,
        "output": [_item(text)] if output is None else output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 1,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 4,
        },
    }


def response_events(model: str, text: str) -> Iterator[bytes]:
    """The same as a stream."""
    empty = {**response(model, ""), "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": empty},
        {"type": "response.output_item.added", "output_index": 0, "item": {**_item(""), "content": []}},
        {"type": "response.content_part.added", **place, "part": part},
        *({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []} for piece in _pieces(text)),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": {**part, "text": text}},
        {"type": "response.output_item.done", "output_index": 0, "item": _item(text)},
        {"type": "response.completed", "response": response(model, text)},
    ]
    for number, each in enumerate(told):
        yield _event(str(each["type"]), {**each, "sequence_number": number})


def chat_events(model: str, text: str) -> Iterator[bytes]:
    """A chat's answer as a stream."""
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for piece in _pieces(text):
        choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}
        yield _event("", {**head, "choices": [choice]})
    yield _event("", {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    yield _event("", {**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def message_events(begun: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """A message of Anthropic's as a stream; `begun` is the message before it says anything."""
    yield _event("message_start", {"message": {**begun, "content": [], "stop_reason": None}})
    yield _event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
    for piece in _pieces(text):
        yield _event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": piece}})
    yield _event("content_block_stop", {"index": 0})
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _event("message_delta", {"delta": ended, "usage": {"output_tokens": 1}})
    yield _event("message_stop", {})


def filled(model: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A legacy completion, which says between what it stands."""
    text = f"between {body['prompt']!r} and {body.get('suffix')!r}"
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return {"id": "c-1", "object": "text_completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def _item(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}


def _pieces(text: str) -> list[str]:
    return [text[start : start + 16] for start in range(0, len(text), 16)]


def _event(name: str, value: Mapping[str, Any]) -> bytes:
    body = orjson.dumps({"type": name, **value}) if name else json.dumps(value).encode()
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % body
