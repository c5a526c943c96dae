"""Quotas, as unmodified clients meet them: 429 with the time to wait, what was used, what a stream takes."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from nomoat.client.transport import pinned_context
from tests.cli.live import Caller
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor

ASKED: Any = [{"role": "user", "content": "say hello"}]
PEOPLE = (
    *("few", "claude-few", "racer", "left", "reader", "talker", "cheap", "elsewhere", "unlucky", "refused"),
    *("shouted", "mate", "other-mate", "each-one", "each-two", "each-shown", "greedy", "exact"),
)
DECLARED = """
[[group]]
name = "mates"
[[group]]
name = "eachs"
[[endpoint]]
name = "acme/priced"
classification = "internal"
served = [{ upstream = "internal", model = "our-model", price = { input = 1000, output = 2000.5 } }]
[[endpoint]]
name = "talker"
classification = "internal"
served = [{ upstream = "internal", model = "talker" }]
[[endpoint]]
name = "shouter"
classification = "internal"
served = [{ upstream = "internal", model = "fault:capitals" }]
[[endpoint]]
name = "acme/unreached"
classification = "internal"
served = [{ upstream = "dead", model = "x" }]
"""
QUOTAS = """
[[quota]]
name = "few"
for = "person:few"
requests_per_minute = 2
[[quota]]
name = "claude-few"
for = "person:claude-few"
requests_per_minute = 1
[[quota]]
name = "racer"
for = "person:racer"
requests_per_day = 7
[[quota]]
name = "left"
for = "person:left"
tokens_per_day = 100000
[[quota]]
name = "reader"
for = "person:reader"
tokens_per_day = 100000
[[quota]]
name = "exact"
for = "person:exact"
tokens_per_day = 100000
[[quota]]
name = "talker"
for = "person:talker"
tokens_per_minute = 3000
[[quota]]
name = "shouted"
for = "person:shouted"
tokens_per_minute = 3000
[[quota]]
name = "cheap"
for = "person:cheap"
endpoint = "acme/priced"
cost_per_day = 4.0
[[quota]]
name = "elsewhere"
for = "person:elsewhere"
endpoint = "acme/priced"
requests_per_day = 1
[[quota]]
name = "unlucky"
for = "person:unlucky"
requests_per_day = 3
[[quota]]
name = "refused"
for = "person:refused"
requests_per_day = 3
[[quota]]
name = "mates"
for = "group:mates"
requests_per_day = 2
[[quota]]
name = "eachs"
for = "group:eachs"
each = true
requests_per_day = 1
[[quota]]
name = "greedy"
for = "person:greedy"
tokens_per_minute = 50000
"""


def person(name: str) -> str:
    group = next((f'"{prefix}s"' for prefix in ("mate", "each") if prefix in name), "")
    groups = f'["model-users"{", " if group else ""}{group}]'
    return f'[[person]]\nname = "{name}"\ngroups = {groups}\nclearance = "internal"\n'


@pytest.fixture(scope="module")
def quotas(floor: Floor) -> Floor:
    floor.live.declare(DECLARED + "".join(map(person, PEOPLE)) + QUOTAS)
    for name in PEOPLE:
        floor.live.join(f"person:{name}")
    return floor


@pytest.fixture
def http(floor: Floor) -> Iterator[httpx2.Client]:
    with httpx2.Client(verify=pinned_context(floor.profile("ada").read("ca.pem").decode())) as client:
        yield client


def gpt(floor: Floor, http: httpx2.Client, name: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{floor.live.url}/v1", api_key=floor.token(name), http_client=http, max_retries=0)


def hello(client: openai.OpenAI, model: str = "acme/chat", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=ASKED, **more)


def left(floor: Floor, name: str) -> dict[str, float]:
    """What is left to a caller, by quota and measure."""
    with floor.live.http(name) as client:
        answer = client.get("/v1/quotas").json()
    return {f"{name} {each['measure']}": each["left"] for each in answer["quotas"] if each["quota"] == name}


def newest(floor: Floor, name: str) -> dict[str, Any]:
    """The newest record of an answer that somebody asked for, once it ended."""
    for _ in range(100):
        record = floor.live.records(f"by {name} what InvokeModel", limit=1)[-1]
        if "outcome" in record:
            return record
        time.sleep(0.05)
    raise AssertionError(record)


def test_openai_s_client_raises_its_error_and_is_told_when_to_come_back(quotas: Floor, http: httpx2.Client) -> None:
    client, asked = gpt(quotas, http, "few"), len(quotas.upstream.asked)
    hello(client)
    hello(client)
    with pytest.raises(
        openai.RateLimitError, match=r"quota few allows .* 2 requests a minute; try again in"
    ) as refused:
        hello(client)
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 65
    assert refused.value.code == "rate_limit_exceeded"
    assert len(quotas.upstream.asked) == asked + 2, "nothing was sent"
    outcome = newest(quotas, "few")["outcome"]
    assert (outcome["outcome"], outcome["facts"]["quota"]) == ("refused", "few")
    assert "2 requests a minute" in outcome["why"]
    hello(gpt(quotas, http, "ada"))  # nobody else is held up


def test_anthropic_s_client_raises_its_error(quotas: Floor, http: httpx2.Client) -> None:
    client = anthropic.Anthropic(
        base_url=quotas.live.url, api_key=quotas.token("claude-few"), http_client=http, max_retries=0
    )
    client.messages.create(model="acme/claude", max_tokens=9, messages=ASKED)
    with pytest.raises(anthropic.RateLimitError, match="quota claude-few") as refused:
        client.messages.create(model="acme/claude", max_tokens=9, messages=ASKED)
    assert int(refused.value.response.headers["retry-after"]) >= 1
    assert '"rate_limit_error"' in refused.value.response.text


def test_requests_that_race_do_not_take_more_than_there_is(quotas: Floor, http: httpx2.Client) -> None:
    def ask(_: int) -> bool:
        try:
            hello(gpt(quotas, http, "racer"))
        except openai.RateLimitError:
            return False
        return True

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(ask, range(30))) == 7


def test_a_group_shares_a_quota_or_each_member_has_it(quotas: Floor, http: httpx2.Client) -> None:
    hello(gpt(quotas, http, "mate"))
    hello(gpt(quotas, http, "other-mate"))
    with pytest.raises(openai.RateLimitError, match="all whom it is for together") as refused:
        hello(gpt(quotas, http, "mate"))
    assert "other-mate" not in str(refused.value)
    hello(gpt(quotas, http, "each-one"))
    hello(gpt(quotas, http, "each-two"))
    with pytest.raises(openai.RateLimitError, match="allows each 1 requests a day"):
        hello(gpt(quotas, http, "each-one"))


def test_an_endpoint_s_quota_counts_that_one_alone(quotas: Floor, http: httpx2.Client) -> None:
    client = gpt(quotas, http, "elsewhere")
    hello(client)
    hello(client, "acme/priced")
    with pytest.raises(openai.RateLimitError):
        hello(client, "acme/priced")
    hello(client)


def test_cost_is_what_the_tokens_cost_where_they_were_taken(quotas: Floor, http: httpx2.Client) -> None:
    client = gpt(quotas, http, "cheap")
    hello(client, "acme/priced", max_tokens=100)
    # 3 tokens read at 1,000 a million, 1 written at 2,000.5: 0.005001 (rounded up)
    assert newest(quotas, "cheap")["outcome"]["facts"]["cost"] == "0.005001"
    assert left(quotas, "cheap") == {"cheap cost": pytest.approx(4 - 0.005001, abs=1e-9)}
    with pytest.raises(openai.RateLimitError, match=r"a cost of 4 a day; 3\.994999 are left, and this may take 4"):
        hello(client, "acme/priced", max_tokens=100_000)


def test_a_stream_s_tokens_are_those_it_says_or_estimated(quotas: Floor, http: httpx2.Client) -> None:
    client = gpt(quotas, http, "exact")
    for _ in hello(client, stream=True, stream_options={"include_usage": True}):
        pass
    facts = newest(quotas, "exact")["outcome"]["facts"]
    assert (facts["input_tokens"], facts["output_tokens"], facts.get("estimated")) == ("30", "70", None)
    assert left(quotas, "exact") == {"exact tokens": 100_000 - 100}
    for _ in hello(client, stream=True):
        pass
    facts = newest(quotas, "exact")["outcome"]["facts"]
    assert facts["estimated"] == "true"
    assert 2 <= int(facts["output_tokens"]) <= 5, "ten characters"
    assert left(quotas, "exact") == {
        "exact tokens": 100_000 - 100 - int(facts["input_tokens"]) - int(facts["output_tokens"])
    }


def test_a_stream_whose_client_leaves_is_counted_as_far_as_it_went(quotas: Floor, http: httpx2.Client) -> None:
    stream = hello(gpt(quotas, http, "left"), "talker", stream=True, max_tokens=5_000)
    for _, _ in zip(range(5), stream, strict=False):
        pass
    stream.close()
    outcome = newest(quotas, "left")["outcome"]
    assert outcome["outcome"] == "left"
    assert outcome["facts"]["estimated"] == "true"
    took = int(outcome["facts"]["input_tokens"]) + int(outcome["facts"]["output_tokens"])
    assert 500 <= took < 5_000, "five times a hundred at least, and not what it might have been"
    assert left(quotas, "left") == {"left tokens": 100_000 - took}


def test_a_stream_that_breaks_off_is_counted_as_far_as_it_went(quotas: Floor, http: httpx2.Client) -> None:
    with pytest.raises(openai.APIError, match="broke off"):
        for _ in hello(gpt(quotas, http, "reader"), "reset-mid", stream=True):
            pass
    outcome = newest(quotas, "reader")["outcome"]
    assert (outcome["outcome"], outcome["facts"]["estimated"]) == ("failed", "true")
    assert 0 < 100_000 - left(quotas, "reader")["reader tokens"] < 200


def test_a_stream_that_goes_on_past_its_quota_ends_with_an_error(quotas: Floor, http: httpx2.Client) -> None:
    said: list[str] = []
    with pytest.raises(openai.APIError, match=r"quota talker allows .* 3,000 tokens a minute"):
        said.extend(each.choices[0].delta.content for each in hello(gpt(quotas, http, "talker"), "talker", stream=True))
    assert 1_000 * 4 <= len("".join(said)) <= 3_000 * 4
    outcome = newest(quotas, "talker")["outcome"]
    assert outcome["outcome"] == "cut"
    assert "quota talker" in outcome["facts"]["why"]


def test_attack_a_stream_that_writes_its_type_in_capitals_goes_on_past_a_quota(
    quotas: Floor, http: httpx2.Client
) -> None:
    with pytest.raises(openai.APIError, match="quota shouted allows"):
        list(hello(gpt(quotas, http, "shouted"), "shouter", stream=True))


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": 60_000},
        {"max_tokens": 1, "max_completion_tokens": 60_000},
        {"max_tokens": 1, "extra_body": {"max_output_tokens": 60_000}},
        {"n": 128, "max_tokens": 400},
    ],
)
def test_what_a_request_may_take_is_asked_for_before_it_is_sent(
    quotas: Floor, http: httpx2.Client, more: dict[str, Any]
) -> None:
    client, asked = gpt(quotas, http, "greedy"), len(quotas.upstream.asked)
    hello(client)  # something is taken, so that what may take all of it has no room
    with pytest.raises(openai.RateLimitError, match="50,000 tokens a minute"):
        hello(client, **more)
    assert len(quotas.upstream.asked) == asked + 1
    hello(client, max_tokens=10_000)  # what was refused took nothing


def test_what_was_not_sent_is_not_charged(quotas: Floor, http: httpx2.Client) -> None:
    client = gpt(quotas, http, "unlucky")
    for _ in range(5):
        with pytest.raises(openai.InternalServerError, match=r"cannot be reached|did not answer lately"):
            hello(client, "acme/unreached")
    assert left(quotas, "unlucky") == {"unlucky requests": 3}
    client = gpt(quotas, http, "refused")
    for model in ("acme/hosted-only", "nothing"):
        with pytest.raises(openai.APIStatusError):
            hello(client, model)
    assert left(quotas, "refused") == {"refused requests": 3}


def test_the_command_shows_what_is_left(quotas: Floor, http: httpx2.Client) -> None:
    hello(gpt(quotas, http, "each-shown"))
    caller = Caller(quotas.live.root / "home")
    own = caller.nomoat("quotas", "--profile", quotas.profile("reader").name)
    assert own.code == 0, own.err
    assert "reader" in own.out
    assert "100,000 tokens a day" in own.out
    assert "racer" not in own.out
    told = caller.nomoat("quotas", "--json", "--profile", quotas.profile("each-shown").name).json()
    rows: Any = told["quotas"]
    assert [each for each in rows if each["quota"] == "eachs"] == [
        {
            "quota": "eachs",
            "for": "person:each-shown",
            "shared": False,
            "endpoint": "",
            "measure": "requests",
            "period": "day",
            "limit": 1,
            "left": 0,
        }
    ]
    refused = caller.nomoat("quotas", "--all", "--profile", quotas.profile("reader").name)
    assert refused.code == 1
    assert "racer" not in refused.out + refused.err
    everybody = caller.nomoat("quotas", "--all", "--json", "--profile", quotas.profile(ADMIN).name)
    rows = json.loads(everybody.out)["quotas"]
    assert {"reader", "racer", "eachs"} <= {each["quota"] for each in rows}
    assert "person:each-shown" in {each["for"] for each in rows}


def test_a_quota_betrays_no_model_that_its_reader_may_not_ask(quotas: Floor) -> None:
    about = '[[quota]]\nname = "hidden"\nendpoint = "acme/priced"\nrequests_per_day = 1000000\n'
    quotas.live.declare(about)
    seen = {}
    for name in ("mate", "outsider"):
        with quotas.live.http(name) as client:
            seen[name] = client.get("/v1/quotas").text
    quotas.live.declare(about + "remove = true\n")
    assert "acme/priced" in seen["mate"]
    assert "hidden" not in seen["outsider"]
