"""DPoP over the network: what a thief of tokens, proofs and connections can do with them."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from nomoat.client.proofs import ProofKey
from nomoat.client.session import Session
from tests.hub.live import Live
from tests.server.wire import Answer, connect, get, read_answer

PATH = "/v1/whoami"


@dataclass
class Bound:
    """A token of `ingest` and the key that it is bound to."""

    live: Live
    key: ProofKey
    token: str

    def lines(self, method: str = "GET", url: str = "", key: ProofKey | None = None) -> tuple[str, str]:
        proof = (key or self.key).prove(method, url or self.live.url + PATH, self.token)
        return f"Authorization: DPoP {self.token}", f"DPoP: {proof}"

    def ask(self, *lines: str, path: str = PATH, method: str = "GET") -> Answer:
        return get(self.live, path, *lines, method=method)


@pytest.fixture(scope="module")
def bound(live: Live) -> Iterator[Bound]:
    key = ProofKey()
    with Session(live.profiles["ingest"], time.time) as session:
        yield Bound(live, key, session.token(key=key).access_token)


def refused(answer: Answer, error: str) -> bool:
    return answer.status == 401 and f'DPoP realm="nomoat", error="{error}"' in answer.headers["www-authenticate"]


def test_what_is_bound_is_seen_as_bound(live: Live, bound: Bound) -> None:
    known = json.loads(bound.ask(*bound.lines()).body)
    assert (known["subject"], known["binding"]) == ("workload:ingest", "dpop")
    assert "dpop" in {record["who"]["binding"] for record in live.records("by ingest", 10) if "who" in record}


def test_attack_a_stolen_token_without_its_key(live: Live, bound: Bound) -> None:
    thief = ProofKey()
    thief.nonce = bound.key.nonce
    assert refused(bound.ask(f"Authorization: Bearer {bound.token}"), "invalid_token")
    assert refused(bound.ask(f"Authorization: DPoP {bound.token}"), "invalid_dpop_proof")
    assert refused(bound.ask(*bound.lines(key=thief)), "invalid_token")
    # Not over the certificate of its owner either, or of somebody else: the key is what it is bound to.
    assert get(live, PATH, f"Authorization: Bearer {bound.token}", profile="ingest").status == 401


def test_attack_a_replayed_proof(bound: Bound) -> None:
    lines = bound.lines()
    assert bound.ask(*lines).status == 200
    assert refused(bound.ask(*lines), "invalid_dpop_proof")


def test_attack_a_proof_replayed_many_times_at_once(bound: Bound) -> None:
    lines = bound.lines()
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: bound.ask(*lines).status, range(16)))
    assert sorted(statuses) == [200] + [401] * 15


def test_attack_a_proof_for_another_url_or_method(bound: Bound) -> None:
    assert refused(bound.ask(*bound.lines("POST")), "invalid_dpop_proof")
    assert refused(bound.ask(*bound.lines(), method="POST", path="/v1/token"), "invalid_dpop_proof")
    assert refused(bound.ask(*bound.lines(), path="/api/whoami-v2"), "invalid_dpop_proof")
    assert refused(bound.ask(*bound.lines(url="https://evil.example" + PATH)), "invalid_dpop_proof")


def test_attack_headers_that_claim_another_address(live: Live, bound: Bound) -> None:
    """A proof that a client made for a server of the thief's, passed on with headers that make us look like that one."""
    for claim in ("Host: evil.example", "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example;proto=https"):
        lines = bound.lines(url="https://evil.example" + PATH)
        host = [] if claim.startswith("Host") else ["Host: gateway"]
        head = "\r\n".join([f"GET {PATH} HTTP/1.1", *host, claim, *lines, "", ""])
        with connect(live) as channel:
            channel.sendall(head.encode())
            assert refused(read_answer(channel), "invalid_dpop_proof")


def test_attack_an_unknown_nonce_is_answered_with_the_right_one(bound: Bound) -> None:
    right, bound.key.nonce = bound.key.nonce, "AAAAAAAAAAAAAAAAAAAAAA"
    try:
        answer = bound.ask(*bound.lines())
    finally:
        bound.key.nonce = right
    assert refused(answer, "use_dpop_nonce")
    assert answer.headers["dpop-nonce"] == right


def test_attack_two_proofs_or_a_proof_beside_a_bearer(live: Live, bound: Bound) -> None:
    authorization, proof = bound.lines()
    assert bound.ask(authorization, proof, bound.lines()[1]).status == 400
    plain = live.profiles["ingest"].read("hub/token").decode()
    assert bound.ask(f"Authorization: Bearer {plain}", proof).status == 400


def test_attack_a_bound_token_of_a_revoked_session(live: Live) -> None:
    live.declare('[[workload]]\nname = "leaver"\n')
    live.join("workload:leaver")
    key = ProofKey()
    with Session(live.profiles["leaver"], time.time) as session:
        gone = Bound(live, key, session.token(key=key).access_token)
    assert gone.ask(*gone.lines()).status == 200
    with live.admin as admin:
        admin.gateway.revoke("workload", "leaver")
    assert refused(gone.ask(*gone.lines()), "invalid_token")
