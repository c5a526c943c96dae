"""Servers that are busy or away: the next one is asked, where that is safe, and who is away is left alone."""

import re
from typing import Any

import openai
import pytest

from nomoat.stores.circuits import TRIES
from tests.cli.live import Caller
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor
from tests.inference.test_clients import ASKED, gpt, http

__all__ = ["gpt", "http"]  # fixtures

DECLARED = """
[[upstream]]
name = "second"
url = "http://127.0.0.1:{port}/second/v1"
clearance = "confidential"
private = true
[[upstream]]
name = "away"
url = "http://127.0.0.1:9/v1"
clearance = "confidential"
private = true
[[upstream]]
name = "theirs"
url = "http://127.0.0.1:{port}/theirs/v1"
clearance = "internal"
private = true
external = true
[[upstream]]
name = "keeping"
url = "http://127.0.0.1:{port}/keeping/v1"
clearance = "internal"
private = true
external = true
retention = true
[[upstream]]
name = "rejecter"
url = "http://127.0.0.1:{port}/rejecter/v1"
clearance = "internal"
private = true
[[endpoint]]
name = "failing/rejected"
classification = "internal"
served = [{{ upstream = "rejecter", model = "credential" }}]
[[endpoint]]
name = "failing/busy"
classification = "internal"
served = [{{ upstream = "internal", model = "too-many" }}, {{ upstream = "away", model = "x" }}, {{ upstream = "second", model = "ours" }}]
[[endpoint]]
name = "failing/all-busy"
classification = "internal"
served = [{{ upstream = "internal", model = "too-many" }}, {{ upstream = "away", model = "x" }}]
[[endpoint]]
name = "failing/broken"
classification = "internal"
served = [{{ upstream = "internal", model = "reset-before" }}, {{ upstream = "second", model = "ours" }}]
[[endpoint]]
name = "failing/away"
classification = "internal"
served = [{{ upstream = "away", model = "x" }}]
[[endpoint]]
name = "failing/theirs"
classification = "internal"
served = [{{ upstream = "theirs", model = "x" }}]
[[endpoint]]
name = "failing/keeping"
classification = "internal"
served = [{{ upstream = "keeping", model = "x" }}]
"""


@pytest.fixture(scope="module", autouse=True)
def declared(floor: Floor) -> None:
    floor.live.declare(DECLARED.format(port=floor.upstream.port))


def ask(gpt: openai.OpenAI, model: str) -> str:
    return str(gpt.chat.completions.create(model=model, messages=ASKED).choices[0].message.content)


def test_a_busy_server_s_prompt_goes_to_the_next_that_may_have_it(floor: Floor, gpt: openai.OpenAI) -> None:
    before = len(floor.upstream.asked)
    assert ask(gpt, "failing/busy") == "hello"
    assert [path.split("/")[1] for path, _, _ in floor.upstream.asked[before:]] == ["v1", "second"]
    assert floor.outcome["facts"]["upstream"] == "second"


def test_where_all_are_busy_the_client_hears_when_to_come_back(floor: Floor, gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as busy:
        ask(gpt, "failing/all-busy")
    assert busy.value.response.headers["retry-after"]
    assert floor.outcome["facts"]["status"] == "429"


def test_a_prompt_that_a_server_may_have_taken_goes_to_no_other(floor: Floor, gpt: openai.OpenAI) -> None:
    before = len(floor.upstream.asked)
    with pytest.raises(openai.InternalServerError, match="gave no answer"):
        ask(gpt, "failing/broken")
    assert not any(path.startswith("/second") for path, _, _ in floor.upstream.asked[before:])


def test_a_server_that_is_away_is_left_alone_for_a_while(gpt: openai.OpenAI) -> None:
    said = []
    for _ in range(12):
        with pytest.raises(openai.InternalServerError) as away:
            ask(gpt, "failing/away")
        said.append(away.value.message)
    assert "cannot be reached" in said[0] or "did not answer lately" in said[0]
    assert "did not answer lately; it is asked again in" in said[-1]


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "background"])
def test_attack_what_a_server_kept_of_others_is_asked_for(floor: Floor, gpt: openai.OpenAI, field: str) -> None:
    """The gateway shows one credential for everybody: a server would give any caller what it kept of another one."""
    before = len(floor.upstream.asked)
    for model in ("failing/theirs", "acme/coder"):
        with pytest.raises(openai.PermissionDeniedError, match=f"keeps what {field} needs"):
            gpt.post("/responses", body={"model": model, "input": "x", field: "resp_1"}, cast_to=object)
    assert len(floor.upstream.asked) == before
    gpt.post("/responses", body={"model": "failing/keeping", "input": "x", field: "resp_1"}, cast_to=object)
    assert floor.upstream.asked[-1][2][field] == "resp_1"


def test_status_tells_how_each_server_is(floor: Floor, gpt: openai.OpenAI) -> None:
    for model in ("failing/away", "failing/away", "failing/away", "failing/away", "failing/away"):
        with pytest.raises(openai.InternalServerError):
            ask(gpt, model)
    assert ask(gpt, "failing/busy") == "hello"
    with floor.live.admin as session:
        found: Any = session.gateway.status()["upstreams"]
    assert found["second"]["state"] == "answering"
    assert found["away"]["state"] in {"left alone", "failing"}, "its pause may be over"
    assert found["away"]["failures_in_a_row"] >= TRIES
    assert "cannot be reached" in found["away"]["last_failure"]
    said = Caller(floor.live.root / "home").nomoat("status", "--profile", floor.profile(ADMIN).name)
    assert re.search(r"upstream away +(left alone|failing); .*failed \d+ s ago: away cannot be reached", said.out), (
        said.out
    )


def test_a_server_that_rejects_the_gateway_s_credential_says_so_to_who_can_mend_it(
    floor: Floor, gpt: openai.OpenAI
) -> None:
    with pytest.raises(
        openai.InternalServerError, match=r"rejecter does not take .*: nomoat upstream credential rejecter"
    ):
        ask(gpt, "failing/rejected")
    said = Caller(floor.live.root / "home").nomoat("status", "--profile", floor.profile(ADMIN).name)
    assert re.search(r"upstream rejecter +rejecting; .*: nomoat upstream credential rejecter", said.out), said.out


def test_nobody_else_s_server_is_let_keep_what_it_is_sent(floor: Floor, gpt: openai.OpenAI) -> None:
    def sent(model: str, call: str, **more: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"model": model, "stream": False, **more}
        gpt.post(f"/{call}", body=body, cast_to=object)
        return floor.upstream.asked[-1][2]

    assert sent("failing/theirs", "responses", input="x")["store"] is False
    assert sent("failing/theirs", "responses", input="x", store=True)["store"] is False
    assert sent("failing/theirs", "chat/completions", messages=ASKED, store=True)["store"] is False
    assert "store" not in sent("failing/theirs", "chat/completions", messages=ASKED)
    assert "store" not in sent("failing/keeping", "responses", input="x")
    assert sent("failing/keeping", "responses", input="x", store=True)["store"] is True
    assert sent("acme/chat", "responses", input="x", store=True)["store"] is True, "a server of ours may"
