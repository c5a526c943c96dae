"""The number of an access's record is told with its answer, and proves it: over the wire, for who made it."""

import json
from collections.abc import Generator

import pytest

from nomoat.audit.checkpoint import parse_verifier_key
from nomoat.audit.receipt import verify_receipt
from tests.hub.live import ADMIN, Live, gateway
from tests.server.wire import Answer, bearer, get


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with gateway(tmp_path_factory.mktemp("live")) as running:
        yield running


def prove(live: Live, number: int, profile: str) -> Answer:
    body = json.dumps({"record": number}).encode()
    return get(live, "/v1/log/receipt/own", method="POST", body=body, profile=profile)


def test_an_answer_tells_the_number_of_its_record_which_proves_it(live: Live) -> None:
    answer = get(live, "/v1/whoami", profile="scientist")
    number = int(answer.headers["nomoat-record"])
    proven = prove(live, number, "scientist")
    assert proven.status == 200, proven.body
    with live.admin as session:
        key = parse_verifier_key(session.identity.log_key)
    leaf = verify_receipt(json.loads(proven.body)["receipt"].encode(), key).leaf
    assert (leaf.number, leaf.fields["what"], leaf.fields["decision"]) == (number, "Whoami", "allow")
    # The proof is an access as well, and told as one.
    assert int(proven.headers["nomoat-record"]) > number
    for other in ("visitor", ADMIN):
        theirs, missing = prove(live, number, other), prove(live, 10**9, other)
        assert (theirs.status, missing.status) == (404, 404)
        assert theirs.body.replace(b"%d" % number, b"") == missing.body.replace(b"1000000000", b"")
        assert theirs.headers.keys() == missing.headers.keys()
        assert "nomoat-record" not in missing.headers


def test_each_request_of_a_connection_hears_its_own_number(live: Live) -> None:
    with live.bound("scientist") as client:
        numbers = [int(client.get("/v1/whoami").headers["nomoat-record"]) for _ in range(3)]
        assert numbers == sorted(set(numbers))
        records = {record["n"]: record["what"] for record in live.records("what Whoami by scientist")}
        assert [records[number] for number in numbers] == ["Whoami"] * 3
        assert "nomoat-record" not in client.get("/v1/checkpoint").headers


def test_a_refusal_tells_its_record_in_its_text_alone(live: Live) -> None:
    refused = get(live, "/v1/log/tile/entries/000.p/1", profile="scientist")
    assert (refused.status, "nomoat-record" in refused.headers) == (403, False)
    number = json.loads(refused.body)["record"]
    assert f"(record {number})" in refused.error
    assert prove(live, number, "scientist").status == 200


@pytest.mark.parametrize("repository", ["acme/nothing", "acme/secret"])
def test_what_is_not_there_for_somebody_has_no_number(live: Live, repository: str) -> None:
    missing = get(live, f"/api/datasets/{repository}", bearer(live, "visitor"))
    assert missing.status == 404
    assert "nomoat-record" not in missing.headers
    assert json.loads(missing.body).get("record") is None
