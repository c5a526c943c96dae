"""Answers through a live gateway that looks for three words, to OpenAI's and Anthropic's own clients."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from nomoat.client.transport import pinned_context
from tests.hub.live import SERVE, gateway
from tests.inference.conftest import DECLARED, Floor
from tests.inference.upstream import simulator

CANARY = "nmc-7f3a9e-canary-0451-aaff"
WATCHING = f"""
import nomoat.server.inference as wiring
from nomoat.content import Inspector
from nomoat.core.content import Finding
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from tests.inference.desk import SECRET, SOURCE, Words
canary = Finding("canary:x", Label(Classification.PUBLIC, frozenset({{"canary"}})))
words = Words({{"{CANARY}": canary, "quaternion": SOURCE._replace(cleared="engine-team"), "sesame": SECRET}})
wiring.Inspector = lambda *_, **__: Inspector([words])
{SERVE}"""
MORE = """
[[group]]
name = "engine-team"
[[person]]
name = "colleague"
groups = ["model-users", "engine-team"]
clearance = "confidential"
[[upstream]]
name = "vault"
url = "http://127.0.0.1:{port}/v1"
clearance = "restricted"
private = true
[[person]]
name = "keeper"
groups = ["model-users"]
clearance = "restricted"
[[endpoint]]
name = "acme/teller"
classification = "internal"
served = [{{ upstream = "internal", model = "teller" }}]
[[endpoint]]
name = "acme/claude-teller"
classification = "internal"
served = [{{ upstream = "internal-anthropic", model = "teller" }}]
[[endpoint]]
name = "acme/restricted"
classification = "restricted"
served = [{{ upstream = "vault", model = "teller" }}]
"""
ASKED: Any = [{"role": "user", "content": "tell me"}]
TOOL: Any = {"type": "function", "function": {"name": "write", "parameters": {"type": "object", "properties": {}}}}
CLAUDES_TOOL: Any = {"name": "write", "input_schema": {"type": "object", "properties": {}}}
OVER_20 = ["it", " is", " ", *(CANARY[at : at + 2] for at in range(0, len(CANARY), 2)), " for", " you"]
SO_FAR = {"", "well", "well it is", '{"a": "well', '{"a": "well it is'}
"""What may have left before a canary: nothing, where it came together with it."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    with simulator() as upstream, gateway(tmp_path_factory.mktemp("watching"), WATCHING) as live:
        live.declare(DECLARED.format(port=upstream.port) + MORE.format(port=upstream.port))
        for name in ("ada", "colleague", "keeper"):
            live.join(f"person:{name}")
        yield Floor(live, upstream)


@pytest.fixture
def http_client(told: Floor) -> Iterator[httpx2.Client]:
    with httpx2.Client(verify=pinned_context(told.profile("ada").read("ca.pem").decode())) as client:
        yield client


@pytest.fixture
def gpt(told: Floor, http_client: httpx2.Client) -> openai.OpenAI:
    key = told.token("ada")
    return openai.OpenAI(base_url=f"{told.live.url}/v1", api_key=key, http_client=http_client, max_retries=0)


@pytest.fixture
def claude(told: Floor, http_client: httpx2.Client) -> anthropic.Anthropic:
    key = told.token("ada")
    return anthropic.Anthropic(base_url=told.live.url, api_key=key, http_client=http_client, max_retries=0)


def as_named(client: openai.OpenAI, told: Floor, name: str) -> openai.OpenAI:
    return client.with_options(api_key=told.token(name))


def take_in(gpt: openai.OpenAI, more: dict[str, Any], got: list[str]) -> None:
    for chunk in gpt.chat.completions.create(model="acme/teller", messages=ASKED, stream=True, **more):
        delta = chunk.choices[0].delta
        got += [
            delta.content or "",
            *((call.function and call.function.arguments) or "" for call in delta.tool_calls or []),
        ]


def read_on(claude: anthropic.Anthropic, more: dict[str, Any], got: list[str]) -> None:
    with claude.messages.stream(model="acme/claude-teller", max_tokens=9, messages=ASKED, **more) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                got += [getattr(event.delta, "text", ""), getattr(event.delta, "partial_json", "")]


def release(told: Floor) -> dict[str, Any]:
    return told.live.records("what ReleaseAnswer", limit=1)[-1]


@pytest.mark.parametrize("tool", [False, True])
def test_openai_s_client_never_gets_a_canary_however_it_is_split(told: Floor, gpt: openai.OpenAI, tool: bool) -> None:
    for pieces in ([CANARY], list(CANARY), OVER_20, *([CANARY[:at], CANARY[at:]] for at in range(1, len(CANARY), 3))):
        told.upstream.telling = ["well ", *pieces, " so"]
        more: Any = {"tools": [TOOL]} if tool else {}
        got: list[str] = []
        with pytest.raises(openai.APIError, match="refused by canaries-go-nowhere"):
            take_in(gpt, more, got)
        assert "".join(got).strip() in SO_FAR
    ended = told.outcome
    assert (ended["outcome"], ended["facts"]["answer_found"]) == ("refused", "canary:x")
    assert CANARY not in json.dumps(told.live.records("", limit=50))
    assert (release(told)["decision"], release(told)["asked"]["found"]) == ("deny", "canary:x")


