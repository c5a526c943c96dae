"""Revocation: at once in memory, then what is served, then the disk; and what happens when the disk fails."""

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

import pytest
from sqlalchemy import Connection, select

from nomoat.core.connection import Presented
from nomoat.core.directory import Directory
from nomoat.core.errors import Conflict, Malformed, NotFound, Revoked, Unauthenticated, Unavailable
from nomoat.core.principal import PrincipalKind
from nomoat.identity.registry import Revocable
from nomoat.stores.state import State
from nomoat.stores.state.schema import revocation as revocation_table
from tests.identity.world import ADA, Actor, World, scenario

T = TypeVar("T")


async def execute(world: World, statement: str) -> None:
    def run(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    await world.state.write(run)


async def fail(world: World, table: str) -> None:
    """Make the database refuse every change of one table, as a failing disk would."""
    for verb in ("INSERT", "UPDATE", "DELETE"):
        refuse = f"BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, 'disk'); END"
        await execute(world, f"CREATE TRIGGER fail_{table}_{verb} {refuse}")


async def heal(world: World, table: str) -> None:
    for verb in ("INSERT", "UPDATE", "DELETE"):
        await execute(world, f"DROP TRIGGER fail_{table}_{verb}")


def kinds(world: World, *actors: Actor) -> list[str]:
    return [world.refusal(None, actor.connection.certificate).kind for actor in actors]


@scenario
async def test_revoked_session(world: World) -> None:
    ada = await world.join()
    token = world.token(ada)
    assert (await world.identity.revoke("session", ada.issued.session)).sessions == {ada.issued.session}
    assert kinds(world, ada) == ["revoked"]
    assert world.refusal(token).kind == "revoked"
    with pytest.raises(Unauthenticated, match="login"):
        await world.renew(ada, world.assertion(ada))
    again = await world.renew(ada, world.assertion(ada), restart=True)  # the device itself was not revoked
    assert world.certified(again).session == again.issued.session
    assert kinds(world, ada) == ["revoked"]


@scenario
async def test_revoked_device(world: World) -> None:
    laptop, phone = await world.join(), await world.join()
    token = world.token(laptop)
    who = world.authenticate(world.assertion(laptop))
    assert (await world.identity.revoke("device", laptop.issued.device)).sessions == {laptop.issued.session}
    assert kinds(world, laptop) == ["revoked"]
    assert world.refusal(token).kind == "revoked"
    assert world.refusal(world.assertion(laptop)).kind == "revoked"
    for restart in (False, True):
        with pytest.raises(Revoked):
            await world.identity.renew(who, laptop.request, restart=restart)
    device = world.identity.sessions.registry.device(laptop.issued.device)
    assert device is not None
    with pytest.raises(Revoked):
        await world.identity.sessions.restart(device, world.now)
    assert world.certified(phone).name == ADA


@scenario
async def test_revoked_person_and_a_fresh_start(world: World) -> None:
    devices = [await world.join(), await world.join()]
    code, pending = await world.code(), world.authenticate(await world.code())
    bob = await world.join("bob")
    ended = (await world.identity.revoke("person", ADA)).sessions
    assert ended == {device.issued.session for device in devices}
    assert kinds(world, *devices) == ["revoked", "revoked"]
    assert [world.refusal(world.assertion(device)).kind for device in devices] == ["revoked", "revoked"]
    assert world.refusal(code).kind == "code"
    with pytest.raises(Unauthenticated):
        await world.identity.register_device(pending, devices[0].request)
    assert world.certified(bob).name == "bob"
    again = await world.join()
    world.restart()
    assert world.certified(again).name == ADA
    assert kinds(world, *devices) == ["ended", "ended"]


@scenario
async def test_revoked_workload(world: World) -> None:
    one, other, code = await world.join("train"), await world.join("train"), await world.code("train")
    assert (await world.identity.revoke("workload", "train")).sessions == {one.issued.session, other.issued.session}
    assert kinds(world, one, other) == ["revoked", "revoked"]
    assert world.refusal(code).kind == "code"


@scenario
async def test_every_revocation_survives_a_restart_and_is_listed(world: World) -> None:
    first, second, third, fourth = (
        await world.join(),
        await world.join(),
        await world.join("bob"),
        await world.join("train"),
    )
    code = await world.code("bob")
    await world.identity.revoke("session", first.issued.session)
    await world.identity.revoke("device", second.issued.device)
    await world.identity.revoke("person", "bob")
    await world.identity.revoke("workload", "train")
    world.restart()
    assert kinds(world, first, second, third, fourth) == ["ended"] * 4
    assert world.refusal(world.assertion(second)).kind == "unknown-device"
    assert world.refusal(code).kind == "code"
    rows = world.state.read(lambda connection: connection.execute(select(revocation_table)).all())
    assert [(row.kind, row.name) for row in rows] == [
        ("session", first.issued.session),
        ("device", second.issued.device),
        ("person", "bob"),
        ("workload", "train"),
    ]


@scenario
async def test_what_cannot_be_named_cannot_be_revoked(world: World) -> None:
    for kind, name, error in (
        ("code", "x", Malformed),
        ("person", "a b", Malformed),
        ("session", "s-aaaaaaaaaaaaaaaa", NotFound),
        ("device", "d-aaaaaaaaaaaaaaaa", NotFound),
        ("person", "nobody", NotFound),
        ("person", "train", NotFound),
    ):
        with pytest.raises(error):
            await world.identity.revoke(kind, name)
    assert (await world.identity.revoke("person", "bob")).sessions == frozenset(), "declared, and nothing to end"


@scenario
async def test_who_is_declared_no_longer_can_still_be_ended(world: World) -> None:
    train = await world.join("train")
    world.directory = Directory()
    assert (await world.identity.revoke("workload", "train")).sessions == {train.issued.session}


@scenario
async def test_it_is_in_force_then_announced_then_stored(world: World) -> None:
    ada = await world.join()
    presented = Presented(ada.connection, None, "test", "GET")
    seen: list[tuple[frozenset[str], int, int]] = []

    def listener(ended: frozenset[str]) -> None:
        with pytest.raises(Unauthenticated):
            world.identity.authenticator.authenticate(presented)
        stored = world.state.read(lambda connection: len(connection.execute(select(revocation_table)).all()))
        seen.append((ended, world.identity.sessions.generation, stored))

    world.identity.sessions.listen(listener)
    before = world.identity.sessions.generation
    await world.identity.revoke("person", ADA)
    assert seen == [(frozenset({ada.issued.session, ada.issued.device}), before + 1, 0)]


@scenario
async def test_a_disk_that_fails_leaves_it_in_force_and_says_so(world: World) -> None:
    ada = await world.join()
    await fail(world, "session")
    with pytest.raises(Unavailable):
        await world.identity.revoke("person", ADA)
    assert kinds(world, ada) == ["revoked"]
    assert world.refusal(world.assertion(ada)).kind == "revoked"
    await heal(world, "session")
    await world.code("bob")  # the next change stores it with itself
    world.restart()
    assert kinds(world, ada) == ["ended"]
    assert world.refusal(world.assertion(ada)).kind == "unknown-device"


@scenario
async def test_what_is_stored_is_not_stored_again(world: World) -> None:
    await world.join()
    await world.identity.revoke("person", ADA)
    await fail(world, "revocation")
    await world.code("bob")


@scenario
async def test_doing_it_again_stores_it(world: World) -> None:
    train = await world.join("train")
    await fail(world, "revocation")
    with pytest.raises(Unavailable):
        await world.identity.revoke("workload", "train")
    await heal(world, "revocation")
    again = await world.identity.revoke("workload", "train")
    assert again.sessions == again.anew == {train.issued.session}
    assert (await world.identity.revoke("workload", "train")).anew == frozenset()
    world.restart()
    assert kinds(world, train) == ["ended"]


@scenario
async def test_a_late_store_does_not_end_what_began_after_it(world: World) -> None:
    await world.join()
    await fail(world, "device")
    with pytest.raises(Unavailable):
        await world.identity.revoke("person", ADA)
    await heal(world, "device")
    code, twin = await asyncio.gather(world.code(), world.code())  # both still carry the old revocation
    one, other = await world.redeem(code), await world.redeem(twin)
    world.restart()
    assert [world.certified(actor).name for actor in (one, other)] == [ADA, ADA]


@pytest.mark.parametrize("table", ["code", "session", "device"])
@scenario
async def test_a_code_can_be_used_again_after_the_disk_failed(world: World, table: str) -> None:
    code = await world.code()
    await fail(world, table)
    with pytest.raises(Unavailable):
        await world.redeem(code)
    assert world.identity.sessions.registry.subjects() == {(PrincipalKind.PERSON, ADA)}  # the code alone
    await heal(world, table)
    ada = await world.redeem(code)
    world.restart()
    assert world.certified(ada).name == ADA


@scenario
async def test_nobody_is_let_in_while_the_disk_fails(world: World) -> None:
    ada, train = await world.join(), await world.join("train")
    await fail(world, "session")
    await fail(world, "code")
    with pytest.raises(Unavailable):
        await world.code()
    with pytest.raises(Unavailable):
        await world.renew(ada, world.assertion(ada), restart=True)
    with pytest.raises(Unavailable):
        await world.renew(train)
    renewed = await world.renew(ada, world.assertion(ada))  # nothing to store: the session goes on as it was
    assert renewed.issued.session == ada.issued.session
    world.now += 3600
    assert world.refusal(None, train.connection.certificate).kind == "expired"


class LiesAboutFailing:
    """A disk that keeps a change and reports that it did not."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.lying = False

    def read(self, fn: Callable[[Connection], T]) -> T:
        return self._state.read(fn)

    async def write(self, fn: Callable[[Connection], T], then: Callable[[T], None] | None = None) -> T:
        if not self.lying:
            return await self._state.write(fn, then)
        await self._state.write(fn)
        raise Unavailable("state", "the disk failed after it kept the change")

    def close(self) -> None:
        self._state.close()


@scenario
async def test_a_disk_that_keeps_what_it_reported_lost(world: World) -> None:
    liar = LiesAboutFailing(world.state)
    world.state = cast("State", liar)
    world.restart()
    code, train = await world.code(), await world.join("train")
    liar.lying = True
    with pytest.raises(Unavailable):
        await world.redeem(code)
    with pytest.raises(Unavailable):
        await world.identity.revoke("workload", "train")
    liar.lying = False
    with pytest.raises(Unauthenticated):  # spent in the database: it is not spent a second time
        await world.redeem(code)
    assert kinds(world, train) == ["revoked"]
    assert (await world.identity.revoke("workload", "train")).sessions == {train.issued.session}
    world.restart()
    assert kinds(world, train) == ["ended"]


@scenario
async def test_memory_forgets_what_is_over_and_keeps_what_matters(world: World) -> None:
    train_code, ada_code = await world.code("train"), await world.code()
    await world.redeem(train_code)
    ada = await world.redeem(ada_code)
    await world.code("bob")
    world.now += 13 * 3600
    await world.join("train")
    registry = world.identity.sessions.registry
    assert (len(registry._sessions), len(registry._codes), len(registry._handles)) == (1, 2, 2)
    assert world.refusal(train_code).detail == "unknown"
    assert world.refusal(ada_code).kind == "code-reused"  # the device still exists: its replay matters
    assert world.refusal(world.assertion(ada)).kind == "revoked"


# -- Races: a revocation while something is being stored ------------------------------------------------


async def meanwhile(first: asyncio.Task[T], then: Callable[[], object]) -> T:
    """Let `first` get to the point where it waits for the disk, do `then`, and return what `first` comes to."""
    await asyncio.sleep(0)
    assert not first.done()
    then()
    return await first


def ending(world: World, kind: Revocable, name: str) -> Callable[[], object]:
    return lambda: world.identity.sessions.revoke_now(kind, name, world.now)


@scenario
async def test_a_revocation_while_a_code_is_redeemed(world: World) -> None:
    code = await world.code()
    task = asyncio.get_running_loop().create_task(world.redeem(code))
    revoked: list[frozenset[str]] = []
    world.identity.sessions.listen(revoked.append)
    with pytest.raises(Revoked):
        await meanwhile(task, ending(world, Revocable.PERSON, ADA))
    assert len(revoked[0]) == 2  # the device and the session that were on their way
    await world.identity.sessions.settle()
    world.restart()
    assert world.identity.sessions.registry.subjects() == set()


@scenario
async def test_a_revocation_while_a_session_restarts(world: World) -> None:
    ada = await world.join()
    task = asyncio.get_running_loop().create_task(world.renew(ada, world.assertion(ada), restart=True))
    with pytest.raises(Revoked):
        await meanwhile(task, ending(world, Revocable.DEVICE, ada.issued.device))
    await world.identity.sessions.settle()
    world.restart()
    assert world.identity.sessions.registry.subjects() == set()


@scenario
async def test_a_revocation_while_a_workload_renews(world: World) -> None:
    train = await world.join("train")
    task = asyncio.get_running_loop().create_task(world.renew(train))
    with pytest.raises(Revoked):
        await meanwhile(task, ending(world, Revocable.SESSION, train.issued.session))
    await world.identity.sessions.settle()
    world.restart()
    assert kinds(world, train) == ["ended"]


@scenario
async def test_a_revocation_while_a_code_is_made(world: World) -> None:
    task = asyncio.get_running_loop().create_task(world.code())
    with pytest.raises(Conflict):
        await meanwhile(task, ending(world, Revocable.PERSON, ADA))
    await world.identity.sessions.settle()
    world.restart()
    assert world.identity.sessions.registry.subjects() == set()


@scenario
async def test_a_caller_who_gives_up_waiting_changes_nothing_about_the_outcome(world: World) -> None:
    ada = await world.join()
    task = asyncio.get_running_loop().create_task(world.identity.revoke("person", ADA))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kinds(world, ada) == ["revoked"]
    await world.identity.sessions.settle()
    world.restart()
    assert kinds(world, ada) == ["ended"]
