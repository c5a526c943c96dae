"""One-time codes: one use, ten minutes, one identity; a second use ends what the first made."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from nomoat.core.connection import OneTimeCode
from nomoat.core.enrolment import EnrolmentCode, parse_enrolment_code
from nomoat.core.errors import Conflict, Malformed, NotFound, NotPermitted, Revoked, Unauthenticated
from nomoat.core.operation import JoinWorkload, RegisterDevice
from nomoat.core.principal import Binding, PrincipalKind
from nomoat.identity import codes
from nomoat.stores.state.schema import code as code_table
from tests.identity.world import ADA, NOW, World, scenario, signing_request

PERSON, WORKLOAD = PrincipalKind.PERSON, PrincipalKind.WORKLOAD


@scenario
async def test_a_code_carries_the_fingerprint_and_leads_to_one_operation(world: World) -> None:
    for name, prefix, action in ((ADA, "nmp-", RegisterDevice.action), ("train", "nmw-", JoinWorkload.action)):
        code = await world.code(name)
        assert code.code.startswith(prefix)
        assert parse_enrolment_code(code.code).fingerprint == world.authority.fingerprint
        assert len(parse_enrolment_code(code.code).secret) * 8 == 160
        who = world.authenticate(code)
        assert (who.name, who.binding, who.obtained) == (name, Binding.CODE, Binding.CODE)
        assert who.confined_to == frozenset({action})
        assert code.code not in repr(code) + repr(who)


@scenario
async def test_the_database_holds_only_the_hash(world: World) -> None:
    code = await world.code()
    (row,) = world.state.read(lambda connection: connection.execute(select(code_table)).all())
    assert row.hash == parse_enrolment_code(code.code).digest
    assert code.code not in repr(row)
    assert code.code.split("-")[1] not in repr(row)


@scenario
async def test_a_redeemed_code_makes_a_device_and_a_session(world: World) -> None:
    ada = await world.join()
    who = world.certified(ada)
    assert who.identifier == f"spiffe://acme.example/person/ada_40acme.example/device/{ada.issued.device}"
    assert (who.session, who.device, who.name) == (ada.issued.session, ada.issued.device, ADA)
    train = await world.join("train")
    assert (train.issued.device, train.issued.spiffe_id) == ("", "spiffe://acme.example/train")
    assert world.certified(train).session == train.issued.session


@scenario
async def test_second_use_of_a_code_ends_what_the_first_made(world: World) -> None:
    for name in (ADA, "train"):
        code = await world.code(name)
        world.now += 120  # memory is swept once a minute
        actor = await world.redeem(code)
        token = world.token(actor)
        generation = world.identity.sessions.generation
        refusal = world.refusal(code)
        assert refusal.kind == "code-reused"
        assert "is revoked" in refusal.detail
        assert world.identity.sessions.generation > generation
        assert world.refusal(None, actor.connection.certificate).kind == "revoked"
        assert world.refusal(token).kind == "revoked"
        await world.identity.sessions.settle()
        world.restart()
        assert world.refusal(None, actor.connection.certificate).kind == "ended"
        assert world.refusal(code).kind == "code"


@scenario
async def test_second_use_ends_later_sessions_of_the_device_too(world: World) -> None:
    code = await world.code()
    first = await world.redeem(code)
    world.now += 13 * 3600
    again = await world.renew(first, world.assertion(first), restart=True)
    assert world.certified(again).session != first.issued.session
    assert world.refusal(code).kind == "code-reused"
    assert world.refusal(None, again.connection.certificate).kind == "revoked"
    assert world.refusal(world.assertion(first)).kind == "revoked"


@scenario
async def test_second_use_is_noticed_after_a_restart(world: World) -> None:
    code = await world.code()
    actor = await world.redeem(code)
    world.restart()
    assert world.certified(actor).name == ADA
    assert world.refusal(code).kind == "code-reused"
    assert world.refusal(None, actor.connection.certificate).kind == "revoked"


@scenario
async def test_replay_of_a_code_by_two_at_the_same_time(world: World) -> None:
    code = await world.code()
    first, second = world.authenticate(code), world.authenticate(code)
    requests = [signing_request(ec.generate_private_key(ec.SECP256R1())) for _ in range(2)]
    results = await asyncio.gather(
        world.identity.register_device(first, requests[0]),
        world.identity.register_device(second, requests[1]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Revoked, Unauthenticated]
    await world.identity.sessions.settle()
    world.restart()
    assert world.identity.sessions.registry.subjects() == set()


@scenario
async def test_a_further_replay_ends_nothing_more(world: World) -> None:
    for name in (ADA, "train"):
        code = await world.code(name)
        await world.redeem(code)
        world.refusal(code)
        generation = world.identity.sessions.generation
        assert world.refusal(code).kind == "code-reused"
        assert world.identity.sessions.generation == generation


@scenario
async def test_expired_unknown_and_spent_codes_get_the_same_answer(world: World) -> None:
    expired = await world.code()
    spent = await world.code()
    await world.redeem(spent)
    revoked = await world.code("train")
    await world.identity.revoke("workload", "train")
    unknown = OneTimeCode(EnrolmentCode(PERSON, bytes(20), world.authority.fingerprint).text)
    world.now += 600
    refusals = [world.refusal(code) for code in (expired, spent, revoked, unknown, OneTimeCode("junk"))]
    assert len({refusal.reason for refusal in refusals}) == 1
    assert {refusal.kind for refusal in refusals} == {"code", "code-reused"}


@scenario
async def test_expired_code_to_the_second(world: World) -> None:
    code = await world.code()
    world.now += 599
    who = world.authenticate(code)
    world.now += 1
    assert world.refusal(code).kind == "code"
    with pytest.raises(Unauthenticated):  # it expired between authentication and use
        await world.identity.register_device(who, signing_request(ec.generate_private_key(ec.SECP256R1())))


@scenario
async def test_code_guess(world: World) -> None:
    code = await world.code()
    parsed = parse_enrolment_code(code.code)
    near = bytes([parsed.secret[0] ^ 1]) + parsed.secret[1:]
    for guess in (
        EnrolmentCode(PERSON, near, parsed.fingerprint).text,
        EnrolmentCode(WORKLOAD, parsed.secret, parsed.fingerprint).text,  # a person's code as a workload's
        EnrolmentCode(PERSON, parsed.secret, bytes(32)).text,  # of another trust domain
        code.code.upper(),
        code.code + "a",
        code.code[:-1],
        code.code + "\n",
        parsed.digest.hex(),  # what the database holds
        "",
    ):
        assert world.refusal(OneTimeCode(guess)).kind == "code"
    assert world.authenticate(code).name == ADA


def test_only_one_spelling_of_a_code_parses() -> None:
    text = EnrolmentCode(PERSON, b"\xff" * 20, b"\xff" * 32).text
    assert parse_enrolment_code(text).text == text
    assert text.endswith("q")
    with pytest.raises(Malformed):
        parse_enrolment_code(text[:-1] + "r")  # the last character's spare bits


@scenario
async def test_a_malformed_request_does_not_spend_the_code(world: World) -> None:
    code = await world.code()
    with pytest.raises(Malformed):
        await world.identity.register_device(world.authenticate(code), b"junk")
    assert (await world.redeem(code)).issued.subject == f"person:{ADA}"


@scenario
async def test_a_code_of_one_kind_does_not_do_the_work_of_the_other(world: World) -> None:
    request = signing_request(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(NotPermitted):
        await world.identity.join_workload(world.authenticate(await world.code(ADA)), request)
    with pytest.raises(NotPermitted):
        await world.identity.register_device(world.authenticate(await world.code("train")), request)
    with pytest.raises(NotPermitted):
        await world.identity.register_device(world.certified(await world.join()), request)


@scenario
async def test_only_the_declared_get_codes_and_only_so_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mallory", "train"):
        with pytest.raises(NotFound):
            await world.identity.enroll(PERSON, name)
    monkeypatch.setattr(codes, "OUTSTANDING", 2)
    await world.code()
    await world.code()
    with pytest.raises(Conflict):
        await world.code()
    world.now += 600
    await world.code()


@scenario
async def test_a_code_of_somebody_removed_from_the_directory_is_refused(world: World) -> None:
    code = await world.code()
    world.directory = type(world.directory)()
    assert world.refusal(code).kind == "undeclared"


@scenario
async def test_unused_codes_survive_a_restart_and_old_ones_are_deleted(world: World) -> None:
    code = await world.code()
    world.restart()
    assert (await world.redeem(code)).issued.subject == f"person:{ADA}"
    await world.code("bob")
    world.now = NOW + 3600
    await world.code("train")
    rows = world.state.read(lambda connection: connection.execute(select(code_table)).all())
    assert sorted(row.subject for row in rows) == [ADA, "train"]  # the used one stays: its replay matters
