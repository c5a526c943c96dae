"""OpenAI's and Anthropic's own clients, unchanged, pointed at the gateway."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from nomoat.client.transport import pinned_context
from tests.inference.conftest import Floor

ASKED: Any = [{"role": "user", "content": "say hello"}]  # each client has a type of its own for it


@pytest.fixture
def http(floor: Floor) -> Iterator[httpx2.Client]:
    with httpx2.Client(verify=pinned_context(floor.profile("ada").read("ca.pem").decode())) as client:
        yield client


@pytest.fixture
def gpt(floor: Floor, http: httpx2.Client) -> openai.OpenAI:
    url, key = f"{floor.live.url}/v1", floor.token("ada")
    return openai.OpenAI(base_url=url, api_key=key, http_client=http, max_retries=0)


@pytest.fixture
def claude(floor: Floor, http: httpx2.Client) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=floor.live.url, api_key=floor.token("ada"), http_client=http, max_retries=0)


def test_a_chat_is_answered_by_the_first_server_that_may_have_the_prompt(floor: Floor, gpt: openai.OpenAI) -> None:
    said = gpt.chat.completions.create(
        model="acme/chat", messages=ASKED, seed=3, extra_body={"unknown_field": {"a": [1]}}
    )
    assert said.choices[0].message.content == "hello"
    path, headers, body = floor.upstream.asked[-1]
    assert (path, body["model"], body["unknown_field"], body["seed"]) == (
        "/v1/chat/completions",
        "our-model",
        {"a": [1]},
        3,
    )
    assert floor.token("ada") not in str(headers)
    assert not {"authorization", "x-api-key", "dpop", "cookie"} & set(headers)
    ended = floor.outcome
    facts = ended["facts"]
    assert (ended["outcome"], facts["upstream"], facts["model"]) == ("complete", "internal", "our-model")
    assert (facts["input_tokens"], facts["output_tokens"]) == ("3", "1")


def test_a_stream_arrives_in_its_pieces(gpt: openai.OpenAI) -> None:
    stream = gpt.chat.completions.create(model="acme/chat", messages=ASKED, stream=True)
    arrived = [(chunk.choices[0].delta.content, time.monotonic()) for chunk in stream]
    assert "".join(text or "" for text, _ in arrived) == "w0 w1 w2 w3 w4 "
    assert arrived[-1][1] - arrived[0][1] > 0.05, "they came one after the other"


def test_tools_and_embeddings_pass(gpt: openai.OpenAI) -> None:
    tool: Any = {
        "type": "function",
        "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
    }
    said = gpt.chat.completions.create(model="acme/chat", messages=ASKED, tools=[tool])
    (call,) = said.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "look_up"
    found = gpt.embeddings.create(model="acme/chat", input="x", encoding_format="float")
    assert found.data[0].embedding == [0.5, 0.25]


def test_a_message_of_anthropic_s_client_is_answered_whole_and_streamed(
    floor: Floor, claude: anthropic.Anthropic
) -> None:
    said = claude.messages.create(model="acme/claude", max_tokens=9, messages=ASKED)
    assert [block.to_dict() for block in said.content] == [{"type": "text", "text": "hello"}]
    _, headers, body = floor.upstream.asked[-1]
    assert (body["model"], headers["anthropic-version"]) == ("our-claude", "2026-10-21")
    with claude.messages.stream(model="acme/claude", max_tokens=9, messages=ASKED) as stream:
        assert "".join(stream.text_stream) == "hehehe"


def test_models_are_those_that_the_caller_may_invoke(
    floor: Floor, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    known = {model.id for model in gpt.models.list()}
    assert {"acme/chat", "acme/claude", "acme/public"} <= known
    assert {model.id for model in claude.models.list()} == known
    public = {model.id for model in gpt.with_options(api_key=floor.token("guest")).models.list()}
    assert "acme/public" in public  # tests of other files declare more
    assert not {"acme/chat", "acme/claude", "acme/hosted-only"} & public


def test_refusals_are_the_exceptions_that_each_client_has_for_them(
    floor: Floor, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    with pytest.raises(openai.PermissionDeniedError, match="may be sent to no server"):
        gpt.chat.completions.create(model="acme/hosted-only", messages=ASKED)
    with pytest.raises(openai.NotFoundError):
        gpt.chat.completions.create(model="nothing", messages=ASKED)
    outsider = gpt.with_options(api_key=floor.token("outsider"))
    with pytest.raises(openai.NotFoundError) as hidden:
        outsider.chat.completions.create(model="acme/chat", messages=ASKED)
    with pytest.raises(openai.NotFoundError) as missing:
        outsider.chat.completions.create(model="nothing", messages=ASKED)
    assert hidden.value.body == missing.value.body
    with pytest.raises(openai.AuthenticationError):
        gpt.with_options(api_key="sk-nothing").chat.completions.create(model="acme/chat", messages=ASKED)
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nothing", max_tokens=9, messages=ASKED)
    with pytest.raises(anthropic.PermissionDeniedError, match="speaks anthropic"):
        claude.messages.create(model="acme/chat", max_tokens=9, messages=ASKED)


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("reset-before", openai.InternalServerError, "gave no answer"),
        ("no-http", openai.InternalServerError, "gave no answer"),
        ("too-many", openai.RateLimitError, "slow down"),
        ("broken", openai.InternalServerError, "on fire"),
        ("credential", openai.InternalServerError, "gateway's own credential"),
        ("redirect", openai.InternalServerError, "redirect"),
        ("bomb", openai.InternalServerError, "compressed"),
        ("acme/lured", openai.InternalServerError, "not public"),
    ],
)
def test_a_fault_of_the_upstream_is_a_clear_error(
    gpt: openai.OpenAI, fault: str, error: type[openai.APIError], told: str
) -> None:
    with pytest.raises(error, match=told) as raised:
        gpt.chat.completions.create(model=fault, messages=ASKED)
    assert "sk-123" not in str(raised.value)


def test_an_answer_that_breaks_off_is_an_error(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="broke off"):  # nothing of it was given out before its end
        gpt.chat.completions.create(model="short", messages=ASKED)
    with pytest.raises(openai.APIError, match="broke off"):
        for _ in gpt.chat.completions.create(model="reset-mid", messages=ASKED, stream=True):
            pass


def test_a_stream_ends_with_an_error_when_its_session_is_revoked(floor: Floor, gpt: openai.OpenAI) -> None:
    client = gpt.with_options(api_key=floor.token("streamer"))
    stream = client.chat.completions.create(model="endless", messages=ASKED, stream=True)
    next(iter(stream))
    with floor.live.admin as session:
        session.gateway.revoke("session", floor.profile("streamer").identity().session)
    began = time.monotonic()
    with pytest.raises(openai.APIError, match="revoked"):
        for _ in stream:
            pass
    assert time.monotonic() - began < 5
    assert floor.outcome["outcome"] == "cut"


MOVING = """
[[upstream]]
name = "moving"
url = "http://127.0.0.1:{port}/v1"
clearance = "{clearance}"
private = true
[[endpoint]]
name = "acme/moving"
classification = "internal"
served = [{{ upstream = "moving", model = "endless" }}, {{ upstream = "internal", model = "endless" }}]
"""


def test_a_stream_ends_when_its_server_may_not_have_the_prompt_any_more(floor: Floor, gpt: openai.OpenAI) -> None:
    floor.live.declare(MOVING.format(port=floor.upstream.port, clearance="internal"))
    stream = gpt.chat.completions.create(model="acme/moving", messages=ASKED, stream=True)
    next(iter(stream))
    floor.live.declare('[[person]]\nname = "newcomer"\n')
    next(iter(stream))  # what has nothing to do with it ends nothing
    floor.live.declare(MOVING.format(port=floor.upstream.port, clearance="public"))
    with pytest.raises(openai.APIError, match="no longer permitted"):
        list(islice(stream, 500))
    assert floor.outcome["outcome"] == "cut"
    said = gpt.chat.completions.create(model="acme/moving", messages=ASKED)
    assert said.choices[0].message.content == "hello", "another server still may"
