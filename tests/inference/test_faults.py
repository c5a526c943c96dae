"""Each fault of a server, asked for a whole answer and for a stream, in both protocols."""

import contextlib
import http.client
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.inference.conftest import Floor
from tests.inference.faults import FAULTY, spoken
from tests.inference.test_hostile_clients import connected, headers, soon

CALLS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
MOST = 32 << 20


@pytest.fixture(scope="module", autouse=True)
def declared(floor: Floor) -> None:
    served = {"openai": "internal", "anthropic": "internal-anthropic"}
    floor.live.declare(
        "".join(
            f'[[endpoint]]\nname = "fault/{api}/{name}"\nclassification = "internal"\n'
            f'served = [{{ upstream = "{upstream}", model = "fault:{name}" }}]\n'
            for api, upstream in served.items()
            for name in FAULTY
        )
    )


@dataclass
class Heard:
    """What a client heard: a status, its body as far as it came, and whether it came to its end."""

    status: int
    kind: str
    body: bytes
    whole: bool


def ask(floor: Floor, api: str, name: str, *, stream: bool) -> Heard:
    body = {
        "model": f"fault/{api}/{name}",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 9,
        "stream": stream,
    }
    with connected(floor) as connection:
        connection.request("POST", CALLS[api], json.dumps(body), headers(floor))
        answer = connection.getresponse()
        heard = Heard(answer.status, answer.headers["content-type"] or "", b"", whole=False)
        with contextlib.suppress(http.client.IncompleteRead, OSError):
            while len(heard.body) < MOST and (part := answer.read1(1 << 20)):
                heard.body += part
            heard.whole = len(heard.body) < MOST
        return heard


AS_IT_CAME = {"slow", "too-long"}
STATUSES = {"status-429": 429, "status-500": 500, "status-503": 503, "status-529": 529}
BEGAN = {"reset-within", "closed-within", "too-short"}
BROKEN = {"reset-before", "reset-within-the-head", "no-http", "two-lengths", "endless-headers"}
SAID = {
    **dict.fromkeys(BROKEN, "gave no answer"),
    **dict.fromkeys(BEGAN, "broke off its answer"),
    **{name: "answers compressed" for name in FAULTY if name.startswith("bomb")},
    **dict.fromkeys(("an-endless-line", "huge"), "more than 16 MiB"),
    **dict.fromkeys(("malformed", "an-event-without-end"), "an event that is none of its protocol"),
}
ONCE_BEGUN = BEGAN | {"an-endless-line", "huge", "malformed", "an-event-without-end"}
"""What a stream's client hears of in an event: its head has left."""


def told(api: str, body: dict[str, Any]) -> str:
    """What an error's body says, in the shape of its protocol."""
    assert ("type" in body) == (api == "anthropic"), body
    assert body["error"]["type"] == "api_error"
    return str(body["error"]["message"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api", CALLS)
@pytest.mark.parametrize("name", FAULTY)
def test_a_server_that_misspeaks_is_told_of_and_recorded(floor: Floor, name: str, api: str, stream: bool) -> None:
    before = len(floor.live.records(f"what InvokeModel on fault/{api}/{name}"))
    heard = ask(floor, api, name, stream=stream)
    assert soon(lambda: "outcome" in floor.live.records("what InvokeModel", limit=1)[-1])
    assert len(floor.live.records(f"what InvokeModel on fault/{api}/{name}")) == before + 1
    assert heard.whole, "the client knows where its answer ends"
    ended = floor.outcome["outcome"]
    if name in AS_IT_CAME:
        assert (heard.status, heard.body, ended) == (200, spoken(streamed=stream), "complete")
    elif name in STATUSES:
        assert (heard.status, ended) == (STATUSES[name], "complete")
        assert json.loads(heard.body)["error"]["message"] == "not now"
        assert floor.outcome["facts"]["status"] == str(heard.status)
    elif stream and name in ONCE_BEGUN:
        begun, _, last = heard.body.rpartition(b"data: ")
        assert (heard.status, ended) == (200, "failed")
        assert SAID[name] in (said := told(api, json.loads(last)))
        assert "the answer is not whole" in said
        assert (begun[-13:] == b"event: error\n") == (api == "anthropic")
    else:
        assert (heard.status, heard.kind, ended) == (503, "application/json", "failed")
        assert SAID[name] in told(api, json.loads(heard.body))


def test_after_every_fault_the_servers_answer_as_ever(floor: Floor) -> None:
    for api in CALLS:
        heard = ask(floor, api, "slow", stream=True)
        assert heard.body == spoken(streamed=True)
