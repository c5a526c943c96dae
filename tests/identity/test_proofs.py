"""DPoP (RFC 9449): a token is worth nothing without its key, and a proof nothing for any other request."""

import asyncio
import json
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from nomoat.client.proofs import ProofKey
from nomoat.core.connection import Bearer, Proof, Proven
from nomoat.core.errors import Malformed, NotPermitted, Unauthenticated, Unavailable
from nomoat.core.principal import Binding
from nomoat.identity.nonces import ROTATION, Nonces
from nomoat.identity.proofs import Proofs
from nomoat.identity.replays import SKEW, WINDOW, Replays
from nomoat.identity.tokens import TOKEN_LIFE
from tests.identity.forgery import b64, forge, hs256
from tests.identity.world import NOW, Actor, World, scenario

ORIGIN = "https://data.acme.example:8443"
PATH = "/datasets/acme/digits/resolve/main/a%20b.csv"
URL = ORIGIN + PATH


def ath(token: str) -> str:
    return urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Prover:
    """Somebody with a DPoP key, and a token that is bound to it; lies in any part of a proof."""

    world: World
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    token: str = ""

    @property
    def jwk(self) -> dict[str, object]:
        public = ECKey.import_key(self.key).as_dict(private=False)
        return {name: public[name] for name in ("kty", "crv", "x", "y")}

    def parts(self, **changes: object) -> tuple[dict[str, object], dict[str, object]]:
        header: dict[str, object] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}
        claims: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": "GET",
            "htu": URL,
            "iat": int(self.world.now),
            "nonce": self.world.identity.proofs.nonces.current(self.world.now),
        }
        if self.token:
            claims["ath"] = ath(self.token)
        extra = changes.pop("header", {})
        assert isinstance(extra, dict)
        header, claims = header | extra, claims | changes
        return (
            {name: value for name, value in header.items() if value is not None},
            {name: value for name, value in claims.items() if value is not None},
        )

    def proof(self, **changes: object) -> Proof:
        return Proof(forge(*self.parts(**changes), self.key), PATH)

    def proven(self, **changes: object) -> Proven:
        return Proven(self.token, self.proof(**changes))

    def refusal(self, **changes: object) -> str:
        return self.world.refusal(self.proven(**changes)).kind

    def obtain(self, actor: Actor) -> "Prover":
        """Have a token bound to the key, over the actor's certificate."""
        self.token = ""
        who = self.world.authenticate(self.proof(), actor.connection.certificate)
        self.token = self.world.identity.issue_token(who, bound=False).text
        return self


async def prover(world: World, name: str = "train") -> Prover:
    world.identity.proofs.reached_at([ORIGIN])
    return Prover(world).obtain(await world.join(name))


@scenario
async def test_a_token_with_the_proof_of_its_key(world: World) -> None:
    train = await prover(world)
    who = world.authenticate(train.proven())
    assert (who.name, who.binding, who.obtained) == ("train", Binding.DPOP, Binding.MTLS)
    assert who.key == ECKey.import_key(train.key).thumbprint()
    assert world.authenticate(train.proven()) is not None, "a second request has a second proof"


@scenario
async def test_the_proofs_that_our_own_client_makes(world: World) -> None:
    world.identity.proofs.reached_at([ORIGIN])
    key, certificate = ProofKey(lambda: world.now), (await world.join("train")).connection.certificate
    key.nonce = world.identity.proofs.nonces.current(world.now)
    who = world.authenticate(Proof(key.prove("GET", URL), PATH), certificate)
    token = world.identity.issue_token(who, bound=False).text
    assert world.authenticate(Proven(token, Proof(key.prove("GET", URL, token), PATH))).key == who.key


# -- Attacks ----------------------------------------------------------------------------------------


@scenario
async def test_a_stolen_token_without_its_key(world: World) -> None:
    train, thief = await prover(world), Prover(world)
    assert world.refusal(Bearer(train.token)).kind == "unbound"
    assert world.refusal(Proven(train.token, None)).kind == "no-proof"
    thief.token = train.token
    assert thief.refusal() == "wrong-binding"
    assert thief.refusal(header={"jwk": train.jwk}) == "bad-signature"


