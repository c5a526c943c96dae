"""A proof that is asked for the nonce (RFC 9449, section 8) is a step of the protocol: a number, and no refusal of anybody."""

from nomoat.client.proofs import ProofKey
from nomoat.core.connection import Connection, Credential, Presented, Proof, Proven
from nomoat.core.errors import NotFound, Unauthenticated
from nomoat.core.operation import Whoami
from nomoat.core.principal import PrincipalKind
from tests.guard.world import Actor, World, in_world

ORIGIN = "https://data.acme.example:8443"
DECLARED = '[[workload]]\nname = "train"\n'


async def train(there: World) -> Actor:
    there.gateway.identity.proofs.reached_at([ORIGIN])
    await there.declare(DECLARED)
    return await there.joined(PrincipalKind.WORKLOAD, "train")


def key_of(there: World, *, nonce: bool = True) -> ProofKey:
    key = ProofKey(there.clock)
    key.nonce = there.gateway.identity.proofs.nonces.current(there.clock.now) if nonce else ""
    return key


def proof(key: ProofKey, token: str = "") -> Proof:
    return Proof(key.prove("GET", f"{ORIGIN}/v1/whoami", token), "/v1/whoami")


async def token_of(there: World, actor: Actor, key: ProofKey) -> str:
    presented = Presented(Connection("127.0.0.1", actor.certificate), proof(key), "test", "GET")
    async with there.gateway.guard.admit(presented, Whoami()) as permit:
        return there.gateway.identity.issue_token(permit.principal, bound=False).text


async def asks(there: World, credential: Credential, certificate: bytes | None = None) -> str:
    """How it is answered, as the HTTP application asks: `served`, or the kind of the refusal and ` recorded`."""
    presented = Presented(Connection("192.0.2.9", certificate), credential, "test", "GET")
    try:
        async with there.gateway.guard.admit(presented, Whoami()):
            return "served"
    except Unauthenticated as refusal:
        if refusal.record is None:
            await there.gateway.guard.refuse(presented, refusal)
        return refusal.kind if refusal.record is None else f"{refusal.kind} recorded"


async def recorded(there: World) -> int:
    return len(await there.gateway.log.read("what Authenticate"))


@in_world
async def test_a_first_proof_is_counted_and_leaves_no_refusal(there: World) -> None:
    actor, key = await train(there), key_of(there)
    token, fresh = await token_of(there, actor, key), key_of(there, nonce=False)
    assert await asks(there, proof(fresh), actor.certificate) == "use-nonce"
    key.nonce = "of-yesterday"
    assert await asks(there, Proven(token, proof(key, token))) == "use-nonce"
    await there.gateway.guard.strangers.flush()
    assert await recorded(there) == 0
    assert (there.gateway.guard.strangers.challenges, there.gateway.guard.strangers.total) == (2, 0)
    key.nonce = key_of(there).nonce
    assert await asks(there, Proven(token, proof(key, token))) == "served"


@in_world
async def test_attack_a_flood_without_a_nonce_is_a_number_and_needs_a_new_proof_each_time(there: World) -> None:
    actor, key = await train(there), key_of(there, nonce=False)
    taken = proof(key)
    assert await asks(there, taken, actor.certificate) == "use-nonce"
    assert await asks(there, taken, actor.certificate) == "replayed recorded"
    for _ in range(200):
        assert await asks(there, proof(key), actor.certificate) == "use-nonce"
    assert there.gateway.guard.strangers.challenges == 201


@in_world
async def test_attack_what_else_is_wrong_is_recorded_and_not_hidden_by_a_missing_nonce(there: World) -> None:
    actor, key = await train(there), key_of(there)
    token, thief = await token_of(there, actor, key), key_of(there, nonce=False)
    key.nonce = ""
    assert await asks(there, Proven(token, proof(thief, token))) == "wrong-binding recorded"
    assert await asks(there, Proven(token, proof(key))) == "malformed recorded", "a proof for no token"
    await there.revoke("workload", "train")
    assert await asks(there, Proven(token, proof(key, token))) == "revoked recorded"
    assert await asks(there, proof(thief), actor.certificate) == "revoked recorded"
    assert there.gateway.guard.strangers.challenges == 0


@in_world
async def test_attack_what_is_not_served_is_recorded_also_without_a_nonce(there: World) -> None:
    actor = await train(there)
    presented = Presented(Connection("192.0.2.9", actor.certificate), proof(key_of(there, nonce=False)), "test", "GET")
    refusal = NotFound("there is nothing at this address", kind="route")
    await there.gateway.guard.refuse(presented, refusal)
    assert refusal.record is not None


@in_world
async def test_a_refusal_beyond_the_quota_is_counted_once(there: World) -> None:
    for _ in range(20):
        await asks(there, Proven("no token", None))
    assert there.gateway.guard.strangers.total == 15