@pytest.mark.parametrize("tool", [False, True])
def test_anthropic_s_client_never_gets_a_canary_however_it_is_split(
    told: Floor, claude: anthropic.Anthropic, tool: bool
) -> None:
    for pieces in ([CANARY], list(CANARY), OVER_20, *([CANARY[:at], CANARY[at:]] for at in range(1, len(CANARY), 3))):
        told.upstream.telling = ['{"a": "well ', *pieces, ' so"}']
        more: Any = {"tools": [CLAUDES_TOOL]} if tool else {}
        got: list[str] = []
        with pytest.raises(anthropic.APIStatusError, match="refused by canaries-go-nowhere"):
            read_on(claude, more, got)
        assert "".join(got).strip() in SO_FAR


def test_a_whole_answer_is_refused_before_its_first_byte(
    told: Floor, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    told.upstream.telling = ["it is ", CANARY]
    with pytest.raises(openai.PermissionDeniedError, match="the answer ends here"):
        gpt.chat.completions.create(model="acme/teller", messages=ASKED)
    assert (told.outcome["outcome"], told.outcome["bytes"]) == ("refused", 0)
    with pytest.raises(anthropic.PermissionDeniedError, match="the answer ends here"):
        claude.messages.create(model="acme/claude-teller", max_tokens=9, messages=ASKED)
    told.upstream.telling = ["nothing of it"]
    said = gpt.chat.completions.create(model="acme/teller", messages=ASKED)
    assert said.choices[0].message.content == "nothing of it"


def test_who_is_not_cleared_for_a_source_gets_none_of_it_back(told: Floor, gpt: openai.OpenAI) -> None:
    told.upstream.telling = ["use ", "a quater", "nion ", "here"]
    with pytest.raises(openai.APIError, match="ends here"):
        list(gpt.chat.completions.create(model="acme/teller", messages=ASKED, stream=True))
    other = as_named(gpt, told, "colleague")
    chunks = list(other.chat.completions.create(model="acme/teller", messages=ASKED, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "use a quaternion here"
    record = release(told)
    assert (record["decision"], record["asked"]["answer_of"].isdigit()) == ("allow", True)
    with told.live.http("colleague") as client:  # what it was told goes with what it sends from now on
        assert client.get("/v1/whoami").json()["carries"] == ["confidential", "engine"]


def test_a_secret_is_told_and_on_record(told: Floor, gpt: openai.OpenAI) -> None:
    told.upstream.telling = ["open ", "sesame ", "now"]
    chunks = list(gpt.chat.completions.create(model="acme/teller", messages=ASKED, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "open sesame now"
    assert (told.outcome["outcome"], told.outcome["facts"]["answer_found"]) == ("complete", "secret:key")
    assert release(told)["decision"] == "allow"


def test_a_restricted_answer_is_held_until_all_of_it_was_looked_at(told: Floor) -> None:
    asked = {"model": "acme/restricted", "messages": ASKED, "stream": True}
    with told.live.bound("keeper") as client:
        told.upstream.telling = ["word "] * 50
        assert client.post("/v1/chat/completions", json=asked).text.count("word ") == 50
        told.upstream.telling = [*["word "] * 50, CANARY]
        refused = client.post("/v1/chat/completions", json=asked)
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
    assert told.outcome["bytes"] == 0


def test_a_stream_that_waits_for_its_release_is_cut_with_its_session(told: Floor, gpt: openai.OpenAI) -> None:
    told.live.declare('[[person]]\nname = "short"\ngroups = ["model-users"]\nclearance = "internal"\n')
    told.live.join("person:short")
    told.upstream.telling = ["sesame "] * 3000
    client = as_named(gpt, told, "short")
    stream = client.chat.completions.create(model="acme/teller", messages=ASKED, stream=True)
    next(iter(stream))
    with told.live.admin as session:
        session.gateway.revoke("session", told.profile("short").identity().session)
    with pytest.raises(openai.APIError, match="revoked"):
        list(stream)
    assert told.outcome["outcome"] == "cut"


def test_a_slow_reader_costs_bounded_memory(told: Floor) -> None:
    before = told.live.resident
    told.upstream.telling = ["x" * 200_000] * 500  # 100 MB without a space
    context = pinned_context(told.profile("ada").read("ca.pem").decode())
    host, _, port = told.live.url.removeprefix("https://").partition(":")
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
    body = json.dumps({"model": "acme/teller", "messages": [], "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {told.token('ada')}"})
    answer = connection.getresponse()
    for _ in range(40):
        answer.read1(65536)
    assert told.live.resident - before < 48 << 20
    connection.close()