@scenario
async def test_attack_an_expired_token_without_its_key_names_its_holder_to_nobody(world: World) -> None:
    """Who has the text alone proves nothing: what becomes of it must not stand under the name of its owner."""
    train = await prover(world)
    world.now += TOKEN_LIFE + 1
    for stolen in (Bearer(train.token), Proven(train.token, None), Prover(world, token=train.token).proven()):
        refusal = world.refusal(stolen)
        assert (refusal.kind, refusal.holder) == ("expired", None)


@scenario
async def test_attack_texts_without_bytes_in_a_proof(world: World) -> None:
    """JSON can hold half of a surrogate pair: that is no text to compare, and no fault of ours."""
    train = await prover(world)
    assert train.refusal(nonce="\ud800") == "use-nonce"
    assert train.refusal(ath="\ud800") == "wrong-token"
    assert train.refusal(htu="\ud800") == "wrong-address"
    assert train.refusal(htm="\ud800") == "wrong-method"
    assert train.refusal(htu="https://a\u2100b.example/") == "wrong-address"
    assert train.refusal(header={"jwk": {**train.jwk, "x": "\ud800"}}) == "malformed"


@scenario
async def test_a_replayed_proof(world: World) -> None:
    train = await prover(world)
    taken = train.proven()
    world.authenticate(taken)
    assert world.refusal(taken).kind == "replayed"
    world.now += WINDOW
    assert world.refusal(taken).kind == "replayed"
    world.now += 1
    assert world.refusal(taken).kind == "stale-proof"
    world.now -= WINDOW
    assert world.refusal(taken).kind == "stale-proof", "setting the clock back makes no room for it"


@scenario
async def test_a_replayed_proof_after_a_restart(world: World) -> None:
    train = await prover(world)
    taken = train.proven()
    world.authenticate(taken)
    world.restart()
    world.identity.proofs.reached_at([ORIGIN])
    assert world.refusal(taken).kind == "use-nonce"


@scenario
async def test_a_proof_for_another_url_or_method(world: World) -> None:
    train = await prover(world)
    assert train.refusal(htm="POST") == "wrong-method"
    assert train.refusal(htm="get") == "wrong-method"
    for url in (
        ORIGIN + "/datasets/acme/digits/resolve/main/b.csv",
        ORIGIN + "/datasets/acme/digits/resolve/main%2Fa%20b.csv",
        ORIGIN + PATH + "/",
        "https://data.acme.example" + PATH,
        "https://data.acme.example:8443.evil.example" + PATH,
        "https://evil@data.acme.example:8443" + PATH,
        "http://data.acme.example:8443" + PATH,
        "https://evil.example:8443" + PATH,
        "https://[data" + PATH,
        "https://data.acme.example:port" + PATH,
        PATH,
        "",
    ):
        assert train.refusal(htu=url) in {"wrong-address", "malformed"}, url
    for spelled in (URL + "?revision=main#x", URL.replace("data.acme", "DATA.acme"), URL.replace("digits", "%64igits")):
        world.authenticate(train.proven(htu=spelled))


@scenario
async def test_a_gateway_that_does_not_know_where_it_is_accepts_nothing(world: World) -> None:
    train = await prover(world)
    world.identity.proofs.reached_at([])
    assert train.refusal() == "wrong-address"


@scenario
async def test_a_retired_or_unknown_nonce(world: World) -> None:
    train = await prover(world)
    old = world.identity.proofs.nonces.current(world.now)
    for nonce in (None, "", "unknown", 7, [old], old + "x"):
        assert train.refusal(nonce=nonce) == "use-nonce", nonce
    world.now += ROTATION
    assert world.identity.proofs.nonces.current(world.now) != old
    world.authenticate(train.proven(nonce=old))
    world.now += ROTATION
    assert train.refusal(nonce=old) == "use-nonce"


@scenario
async def test_a_proof_by_another_key(world: World) -> None:
    train, other = await prover(world), Prover(world)
    assert train.refusal(header={"jwk": other.jwk}) == "wrong-binding"


@scenario
async def test_a_proof_for_another_token(world: World) -> None:
    train, ada = await prover(world), await prover(world, "bob")
    assert train.refusal(ath=ath(ada.token)) == "wrong-token"
    assert train.refusal(ath=None) == "malformed"
    assert world.refusal(Proven(ada.token, train.proof())).kind == "wrong-binding"


