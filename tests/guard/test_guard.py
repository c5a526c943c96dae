"""The path: nothing is served unless it was authenticated, decided and durably recorded, in that order."""

import asyncio

import pytest

from nomoat.core.connection import Connection, OneTimeCode, Presented
from nomoat.core.errors import Misuse, NotPermitted, Revoked, Unauthenticated, Unavailable
from nomoat.core.operation import Enroll, RegisterDevice, Revoke, Whoami
from nomoat.core.permit import Permit
from nomoat.core.principal import PrincipalKind
from nomoat.policy.defaults import starter_policies
from nomoat.policy.engine import compile_policies
from nomoat.resources.directory.document import merge, parse_declarations
from tests.guard.world import ADMIN, Actor, World, in_world

SECOND = """
[[person]]
name = "second@acme.example"
groups = ["administrators"]
"""


async def admitted(there: World, actor: Actor) -> Permit[Whoami]:
    async with there.gateway.guard.admit(actor.present(), Whoami()) as permit:
        return permit


@in_world
async def test_a_permit_is_minted_only_after_its_record_is_durable(there: World) -> None:
    there.disk.hold()
    task = asyncio.ensure_future(admitted(there, there.admin))
    await there.disk.reached()
    before = there.gateway.log.size
    assert not task.done()
    there.disk.release()
    permit = await task
    assert permit.receipt.index >= before
    assert there.gateway.log.size > permit.receipt.index


@in_world
async def test_a_permit_is_spent_once_and_dies_with_its_access(there: World) -> None:
    async with there.gateway.guard.admit(there.admin.present(), Whoami()) as permit:
        with pytest.raises(Misuse):
            permit.claim(Revoke)
        permit.claim(Whoami)
        with pytest.raises(Misuse):
            permit.claim(Whoami)
    with pytest.raises(Misuse):
        permit.check()


@in_world
async def test_a_permit_cannot_be_forged(there: World) -> None:
    permit = await admitted(there, there.admin)
    with pytest.raises(Misuse):
        Permit(object(), permit._resolved, permit.allow, permit.receipt, permit._lease)


@in_world
async def test_no_credential_is_refused_and_recorded(there: World) -> None:
    presented = Presented(Connection("192.0.2.9"), None, "test", "GET")
    with pytest.raises(Unauthenticated) as refused:
        async with there.gateway.guard.admit(presented, Whoami()):
            pytest.fail("served a stranger")
    assert refused.value.record is not None
    assert refused.value.record < there.gateway.log.size


@in_world
async def test_a_flood_of_strangers_is_counted_not_recorded_one_by_one(there: World) -> None:
    presented = Presented(Connection("192.0.2.9"), None, "test", "GET")
    before = there.gateway.log.size
    for _ in range(500):
        with pytest.raises(Unauthenticated):
            async with there.gateway.guard.admit(presented, Whoami()):
                pytest.fail("served a stranger")
    assert there.gateway.log.size - before <= 10
    await there.gateway.guard.strangers.flush()
    assert there.gateway.log.size - before <= 11


@in_world
async def test_a_body_is_parsed_only_after_authentication(there: World) -> None:
    parsed: list[object] = []

    async def parse(principal: object) -> Whoami:
        parsed.append(principal)
        return Whoami()

    with pytest.raises(Unauthenticated):
        async with there.gateway.guard.admit(Presented(Connection("192.0.2.9"), None, "test", "POST"), parse):
            pytest.fail("served a stranger")
    assert parsed == []


@in_world
async def test_the_log_refuses_so_nothing_is_served_and_it_recovers_by_itself(there: World) -> None:
    there.disk.broken = True
    with pytest.raises(Unavailable):
        await admitted(there, there.admin)
    there.disk.broken = False
    async with asyncio.timeout(10):
        while True:
            try:
                await admitted(there, there.admin)
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                break


@in_world
async def test_clock_set_back_refuses_until_it_catches_up(there: World) -> None:
    await admitted(there, there.admin)
    there.clock.now -= 60
    with pytest.raises(Unavailable):
        await admitted(there, there.admin)
    there.clock.now += 60
    await admitted(there, there.admin)


@in_world
async def test_a_session_revoked_while_its_record_is_synced_is_not_served(there: World) -> None:
    await there.declare(SECOND)
    second = await there.joined(PrincipalKind.PERSON, "second@acme.example")
    there.disk.hold()
    task = asyncio.ensure_future(admitted(there, second))
    await there.disk.reached()
    revoking = asyncio.ensure_future(there.gateway.identity.revoke("session", second.session))
    await asyncio.sleep(0)
    there.disk.release()
    with pytest.raises((Revoked, Unauthenticated)):
        await task
    await revoking


@in_world
async def test_a_revoked_session_is_cut_while_it_is_served(there: World) -> None:
    await there.declare(SECOND)
    second = await there.joined(PrincipalKind.PERSON, "second@acme.example")
    serving = asyncio.Event()

    async def serve() -> None:
        async with there.gateway.guard.admit(second.present(), Whoami()):
            serving.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(serve())
    await serving.wait()
    await there.revoke("person", "second@acme.example")
    with pytest.raises(Revoked):
        await task
    with pytest.raises(Unauthenticated):
        await admitted(there, second)


