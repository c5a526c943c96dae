"""DPoP over the network: what a thief of tokens, proofs and connections can do with them."""

import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from nomoat.client.proofs import ProofKey
from nomoat.client.session import Session
from tests.hub.live import Live
from tests.identity.forgery import forge
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


@dataclass
class Forger:
    """A key of the attacker's own, and proofs by it that our client would never make."""

    nonce: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def proof(self, **claims: object) -> str:
        public = ECKey.import_key(self.key).as_dict(private=False)
        jwk = {name: public[name] for name in ("kty", "crv", "x", "y")}
        said = {"jti": secrets.token_urlsafe(16), "htm": "GET", "iat": int(time.time()), "nonce": self.nonce} | claims
        return forge({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}, said, self.key)


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "\ud800"},
        {"htu": "https://a\u2100b.example/"},
        {"htu": "https://[/"},
        {"htu": "\ud800"},
        {"jti": "\ud800"},
    ],
    ids=["nonce", "host", "bracket", "address", "jti"],
)
def test_attack_a_proof_of_strange_texts_is_refused(live: Live, bound: Bound, claims: dict[str, object]) -> None:
    """Half a surrogate, a host that turns into another one: no text makes a fault of ours, which no record tells of."""
    forger = Forger(bound.key.nonce)
    said = {"htu": live.url + PATH} | claims
    # Over a certificate: the one way to have a proof by any key looked at.
    answer = get(live, PATH, f"DPoP: {forger.proof(**said)}", profile="ingest")
    assert answer.status == (200 if "jti" in claims else 401), answer


def test_attack_many_spellings_of_an_address(live: Live, bound: Bound) -> None:
    """What routes tell apart, a proof tells apart; what names no other resource is no way around either."""
    for path in (
        f"{PATH}/",
        PATH.upper(),
        f"/{PATH}",
        f"{PATH}%2F",
        "/v1%2Fwhoami",
        f"/x/..{PATH}",
        f"{PATH};a",
        f"{PATH}%00",
    ):
        assert refused(bound.ask(*bound.lines(url=live.url + path)), "invalid_dpop_proof"), path
    port = live.url.rpartition(":")[2]
    for url in (
        live.url.replace("https", "http") + PATH,
        f"https://a@{live.url.removeprefix('https://')}{PATH}",
        f"{live.url}.evil.example{PATH}",
        f"https://localhost.:{port}{PATH}",
        f"https://localhost:1{PATH}",
    ):
        assert refused(bound.ask(*bound.lines(url=url)), "invalid_dpop_proof"), url
    for url in (f"{live.url}{PATH}?a=b", f"{live.url}{PATH}#a", f"{live.url}/v1/%77hoami"):  # RFC 9449, 4.3, check 9
        assert bound.ask(*bound.lines(url=url)).status == 200, url
