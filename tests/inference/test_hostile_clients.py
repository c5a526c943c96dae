"""Clients that ask as no client should, leave when it suits them, or do not read: what they cost ends with them."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nomoat.client.transport import pinned_context
from tests.hub.through import through
from tests.inference.conftest import Floor

CHAT = "/v1/chat/completions"
SOON = 20.0  # seconds, for what takes milliseconds


@contextmanager
def connected(floor: Floor) -> Generator[http.client.HTTPSConnection]:
    context = pinned_context(floor.profile("ada").read("ca.pem").decode())
    host, _, port = floor.live.url.removeprefix("https://").partition(":")
    with contextlib.closing(http.client.HTTPSConnection(host, int(port), context=context, timeout=60)) as connection:
        yield connection


def asking(model: str, **more: object) -> bytes:
    return json.dumps({"model": model, "messages": [], **more}).encode()


def headers(floor: Floor, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {floor.token('ada')}", **more}


def ask(floor: Floor, body: bytes, path: str = CHAT, **more: str) -> tuple[int, dict[str, Any]]:
    with connected(floor) as connection:
        connection.request("POST", path, body, headers(floor, **more))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + SOON
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def asked(floor: Floor, model: str) -> int:
    return sum(body["model"] == model for _, _, body in list(floor.upstream.asked))


def another(floor: Floor, model: str) -> Callable[[], bool]:
    """Whether a model was asked once more since."""
    before = asked(floor, model)
    return lambda: asked(floor, model) > before


@pytest.fixture
def untouched(floor: Floor) -> Iterator[None]:
    before = len(floor.upstream.asked)
    yield
    assert len(floor.upstream.asked) == before, "nothing of it was sent on"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"nothing",
        b'{"model": "acme/chat", "x": NaN}',
        b'{"model": "acme/chat", "x": 1e999}',
        b'{"model": "acme/chat", "x": "\\ud800"}',
        b'{"model": "acme/chat", "x": "\x00"}',
        b'\xef\xbb\xbf{"model": "acme/chat"}',
        b'{"model": "acme/chat"} {}',
        b'{"model": ["acme/chat"]}',
        b'{"model": null}',
        b'{"model": "acme/chat\\n"}',
        b'{"model": "acme/chat\\u0000"}',
        b'{"model": "../chat"}',
        b'{"model": "acme\xef\xbc\x8fchat"}',
        b'{"model": "' + b"a" * 1_000_000 + b'"}',
        b'{"model": "acme/chat", "x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"model": "acme/chat", "x": ' + b"[" * 300 + b"]" * 300 + b"}",
    ],
)
@pytest.mark.usefixtures("untouched")
def test_what_is_no_request_is_refused_before_anything_is_sent(floor: Floor, body: bytes) -> None:
    status, said = ask(floor, body)
    assert (status, said["error"]["type"]) == (400, "invalid_request_error"), said


@pytest.mark.usefixtures("untouched")
def test_a_small_body_cannot_become_a_large_one_in_memory(floor: Floor) -> None:
    status, said = ask(floor, b'{"model": "acme/chat", "x": [' + b"{}," * 3_000_000 + b"{}]}")
    assert (status, said["error"]["type"]) == (413, "request_too_large"), said


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("value", ["a\u00fc", "a\tb"])
def test_a_header_that_cannot_be_sent_on_is_refused_as_the_clients(floor: Floor, value: str) -> None:
    status, said = ask(floor, asking("acme/chat"), **{"OpenAI-Beta": value})
    assert (status, "openai-beta" in said["error"]["message"]) == (400, True), said


def test_a_member_that_stands_twice_is_sent_on_as_it_was_decided(floor: Floor) -> None:
    assert ask(floor, b'{"model": "acme/hosted-only", "model": "acme/chat", "x": 1, "x": 2}')[0] == 200
    _, _, body = floor.upstream.asked[-1]
    assert (body["model"], body["x"]) == ("our-model", 2)


@pytest.mark.usefixtures("untouched")
def test_two_credentials_are_none(floor: Floor) -> None:
    token = floor.token("ada")
    assert ask(floor, asking("acme/chat"), **{"X-Api-Key": token})[0] == 400
    assert ask(floor, asking("acme/chat"), DPoP="a.b.c")[0] == 400


@pytest.mark.parametrize(("model", "stream"), [("silent", False), ("silent", True), ("silent-mid", True)])
def test_who_leaves_while_a_model_is_silent_ends_its_work(floor: Floor, model: str, stream: bool) -> None:
    reached, left = another(floor, model), floor.upstream.left
    with connected(floor) as connection:
        connection.request("POST", CHAT, asking(model, stream=stream), headers(floor))
        assert soon(reached)
        if model == "silent-mid":
            assert connection.getresponse().read1(10)
    assert soon(lambda: floor.upstream.left > left), "the server still works for nobody"
    assert soon(lambda: floor.outcome["outcome"] == "left")


def test_who_leaves_the_proxy_while_a_model_is_silent_ends_its_work(floor: Floor) -> None:
    before, left = asked(floor, "silent"), floor.upstream.left
    with through(floor.live, "ada") as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        connection.request("POST", CHAT, asking("silent"), {"Authorization": f"Bearer {proxy.key}"})
        assert soon(lambda: asked(floor, "silent") > before)
        connection.close()
        assert soon(lambda: floor.upstream.left > left), "the server still works for nobody"
    assert asked(floor, "silent") == before + 1


def test_the_record_of_an_answer_that_its_client_left_says_what_was_given_out(floor: Floor) -> None:
    with connected(floor) as connection:
        connection.request("POST", CHAT, asking("endless", stream=True), headers(floor))
        assert connection.getresponse().read1(10)
    assert soon(lambda: "outcome" in floor.live.records("what InvokeModel", limit=1)[-1])
    ended = floor.outcome
    assert (ended["outcome"], ended["bytes"] > 0) == ("left", True)
    assert len(ended["facts"]["response"]) == 64


@pytest.mark.parametrize("model", ["silent", "silent-mid"])
def test_a_revocation_ends_what_is_silent(floor: Floor, model: str) -> None:
    name = f"revoked-{model}"
    floor.live.declare(f'[[person]]\nname = "{name}"\ngroups = ["model-users"]\nclearance = "internal"\n')
    floor.live.join(f"person:{name}")
    reached, left = another(floor, model), floor.upstream.left
    with connected(floor) as connection:
        shown = {"Authorization": f"Bearer {floor.token(name)}"}
        connection.request("POST", CHAT, asking(model, stream=model == "silent-mid"), shown)
        assert soon(reached)
        with floor.live.admin as session:
            session.gateway.revoke("session", floor.profile(name).identity().session)
        answer = connection.getresponse()
        assert b"revoked" in answer.read()
    assert soon(lambda: floor.upstream.left > left)
    assert floor.outcome["outcome"] == "cut"


def test_who_does_not_read_is_ended_by_a_revocation_as_well(floor: Floor) -> None:
    floor.live.declare('[[person]]\nname = "idler"\ngroups = ["model-users"]\nclearance = "internal"\n')
    floor.live.join("person:idler")
    left = floor.upstream.left
    with connected(floor) as connection:
        shown = {"Authorization": f"Bearer {floor.token('idler')}"}
        connection.request("POST", CHAT, asking("flood", stream=True), shown)
        assert soon(lambda: floor.upstream.held)
        with floor.live.admin as session:
            session.gateway.revoke("session", floor.profile("idler").identity().session)
        assert soon(lambda: floor.upstream.left > left)
        assert soon(lambda: floor.outcome["outcome"] == "cut")


def test_who_does_not_read_takes_little_memory(floor: Floor) -> None:
    """Fifty streams that never end, and that nobody reads."""
    before = floor.live.resident
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(connected(floor))
            connection.request("POST", CHAT, asking("flood", stream=True), headers(floor))
            assert connection.getresponse().status == 200
        time.sleep(5)
        assert floor.live.resident - before < 50 * (6 << 20)


def test_prompts_that_wait_take_no_more_memory_together_than_all_bodies_may(floor: Floor) -> None:
    body, turned_away = asking("silent", x="y" * (24 << 20)), False
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            reached = another(floor, "silent")
            try:
                connection = stack.enter_context(connected(floor))
                connection.request("POST", CHAT, body, headers(floor))
                turned_away = not soon(reached)
                assert not turned_away or connection.getresponse().status == 503
            except (OSError, http.client.HTTPException):  # refused while it still sends, it may see no answer
                turned_away = True
            if turned_away:
                break
    assert turned_away, "all of them were held"
    assert soon(lambda: ask(floor, asking("acme/chat"))[0] == 200), "and it is given back"
