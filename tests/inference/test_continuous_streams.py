"""Streams of a live gateway that nothing is revoked of: they end with their token, and with what a policy permits."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nomoat.client.transport import pinned_context
from nomoat.policy.defaults import starter_policies
from tests.hub.live import gateway
from tests.inference.conftest import DECLARED, Floor
from tests.inference.test_hostile_clients import soon
from tests.inference.upstream import simulator

LIFE = 10  # seconds: the shortest that tokens may live
CALLS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
ENDPOINTS = """
[[endpoint]]
name = "on/openai/{name}"
classification = "internal"
served = [{{ upstream = "internal", model = "{name}" }}]
[[endpoint]]
name = "on/anthropic/{name}"
classification = "internal"
served = [{{ upstream = "internal-anthropic", model = "{name}" }}]
"""
EVENING = """
@id("not-in-the-evening")
forbid (principal, action == NoMoat::Action::"InvokeModel", resource)
when {{ context.at >= {at} }};
"""


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    """A gateway whose tokens live shortly, and that decides again each second."""
    root = tmp_path_factory.mktemp("brief")
    with simulator() as upstream, gateway(root, token_lifetime_s=LIFE, reexamine_s=1) as live:
        endpoints = "".join(ENDPOINTS.format(name=name) for name in ("endless", "silent-mid", "silent"))
        live.declare(DECLARED.format(port=upstream.port) + endpoints)
        live.join("person:ada")
        yield Floor(live, upstream)


@contextmanager
def asking(floor: Floor, api: str, name: str) -> Iterator[http.client.HTTPConnection]:
    """A stream that was asked for with a new token."""
    floor.live.refresh("ada")
    context = pinned_context(floor.profile("ada").read("ca.pem").decode())
    host, _, port = floor.live.url.removeprefix("https://").partition(":")
    body = {"model": f"on/{api}/{name}", "messages": [{"role": "user", "content": "x"}], "stream": True}
    shown = {"Authorization": f"Bearer {floor.token('ada')}"}
    with contextlib.closing(http.client.HTTPSConnection(host, int(port), context=context, timeout=60)) as connection:
        connection.request("POST", CALLS[api], json.dumps(body), shown)
        yield connection


def last_of(said: bytes, api: str) -> str:
    """What the last event of a stream says, in the shape of its protocol."""
    begun, _, last = said.rpartition(b"data: ")
    assert begun.endswith(b"event: error\n") == (api == "anthropic")
    return str(json.loads(last)["error"]["message"])


@pytest.mark.parametrize("name", ["endless", "silent-mid"])
@pytest.mark.parametrize("api", CALLS)
def test_a_stream_does_not_outlive_its_token(brief: Floor, api: str, name: str) -> None:
    left, begun = brief.upstream.left, time.time()
    with asking(brief, api, name) as connection:
        said = connection.getresponse().read()
    assert "expired" in last_of(said, api)
    assert time.time() - begun >= LIFE - 1, "not before its time"
    assert soon(lambda: brief.upstream.left > left), "the server still works for nobody"
    assert brief.outcome["outcome"] == "cut"


def test_a_request_that_waits_for_its_answer_does_not_outlive_its_token(brief: Floor) -> None:
    left = brief.upstream.left
    with asking(brief, "openai", "silent") as connection:
        answer = connection.getresponse()
        assert (answer.status, "expired" in json.loads(answer.read())["error"]["message"]) == (401, True)
    assert soon(lambda: brief.upstream.left > left)
    assert brief.outcome["outcome"] == "cut"


@pytest.mark.parametrize("api", CALLS)
def test_a_stream_ends_when_what_permits_it_does(brief: Floor, api: str) -> None:
    """Nothing is changed while it runs: a policy has a time in it."""
    at = int(time.time()) + 4
    with brief.live.admin as session:
        session.gateway.apply_policy({**starter_policies(), "evening.cedar": EVENING.format(at=at)}, dry_run=False)
    try:
        with asking(brief, api, "endless") as connection:
            said = connection.getresponse().read()
        assert "no longer permitted" in last_of(said, api)
        assert time.time() >= at
        assert brief.outcome["outcome"] == "cut"
    finally:
        with brief.live.admin as session:
            session.gateway.apply_policy(starter_policies(), dry_run=False)


def test_a_stream_ends_when_its_caller_loses_the_group(brief: Floor) -> None:
    with asking(brief, "openai", "silent-mid") as connection:
        answer = connection.getresponse()
        assert answer.read1(10)
        brief.live.declare('[[person]]\nname = "ada"\ngroups = []\nclearance = "confidential"\n')
        said = answer.read()
    assert "no longer" in last_of(said, "openai")
    brief.live.declare('[[person]]\nname = "ada"\ngroups = ["model-users"]\nclearance = "confidential"\n')
