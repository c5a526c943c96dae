"""The public proof that the log only grew: for anybody, of any two sizes, cheap, and strict about what it is asked."""

import json
from base64 import b64decode
from collections.abc import Generator

import pytest

from nomoat.audit.checkpoint import parse_checkpoint
from nomoat.audit.tree import Head, verify_consistency
from tests.hub.live import Live, gateway
from tests.server.wire import Answer, get


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with gateway(tmp_path_factory.mktemp("live")) as running:
        yield running


def newest(live: Live) -> Head:
    return parse_checkpoint(get(live, "/v1/checkpoint").body).head


def proof_of(answer: Answer) -> list[bytes]:
    return [b64decode(step, validate=True) for step in json.loads(answer.body)["proof"]]


def test_anybody_is_shown_that_a_later_log_extends_an_earlier_one(live: Live) -> None:
    heads = [newest(live)]
    for _ in range(5):
        live.refresh("ingest")
        heads.append(newest(live))
    assert heads[0].size < heads[-1].size
    for number, old in enumerate(heads):
        for new in heads[number:]:
            answer = get(live, f"/v1/consistency?old={old.size}&new={new.size}")
            assert answer.status == 200
            assert json.loads(answer.body).keys() == {"old", "new", "proof"}
            verify_consistency(old, new, proof_of(answer))


def test_the_empty_log_is_the_beginning_of_all_and_needs_no_proof(live: Live) -> None:
    size = newest(live).size
    assert proof_of(get(live, f"/v1/consistency?old=0&new={size}")) == []
    assert proof_of(get(live, f"/v1/consistency?old={size}&new={size}")) == []


BAD = [
    "",
    "?old=1",
    "?new=1",
    "?old=&new=2",
    "?old=1&new=",
    "?old=-1&new=2",
    "?old=+1&new=2",
    "?old=01&new=2",
    "?old=1.0&new=2",
    "?old=1e1&new=20",
    "?old=0x1&new=2",
    "?old=%D9%A1&new=2",
    "?old=%C2%B2&new=2",
    "?old=1&old=1&new=2",
    "?old=1&new=2&more=3",
    "?OLD=1&new=2",
    "?old=2&new=1",
    f"?old=1&new={1 << 62}",
    f"?old=1&new={1 << 63}",
    f"?old={'9' * 4000}&new=1",
    "?old=1&new=99999999",
]


@pytest.mark.parametrize("query", BAD)
def test_other_questions_are_refused(live: Live, query: str) -> None:
    answer = get(live, f"/v1/consistency{query}")
    assert answer.status == 400
    assert answer.error.startswith("refused: ")
    assert len(answer.body) < 300


def test_no_other_method_is_served(live: Live) -> None:
    assert get(live, "/v1/consistency?old=1&new=2", method="POST").status == 404


def test_refused_questions_of_strangers_cannot_fill_the_log(live: Live) -> None:
    before = newest(live).size
    for _ in range(150):
        assert get(live, "/v1/consistency?old=2&new=1").status == 400
    assert newest(live).size - before < 150