@scenario
async def test_alg_none_and_hs256(world: World) -> None:
    train = await prover(world)
    header, claims = train.parts()
    none = f"{b64(json.dumps(header | {'alg': 'none'}).encode())}.{b64(json.dumps(claims).encode())}."
    secret = json.dumps(train.jwk).encode()
    for text in (none, hs256(header | {"alg": "HS256"}, claims, secret), hs256(header, claims, secret)):
        kind = world.refusal(Proven(train.token, Proof(text, PATH))).kind
        assert kind in {"bad-algorithm", "malformed", "bad-signature"}
    for algorithm in ("none", "HS256", "ES384", "RS256", "EdDSA", "", None):
        assert train.refusal(header={"alg": algorithm}) == "bad-algorithm"


@scenario
async def test_keys_that_are_no_public_p256_key(world: World) -> None:
    train = await prover(world)
    private = ECKey.import_key(train.key).as_dict(private=True)
    assert train.refusal(header={"jwk": train.jwk | {"d": private["d"]}}) == "private-key"
    x = str(train.jwk["x"])
    keys: tuple[object, ...] = (
        {},
        None,
        [],
        "key",
        {"kty": "oct", "k": "AAAA"},
        train.jwk | {"kty": "RSA"},
        train.jwk | {"crv": "P-384"},
        train.jwk | {"x": train.jwk["y"]},
        train.jwk | {"x": x + "="},
        train.jwk | {"x": "AA" + x},
        train.jwk | {"x": 7},
        train.jwk | {"x5c": ["AAAA"]},
        train.jwk | {"k": "AAAA"},
    )
    for jwk in keys:
        assert train.refusal(header={"jwk": jwk}) == "malformed", jwk


@scenario
async def test_other_kinds_of_tokens_are_no_proofs(world: World) -> None:
    train = await prover(world)
    for kind in ("JWT", "at+jwt", "application/dpop+jwt", None):
        assert train.refusal(header={"typ": kind}) == "wrong-type"
    for more in ({"crit": ["exp"]}, {"jku": "https://evil.example"}, {"kid": "k"}, {"b64": False}):
        assert train.refusal(header=more) == "malformed"
    assert world.refusal(Proven(train.token, Proof(train.token, PATH))).kind == "wrong-type"


@scenario
async def test_times_and_identifiers(world: World) -> None:
    train = await prover(world)
    now = int(world.now)
    world.authenticate(train.proven(iat=now + SKEW))
    world.authenticate(train.proven(iat=now - WINDOW))
    assert train.refusal(iat=now + SKEW + 1) == "not-yet-valid"
    assert train.refusal(iat=now - WINDOW - 1) == "stale-proof"
    for wrong in (
        {"iat": None},
        {"iat": "0"},
        {"iat": True},
        {"jti": None},
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * 257},
    ):
        assert train.refusal(**wrong) == "malformed", wrong


@scenario
async def test_a_bearer_or_a_certificate_token_is_no_dpop_token(world: World) -> None:
    train = await prover(world)
    actor = await world.join("train")
    for bound in (False, True):
        plain = world.token(actor, bound=bound).token
        proof = train.proof(ath=ath(plain))
        assert world.refusal(Proven(plain, proof), actor.connection.certificate).kind == "unbound"


@scenario
async def test_a_proven_token_does_not_prolong_itself(world: World) -> None:
    train = await prover(world)
    with pytest.raises(NotPermitted):
        world.identity.issue_token(world.authenticate(train.proven()), bound=False)
    who = world.authenticate(train.proof(ath=None), (await world.join("train")).connection.certificate)
    with pytest.raises(Malformed):
        world.identity.issue_token(who, bound=True)


@scenario
async def test_a_refused_proof_is_not_spent_and_takes_no_memory(world: World) -> None:
    train, thief = await prover(world), Prover(world)
    before = len(world.identity.proofs.replays)
    thief.token = train.token
    for changes in ({}, {"htm": "PUT"}, {"ath": "x"}, {"iat": 0}):
        thief.refusal(**changes)
        if changes:
            train.refusal(**changes)
    assert len(world.identity.proofs.replays) == before


@scenario
async def test_a_proof_that_was_asked_for_its_nonce_is_spent(world: World) -> None:
    train = await prover(world)
    challenged = train.proven(nonce=None)
    assert world.refusal(challenged).kind == "use-nonce"
    assert world.refusal(challenged).kind == "replayed"


