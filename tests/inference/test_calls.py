"""Every call of OpenAI's and Anthropic's clients beside plain chats: what they send arrives, and what is answered comes back."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pydantic
import pytest

from nomoat.client.transport import pinned_context
from tests.inference.conftest import Floor

ASKED: Any = [{"role": "user", "content": "say hello"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


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


def test_a_completion_is_filled_in_before_its_suffix(floor: Floor, gpt: openai.OpenAI) -> None:
    said = gpt.completions.create(model="acme/chat", prompt="def f():\n", suffix="\n    return 1")
    assert said.choices[0].text == "between 'def f():\\n' and '\\n    return 1'"
    path, _, body = floor.upstream.asked[-1]
    assert (path, body["suffix"]) == ("/v1/completions", "\n    return 1")


def test_a_response_is_answered_whole_and_streamed(floor: Floor, gpt: openai.OpenAI) -> None:
    assert gpt.responses.create(model="acme/chat", input="say hello", store=False).output_text == "hello"
    assert floor.upstream.asked[-1][2]["store"] is False
    floor.upstream.says = "hello, in several pieces"
    with gpt.responses.stream(model="acme/coder", input="say hello") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert (len(texts), "".join(texts), final.output_text) == (2, floor.upstream.says, floor.upstream.says)


class Answer(pydantic.BaseModel):
    """What the model is to answer."""

    verdict: str
    sure: float


def test_structured_outputs_pass_with_their_schema(floor: Floor, gpt: openai.OpenAI) -> None:
    floor.upstream.says = '{"verdict": "yes", "sure": 0.5}'
    said = gpt.chat.completions.parse(model="acme/coder", messages=ASKED, response_format=Answer)
    assert said.choices[0].message.parsed == Answer(verdict="yes", sure=0.5)
    schema = floor.upstream.asked[-1][2]["response_format"]["json_schema"]
    assert (schema["strict"], list(schema["schema"]["properties"])) == (True, ["verdict", "sure"])


def test_tokens_are_counted_before_they_are_sent(floor: Floor, claude: anthropic.Anthropic) -> None:
    assert claude.messages.count_tokens(model="acme/claude", messages=ASKED).input_tokens == 7
    assert floor.upstream.asked[-1][0] == "/v1/messages/count_tokens"


def test_beta_headers_reach_the_server_and_others_do_not(
    floor: Floor, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    claude.beta.messages.create(
        model="acme/claude", max_tokens=9, messages=ASKED, betas=["context-1m-2025-08-07", "made-up-2027-01-01"]
    )
    headers = floor.upstream.asked[-1][1]
    assert headers["anthropic-beta"] == "context-1m-2025-08-07,made-up-2027-01-01"
    gpt.chat.completions.create(
        model="acme/chat", messages=ASKED, extra_headers={"OpenAI-Beta": "assistants=v2", "X-Made-Up": "1"}
    )
    headers = floor.upstream.asked[-1][1]
    assert headers["openai-beta"] == "assistants=v2"
    assert not [name for name in headers if name.startswith(("x-", "openai-o", "anthropic"))]


def test_images_pass_as_they_are(floor: Floor, gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    seen: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    text: Any = {"type": "text", "text": "what is it?"}
    claude.messages.create(model="acme/claude", max_tokens=9, messages=[{"role": "user", "content": [seen, text]}])
    assert floor.upstream.asked[-1][2]["messages"][0]["content"] == [seen, text]
    shown: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}}
    gpt.chat.completions.create(model="acme/chat", messages=[{"role": "user", "content": [shown, text]}])
    assert floor.upstream.asked[-1][2]["messages"][0]["content"] == [shown, text]


def test_tools_of_anthropic_and_their_results_pass(floor: Floor, claude: anthropic.Anthropic) -> None:
    tool: Any = {
        "name": "look_up",
        "input_schema": {"type": "object", "properties": {}},
        "cache_control": {"type": "x"},
    }
    used: Any = {"type": "tool_use", "id": "t-1", "name": "look_up", "input": {"of": [1, None, 1.5]}}
    result: Any = {"type": "tool_result", "tool_use_id": "t-1", "content": [{"type": "text", "text": "42"}]}
    turns: Any = [*ASKED, {"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]
    choice: Any = {"type": "any", "disable_parallel_tool_use": True}
    claude.messages.create(model="acme/claude", max_tokens=9, messages=turns, tools=[tool], tool_choice=choice)
    body = floor.upstream.asked[-1][2]
    assert (body["messages"], body["tools"], body["tool_choice"]) == (turns, [tool], choice)


def test_asynchronous_clients_ask_together(floor: Floor) -> None:
    async def ask() -> list[str]:
        context = pinned_context(floor.profile("ada").read("ca.pem").decode())
        async with httpx2.AsyncClient(verify=context) as http:
            gpt = openai.AsyncOpenAI(base_url=f"{floor.live.url}/v1", api_key=floor.token("ada"), http_client=http)
            claude = anthropic.AsyncAnthropic(base_url=floor.live.url, api_key=floor.token("ada"), http_client=http)

            async def streamed() -> str:
                stream = await gpt.chat.completions.create(model="acme/chat", messages=ASKED, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            async def told() -> str:
                async with claude.messages.stream(model="acme/claude", max_tokens=9, messages=ASKED) as stream:
                    return "".join([text async for text in stream.text_stream])

            return await asyncio.gather(*(each() for _ in range(4) for each in (streamed, told)))

    assert asyncio.run(ask()) == ["w0 w1 w2 w3 w4 ", "hehehe"] * 4


def test_a_client_waits_as_long_as_a_busy_server_says_and_asks_again(floor: Floor, gpt: openai.OpenAI) -> None:
    floor.upstream.was_busy = False
    before, began = len(floor.upstream.asked), time.monotonic()
    said = gpt.with_options(max_retries=1).chat.completions.create(model="busy-once", messages=ASKED)
    assert (said.choices[0].message.content, len(floor.upstream.asked) - before) == ("hello", 2)
    assert time.monotonic() - began >= 1.0, "it waits for what Retry-After says"
    first, second = floor.live.records("what InvokeModel", limit=2)
    assert [each["outcome"]["facts"]["status"] for each in (first, second)] == ["429", "200"]


def test_a_client_asks_a_broken_server_again(floor: Floor, claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    before = len(floor.upstream.asked)
    with pytest.raises(openai.InternalServerError, match="on fire"):
        gpt.with_options(max_retries=1).chat.completions.create(model="broken", messages=ASKED)
    assert len(floor.upstream.asked) - before == 2, "the gateway itself asks once"
    with pytest.raises(anthropic.PermissionDeniedError):
        claude.with_options(max_retries=1).messages.create(model="broken", max_tokens=9, messages=ASKED)
    assert len(floor.upstream.asked) - before == 2, "nobody asks again for what was refused"


def test_a_client_that_waits_no_longer_ends_what_it_asked_for(floor: Floor, gpt: openai.OpenAI) -> None:
    left = floor.upstream.left
    with pytest.raises(openai.APITimeoutError):
        gpt.with_options(timeout=0.5).chat.completions.create(model="silent", messages=ASKED)
    for _ in range(100):
        if floor.upstream.left > left and floor.live.records("what InvokeModel", limit=1)[-1].get("outcome"):
            break
        time.sleep(0.1)
    assert floor.upstream.left == left + 1, "the server does not go on for nobody"
    assert floor.outcome["outcome"] == "left"