@in_world
async def test_a_group_lost_while_the_decision_is_recorded_is_not_used(there: World) -> None:
    await there.declare(SECOND)
    second = await there.joined(PrincipalKind.PERSON, "second@acme.example")
    there.disk.hold()

    async def enroll() -> None:
        async with there.gateway.guard.admit(second.present(), Enroll(f"person:{ADMIN}")):
            pytest.fail("served on a group that was taken away")

    task = asyncio.ensure_future(enroll())
    await there.disk.reached()
    without = SECOND.replace('"administrators"', "")
    # The directory itself changes through the path, whose record waits on the same disk; so the change
    # is made below the path here, exactly as `apply` makes it after its permit.
    declarations = there.gateway.declarations
    declarations._swap(merge(declarations.current, parse_declarations(without)))
    there.disk.release()
    with pytest.raises((NotPermitted, Revoked)):
        await task


@in_world
async def test_a_policy_replaced_while_the_decision_is_recorded_is_not_used(there: World) -> None:
    await there.declare(SECOND)
    second = await there.joined(PrincipalKind.PERSON, "second@acme.example")
    there.disk.hold()
    task = asyncio.ensure_future(admitted(there, second))
    await there.disk.reached()
    files = {**starter_policies(), "zz.cedar": _forbid_whoami("second@acme.example")}
    there.gateway.policies._swap(compile_policies(files))
    there.disk.release()
    with pytest.raises((NotPermitted, Revoked)):
        await task


@in_world
async def test_access_in_flight_is_decided_again_when_policies_change(there: World) -> None:
    await there.declare(SECOND)
    second = await there.joined(PrincipalKind.PERSON, "second@acme.example")
    serving = asyncio.Event()

    async def serve() -> None:
        async with there.gateway.guard.admit(second.present(), Whoami()):
            serving.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(serve())
    await serving.wait()
    await there.apply_policies({**starter_policies(), "zz.cedar": _forbid_whoami("second@acme.example")})
    with pytest.raises(Revoked):
        await task


@in_world
async def test_nobody_widens_their_own_rights(there: World) -> None:
    wider = f'[[group]]\nname = "data-engineers"\n[[person]]\nname = "{ADMIN}"\ngroups = ["administrators", "data-engineers"]'
    with pytest.raises(NotPermitted):
        await there.declare(wider)
    await there.declare(SECOND)
    second = await there.joined(PrincipalKind.PERSON, "second@acme.example")
    await there.declare(wider, by=second)
    assert "data-engineers" in there.gateway.declarations.current.people[ADMIN].groups


@in_world
async def test_an_unbound_bearer_does_not_administer(there: World) -> None:
    bearer = await there.bearer(there.admin)
    with pytest.raises(NotPermitted):
        async with there.gateway.guard.admit(there.admin.present(bearer, bound=False), Enroll(f"person:{ADMIN}")):
            pytest.fail("administered over an unbound bearer")


@in_world
async def test_a_bound_token_replayed_without_its_certificate_is_refused(there: World) -> None:
    bearer = await there.bearer(there.admin, bound=True)
    async with there.gateway.guard.admit(there.admin.present(bearer), Whoami()) as permit:
        permit.claim(Whoami)
    with pytest.raises(Unauthenticated):
        async with there.gateway.guard.admit(there.admin.present(bearer, bound=False), Whoami()):
            pytest.fail("served a stolen bound token")


@in_world
async def test_a_code_serves_nothing_but_joining(there: World) -> None:
    code, _ = await there.gateway.identity.enroll(PrincipalKind.PERSON, ADMIN)
    presented = Presented(Connection("127.0.0.1"), OneTimeCode(code), "test", "GET")
    with pytest.raises(NotPermitted):
        async with there.gateway.guard.admit(presented, Whoami()):
            pytest.fail("a code was good for more than joining")
    with pytest.raises(NotPermitted):
        async with there.gateway.guard.admit(there.admin.present(), RegisterDevice(b"")):
            pytest.fail("joined without a code")


def _forbid_whoami(name: str) -> str:
    return f'@id("not-{name.split("@", maxsplit=1)[0]}")\nforbid (principal == NoMoat::Person::"{name}", action == NoMoat::Action::"Whoami", resource);\n'


@in_world
async def test_a_change_elsewhere_while_a_decision_is_recorded_costs_no_second_record(there: World) -> None:
    there.disk.hold()
    task = asyncio.ensure_future(admitted(there, there.admin))
    await there.disk.reached()
    declarations = there.gateway.declarations
    declarations._swap(merge(declarations.current, parse_declarations('[[group]]\nname = "bystanders"')))
    there.disk.release()
    permit = await task
    records = await there.gateway.log.read("what Whoami")
    assert [record["n"] for record in records] == [permit.receipt.index]
