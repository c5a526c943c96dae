"""Clients of models on somebody's own machine: sender-bound, by way of the proxy, with nothing to steal."""

import json
import sys

import pytest

from nomoat.client.environment import MODEL_TOOLS
from tests.cli.live import Caller
from tests.inference.conftest import Floor

OPENAI = """
import os, openai
client = openai.OpenAI()
said = client.chat.completions.create(model="acme/chat", messages=[{"role": "user", "content": "hello"}])
parts = client.chat.completions.create(model="acme/chat", messages=[{"role": "user", "content": "hello"}], stream=True)
print(said.choices[0].message.content, "".join(part.choices[0].delta.content for part in parts))
print(sorted(model.id for model in client.models.list())[0])
"""
ANTHROPIC = """
import anthropic
client = anthropic.Anthropic()
asked = {"model": "acme/claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
with client.messages.stream(**asked) as stream:
    print(client.messages.create(**asked).content[0].text, "".join(stream.text_stream))
"""


@pytest.fixture
def home(floor: Floor) -> Caller:
    return Caller(floor.live.root / "home")


@pytest.mark.parametrize(
    ("tool", "script", "printed"),
    [("openai", OPENAI, "hello w0 w1 w2 w3 w4 \nacme/chat"), ("anthropic", ANTHROPIC, "hello hehehe")],
)
def test_an_unmodified_client_asks_by_way_of_the_proxy(
    floor: Floor, home: Caller, tool: str, script: str, printed: str
) -> None:
    profile = floor.profile("ada").name
    with home.running("exec", "--tool", tool, "--profile", profile, "--", sys.executable, "-c", script) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.strip() == printed
    newest = floor.live.records("what InvokeModel", limit=1)[-1]
    assert newest["who"]["binding"] == "dpop", newest
    assert not {"authorization", "x-api-key", "dpop"} & set(floor.upstream.asked[-1][1])


def test_what_other_local_programs_show_is_not_the_key(floor: Floor, home: Caller) -> None:
    profile = floor.profile("ada").name
    stranger = OPENAI.replace("openai.OpenAI()", 'openai.OpenAI(api_key="sk-guess", max_retries=0)')
    with home.running(
        "exec", "--tool", "openai", "--profile", profile, "--", sys.executable, "-c", stranger
    ) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "AuthenticationError" in err) == (1, True), err


def test_a_token_that_others_could_use_is_not_given_to_them(floor: Floor, home: Caller) -> None:
    for tool in MODEL_TOOLS:
        said = home.nomoat("env", tool, "--profile", floor.profile("ada").name)
        assert (said.code, "by way of a proxy" in said.err, f"nomoat env {tool} --proxy" in said.err) == (2, True, True)
        said = home.nomoat("exec", "--tool", tool, "--direct", "--profile", floor.profile("ada").name, "--", "true")
        assert (said.code, "by way of a proxy" in said.err) == (2, True)


def test_administration_is_not_lent_to_them(floor: Floor, home: Caller) -> None:
    script = """
import json, os, urllib.request, urllib.error
def status(path):
    asked = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + path, b"{}", {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]})
    try:
        return urllib.request.urlopen(asked).status
    except urllib.error.HTTPError as error:
        return error.code
print(json.dumps([status("/upstreams/internal/credential"), status("/token"), status("/chat/completions")]))
"""
    profile = floor.profile("ada").name
    with home.running("exec", "--tool", "openai", "--profile", profile, "--", sys.executable, "-c", script) as process:
        out, err = process.communicate(timeout=60)
    assert json.loads(out) == [403, 403, 400], err


WIRE = """
import http.client, json, os, time
from urllib.parse import urlsplit
key, at = os.environ["OPENAI_API_KEY"], urlsplit(os.environ["ANTHROPIC_BASE_URL"]).netloc
def ask(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(at, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()
told = {}
told["head"] = ask("HEAD", "/").status
told["head, with the key"] = ask("HEAD", "/", Authorization="Bearer " + key).status
told["as Node's fetch"] = ask("GET", "/v1/models", Authorization="Bearer " + key, Sec_Fetch_Mode="cors").status
told["as a page's"] = ask("GET", "/v1/models", Authorization="Bearer " + key, Sec_Fetch_Mode="cors", Sec_Fetch_Site="none").status
asked = {"model": "acme/claude", "max_tokens": 9, "messages": [{"role": "user", "content": "x" * 3_000_000}]}
big = ask("POST", "/v1/messages?beta=true", json.dumps(asked), X_Api_Key=key)
told["three megabytes"] = big.status, json.loads(big.read())["content"][0]["text"]
asked = {"model": "acme/chat", "stream": True, "messages": []}
stream = ask("POST", "/v1/chat/completions", json.dumps(asked), Authorization="Bearer " + key)
came = [time.monotonic() for line in stream if line.startswith(b"data: {")]
told["apart"] = came[-1] - came[0] > 0.05
print(json.dumps(told))
"""


def test_what_clients_of_models_do_on_the_wire_passes_the_proxy(floor: Floor, home: Caller) -> None:
    profile = floor.profile("ada").name
    with home.running("exec", "--tool", "openai", "--profile", profile, "--", sys.executable, "-c", WIRE) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out) == {
        "head": 200,
        "head, with the key": 200,
        "as Node's fetch": 200,
        "as a page's": 403,
        "three megabytes": [200, "hello"],
        "apart": True,
    }
    assert "nomoat-proxy-" not in str(floor.upstream.asked[-2:])
