"""Device assertions: one use, one minute, one device, one gateway."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from nomoat.core.connection import Bearer, DeviceAssertion
from nomoat.core.errors import Malformed, NotPermitted, Unauthenticated
from nomoat.core.operation import RenewCertificate
from nomoat.core.principal import Binding
from nomoat.identity import assertions
from tests.identity.forgery import assertion
from tests.identity.world import ADA, NOW, Actor, World, scenario, signing_request


@scenario
async def test_an_assertion_leads_to_renewal_only(world: World) -> None:
    ada = await world.join()
    who = world.authenticate(world.assertion(ada))
    assert (who.name, who.session, who.device) == (ADA, ada.issued.session, ada.issued.device)
    assert (who.binding, who.confined_to) == (Binding.DEVICE_KEY, frozenset({RenewCertificate.action}))
    assert who.authenticated_at == NOW


@scenario
async def test_assertion_replay(world: World) -> None:
    ada = await world.join()
    first = world.assertion(ada)
    world.authenticate(first)
    assert world.refusal(first).kind == "replayed"
    again = world.assertion(ada, jti="same")
    world.authenticate(again)
    world.now += 1
    assert world.refusal(world.assertion(ada, jti="same")).kind == "replayed"
    world.now += 60
    world.authenticate(world.assertion(ada, jti="same"))  # the first one is long over


@scenario
async def test_replay_after_a_restart(world: World) -> None:
    ada = await world.join()
    spent = world.assertion(ada)
    world.authenticate(spent)
    world.now += 1
    world.restart()
    assert world.refusal(spent).kind == "expired"
    world.authenticate(world.assertion(ada))


@scenario
async def test_assertion_for_another_audience(world: World) -> None:
    ada = await world.join()
    for audience in ("spiffe://other.example", "https://acme.example", ["spiffe://acme.example"], None):
        assert world.refusal(world.assertion(ada, aud=audience)).kind == "wrong-audience"


@scenario
async def test_assertion_by_another_device(world: World) -> None:
    ada, bob = await world.join(), await world.join("bob")
    stolen = assertion(bob.key, ada.issued.device, "spiffe://acme.example", NOW)
    assert world.refusal(DeviceAssertion(stolen)).kind == "bad-signature"
    for claim in ("iss", "sub"):
        assert world.refusal(world.assertion(bob, **{claim: ada.issued.device})).kind == "wrong-issuer"
    train = await world.join("train")
    nobody = assertion(train.key, train.issued.session, "spiffe://acme.example", NOW)
    assert world.refusal(DeviceAssertion(nobody)).kind == "unknown-device"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"iat": int(NOW) - 60, "exp": int(NOW)}, "expired"),
        ({"iat": int(NOW) + 6, "exp": int(NOW) + 66}, "not-yet-valid"),
        ({"exp": int(NOW) + 61}, "malformed"),
        ({"exp": int(NOW) + 10**9}, "malformed"),
        ({"jti": None}, "malformed"),
        ({"jti": ""}, "malformed"),
        ({"iat": None}, "malformed"),
        ({"nbf": 0}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"header": {"alg": "none"}}, "bad-algorithm"),
        ({"header": {"alg": "HS256"}}, "bad-algorithm"),
        ({"header": {"typ": "at+jwt"}}, "malformed"),
        ({"header": {"jwk": {}}}, "malformed"),
        ({"header": {"crit": []}}, "malformed"),
        ({"header": {"kid": 1}}, "unknown-device"),
        ({"header": {"kid": None}}, "malformed"),
        ({"header": {"kid": "d-aaaaaaaaaaaaaaaa"}}, "unknown-device"),
    ],
)
@scenario
async def test_what_is_not_exactly_an_assertion(world: World, changes: dict[str, object], kind: str) -> None:
    ada = await world.join()
    world.authenticate(world.assertion(ada, header={"typ": None}))  # the type is optional, and all else is not
    assert world.refusal(world.assertion(ada, **changes)).kind == kind


@scenario
async def test_an_assertion_is_no_access_token_and_the_other_way_round(world: World) -> None:
    ada = await world.join()
    assert world.refusal(Bearer(world.assertion(ada).token)).kind == "wrong-type"
    assert world.refusal(DeviceAssertion(world.token(ada).token)).kind == "malformed"


@scenario
async def test_what_is_remembered_is_bounded(world: World) -> None:
    ada = await world.join()
    for _ in range(assertions.HELD):
        world.authenticate(world.assertion(ada))
    assert world.refusal(world.assertion(ada)).kind == "too-many"
    world.authenticate(world.assertion(await world.join("bob")))  # another device is not affected
    world.now += 60
    world.authenticate(world.assertion(ada))


@scenario
async def test_an_assertion_renews_after_the_certificate_expired(world: World) -> None:
    ada = await world.join()
    world.now += 2 * 3600
    assert world.refusal(None, ada.connection.certificate).kind == "expired"
    renewed = await world.renew(ada, world.assertion(ada))
    assert renewed.issued.session == ada.issued.session
    assert world.certified(renewed).session == ada.issued.session


@scenario
async def test_a_session_of_a_person_ends_after_twelve_hours_and_restarts_by_the_device_key_only(world: World) -> None:
    ada = await world.join()
    for _ in range(23):
        world.now += 1800
        ada = await world.renew(ada)
    assert world.certified(ada).authenticated_at == NOW
    assert ada.issued.expires_at == NOW + 12 * 3600  # the last certificate is no longer than the session
    with pytest.raises(NotPermitted):
        await world.renew(ada, restart=True)  # over the certificate: no proof of a new log-in
    world.now += 1800
    with pytest.raises(Unauthenticated, match="login"):
        await world.renew(ada, world.assertion(ada))
    again = await world.renew(ada, world.assertion(ada), restart=True)
    assert again.issued.session != ada.issued.session
    assert again.issued.device == ada.issued.device
    assert world.certified(again).authenticated_at == world.now
    world.restart()
    assert world.certified(again).session == again.issued.session


@scenario
async def test_a_device_cannot_change_its_key(world: World) -> None:
    ada = await world.join()
    other = Actor(ec.generate_private_key(ec.SECP256R1()), ada.issued)
    with pytest.raises(Malformed, match="the key that it registered"):
        await world.renew(other)
    with pytest.raises(Malformed):
        await world.identity.renew(world.certified(ada), signing_request(other.key)[:-40])


@scenario
async def test_a_workload_may_change_its_key_and_lives_while_it_renews(world: World) -> None:
    train = await world.join("train")
    for _ in range(30):
        world.now += 3000
        key = ec.generate_private_key(ec.SECP256R1())
        train = await world.renew(Actor(key, train.issued))
        assert train.issued.expires_at == world.now + 3600
    world.restart()
    assert world.certified(train).session == train.issued.session
    with pytest.raises(NotPermitted):
        await world.renew(train, restart=True)
    world.now += 3600
    assert world.refusal(None, train.connection.certificate).kind == "expired"
