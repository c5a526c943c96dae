"""A credential that is over is refused as a stranger's, on record under the name of whom it verifiably was."""

import pytest

from nomoat.core.connection import Bearer, Connection, Credential, OneTimeCode, Presented
from nomoat.core.errors import Unauthenticated
from nomoat.core.operation import Whoami
from nomoat.core.principal import PrincipalKind
from nomoat.core.record import Json
from tests.guard.world import Actor, World, in_world

DECLARED = """
[[person]]
name = "ann@acme.example"

[[workload]]
name = "train"
"""
ANN = "ann@acme.example"
PERSON, WORKLOAD = PrincipalKind.PERSON, PrincipalKind.WORKLOAD


async def refused(there: World, credential: Credential | None, certificate: bytes | None = None) -> Unauthenticated:
    presented = Presented(Connection("192.0.2.9", certificate), credential, "test", "POST")
    with pytest.raises(Unauthenticated) as refusal:
        async with there.gateway.guard.admit(presented, Whoami()):
            pytest.fail("served")
    return refusal.value


async def found(there: World, query: str) -> list[dict[str, Json]]:
    return await there.gateway.log.read(f"what Authenticate {query}")


async def join(there: World, kind: PrincipalKind, name: str) -> tuple[str, Actor]:
    code, _ = await there.gateway.identity.enroll(kind, name)
    return code, await there.joined(kind, name, code)


@in_world
async def test_a_code_that_is_used_again_is_found_by_whose_it_was(there: World) -> None:
    await there.declare(DECLARED)
    for kind, name in ((PERSON, ANN), (WORKLOAD, "train")):
        code, actor = await join(there, kind, name)
        unknown = await refused(there, OneTimeCode(code[:4] + "a" * 32 + code[36:]))
        again = await refused(there, OneTimeCode(code))
        assert again.reason == unknown.reason, "the caller learns whether the code was one"
        for query in (f"by {name}", f"by {kind}:{name}", f"on {kind}:{name}", f"on session:{actor.session}"):
            (record,) = await found(there, query)
            assert record["n"] == again.record
            assert record["why"] == "a one-time code was used again; what it made is revoked"
            who = record["who"]
            assert isinstance(who, dict)
            assert (who["session"], who["authenticated"]) == (actor.session, False)
        (record,) = await there.gateway.log.read(f"record {unknown.record}")
        assert record["who"] == {"kind": "unauthenticated", "pseudonym": record["who"]["pseudonym"]}  # type: ignore[index,call-overload]  # a dict
        once_more = await refused(there, OneTimeCode(code))
        (record,) = await there.gateway.log.read(f"record {once_more.record}")
        assert record["why"] == "a one-time code was used again; what it made had ended already"
        await there.gateway.guard.strangers.flush()


@in_world
async def test_a_code_that_ran_out_or_was_revoked_is_found_by_whose_it_was(there: World) -> None:
    await there.declare(DECLARED)
    late, _ = await there.gateway.identity.enroll(PERSON, ANN)
    there.clock.now += 600
    await refused(there, OneTimeCode(late))
    revoked, _ = await there.gateway.identity.enroll(PERSON, ANN)
    await there.revoke("person", ANN)
    await refused(there, OneTimeCode(revoked))
    assert [record["why"] for record in await found(there, f"by {ANN}")] == [
        "a one-time code was used after its time",
        "a one-time code was used after it was revoked",
    ]


@in_world
async def test_a_revoked_session_is_found_by_whose_it_was(there: World) -> None:
    await there.declare(DECLARED)
    _, train = await join(there, WORKLOAD, "train")
    bearer = await there.bearer(train)
    await there.revoke("session", train.session)
    by_token = await refused(there, bearer)
    by_certificate = await refused(there, None, train.certificate)
    for query in ("by train", "on workload:train", f"on session:{train.session}"):
        assert [record["n"] for record in await found(there, query)] == [by_token.record, by_certificate.record]
        assert {record["why"] for record in await found(there, query)} == {"the session was revoked"}
    assert "nomoat enroll train --workload" in by_token.reason
    assert "nomoat login URL --code CODE --replace" in by_token.reason


@in_world
async def test_a_claim_that_nothing_proves_names_nobody(there: World) -> None:
    await there.declare(DECLARED)
    _, train = await join(there, WORKLOAD, "train")
    bound = await there.bearer(train, bound=True)
    bearer = await there.bearer(train)
    await there.revoke("session", train.session)
    await refused(there, Bearer(bearer.token[:-8] + "AAAAAAAA"))  # another signature below the same claims
    await refused(there, bound)  # without the certificate's key, whoever presents it is not its holder
    there.clock.now += 900
    await refused(there, bound)  # nor after its time
    assert await found(there, "by train") == []
    await refused(there, bearer)
    assert len(await found(there, "by train")) == 1


@in_world
async def test_a_flood_of_one_old_credential_does_not_fill_the_log(there: World) -> None:
    await there.declare(DECLARED)
    _, train = await join(there, WORKLOAD, "train")
    bearer = await there.bearer(train)
    await there.revoke("workload", "train")
    before = there.gateway.log.size
    for _ in range(50):
        await refused(there, bearer)
    assert there.gateway.log.size - before <= 10


@in_world
async def test_the_advice_after_a_revocation_is_one_that_works(there: World) -> None:
    await there.declare(DECLARED)
    code, ann = await join(there, PERSON, ANN)
    await there.revoke("session", ann.session)
    assert (await refused(there, None, ann.certificate)).reason.endswith("log in again with: nomoat login")
    await there.revoke("device", ann.device)
    new = "ask an administrator for a new code, then: nomoat login URL --code CODE --replace"
    assert (await refused(there, None, ann.certificate)).reason.endswith(new)
    assert (await refused(there, OneTimeCode(code))).reason.endswith(new)