# -- Bounds -----------------------------------------------------------------------------------------


def test_the_memory_of_replays_is_bounded_and_fails_closed() -> None:
    replays = Replays(each=3, together=5)
    replays.require_fresh(1000, 1000)
    for number in range(3):
        replays.spend("a", f"{number}", 1000)
    with pytest.raises(Unavailable):
        replays.spend("a", "more", 1000)
    with pytest.raises(Unauthenticated):
        replays.spend("a", "0", 1000)
    replays.spend("b", "0", 1000)  # one key's flood is not another's
    replays.spend("c", "0", 1001)
    with pytest.raises(Unavailable):
        replays.spend("d", "0", 1001)
    replays.require_fresh(1001, 1001 + WINDOW)
    assert len(replays) == 1
    replays.spend("a", "more", 1001)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(-80, 20), st.integers(0, 3)), max_size=60))
def test_no_proof_is_taken_twice_whatever_the_clock_does(events: list[tuple[int, int, int]]) -> None:
    replays, taken = Replays(), set[tuple[int, int]]()
    for now, age, jti in events:
        issued_at = 1000 + now + age
        try:
            replays.require_fresh(issued_at, 1000 + now)
            replays.spend("key", f"{jti}", issued_at)
        except Unauthenticated:
            continue
        assert (issued_at, jti) not in taken
        taken.add((issued_at, jti))


def test_a_nonce_of_long_ago_is_not_the_previous_one() -> None:
    nonces = Nonces(NOW)
    first = nonces.current(NOW)
    assert nonces.knows(first, NOW + 2 * ROTATION - 1)
    nonces = Nonces(NOW)
    first = nonces.current(NOW)
    assert not nonces.knows(first, NOW + 2 * ROTATION)


# -- RFC 9449's own examples ------------------------------------------------------------------------

JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # section 6.1, figure 9
TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0Rsc"
    "EJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
TOKEN_REQUEST = (  # section 4.1, figure 1
    f"{HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2Vu"
    "IiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
RESOURCE_REQUEST = (  # section 7.1, figure 12
    f"{HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90Z"
    "WN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9"
    ".2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)


def kind_of(text: str, path: str, method: str, at: int, token: str = "", key: str = "") -> str:
    proofs = Proofs(at)
    proofs.reached_at(["https://server.example.com", "https://resource.example.org"])
    with pytest.raises(Unauthenticated) as refused:
        proofs.verify(Proof(text, path), method=method, now=at, token=token, key=key)
    return refused.value.kind


def test_the_examples_of_the_rfc_lack_a_nonce_and_nothing_else() -> None:
    """They are from before the server's first nonce, which is what is looked at last."""
    assert ath(TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    assert kind_of(TOKEN_REQUEST, "/token", "POST", 1562262616) == "use-nonce"
    resource = RESOURCE_REQUEST, "/protectedresource", "GET", 1562262618
    assert kind_of(*resource, TOKEN, JKT) == "use-nonce"
    assert kind_of(*resource, TOKEN + "x", JKT) == "wrong-token"
    assert kind_of(*resource, TOKEN, "x" + JKT[1:]) == "wrong-binding"
    assert kind_of(RESOURCE_REQUEST, "/other", "GET", 1562262618, TOKEN, JKT) == "wrong-address"
    assert kind_of(RESOURCE_REQUEST, "/protectedresource", "PUT", 1562262618, TOKEN, JKT) == "wrong-method"
    assert kind_of(RESOURCE_REQUEST, "/protectedresource", "GET", 1562269999, TOKEN, JKT) == "stale-proof"
    spoilt = RESOURCE_REQUEST[:-10] + "AAAAAAAAAA"
    assert kind_of(spoilt, "/protectedresource", "GET", 1562262618, TOKEN, JKT) == "bad-signature"


def test_a_warm_proof_is_cheap(tmp_path: Path) -> None:
    """The target is 400 µs more than a bearer on an idle core; this only catches an order of magnitude."""
    world = World.create(tmp_path)

    async def measure() -> float:
        train = await prover(world)
        proofs = [train.proven() for _ in range(200)]
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for proof in proofs:
            world.authenticate(proof)
        return (loop.time() - begin) / len(proofs)

    try:
        took = asyncio.run(measure())
    finally:
        world.state.close()
    assert took < 0.004
