"""What is in flight is decided again while nothing changes but the time, and never outlives its credential."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from nomoat.core.connection import Credential
from nomoat.core.errors import Revoked
from nomoat.core.operation import ApplyDirectory, Whoami
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.guard.continuous import EXPIRED
from nomoat.policy.defaults import starter_policies
from tests.guard.world import Actor, World, in_world

SOON = 20.0  # seconds, for what takes one or two
SECOND = """
[[person]]
name = "second@acme.example"
groups = ["administrators"]
"""
SLOW_ROUNDS = 2.5  # seconds: two rounds at the least


def forbid(condition: str) -> dict[str, str]:
    text = f'@id("for-a-time")\nforbid (principal, action == NoMoat::Action::"Whoami", resource)\nwhen {{ {condition} }};\n'
    return {**starter_policies(), "zz.cedar": text}


async def second(there: World) -> Actor:
    await there.declare(SECOND)
    return await there.joined(PrincipalKind.PERSON, "second@acme.example")


@asynccontextmanager
async def in_flight(
    there: World, actor: Actor, credential: Credential | None = None
) -> AsyncGenerator["asyncio.Task[None]"]:
    """A task whose access goes on until it is cut."""
    serving = asyncio.Event()

    async def serve() -> None:
        async with there.gateway.guard.admit(actor.present(credential), Whoami()):
            serving.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(serve())
    await asyncio.wait_for(serving.wait(), SOON)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Revoked):
            await task


async def outcome(there: World) -> str:
    """How the newest access ended; its outcome is queued, not awaited."""
    async with asyncio.timeout(SOON):
        while True:
            (*_, newest) = await there.gateway.log.read("what Whoami")
            if "outcome" in newest:
                return str(newest["outcome"]["outcome"])  # type: ignore[index,call-overload]  # a dict
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "denied", [lambda now: f"context.at >= {int(now) + 60}", lambda _: "context.auth_age >= 60"], ids=["at", "auth_age"]
)
@in_world
async def test_what_a_policy_permits_for_a_time_ends_with_it(there: World, denied: Callable[[float], str]) -> None:
    actor = await second(there)
    await there.apply_policies(forbid(denied(there.clock.now)))
    async with in_flight(there, actor) as task:
        there.clock.now += 61
        with pytest.raises(Revoked, match="no longer permitted"):
            await asyncio.wait_for(task, SOON)
    assert await outcome(there) == "cut"


@in_world
async def test_an_access_ends_with_its_token(there: World) -> None:
    actor = await second(there)
    token = await there.bearer(actor, bound=True)
    async with in_flight(there, actor, token) as task:
        there.clock.now += 899
        await asyncio.sleep(SLOW_ROUNDS)
        assert not task.done(), "it had a second left"
        there.clock.now += 1
        with pytest.raises(Revoked, match=EXPIRED):
            await asyncio.wait_for(task, SOON)
    assert await outcome(there) == "cut"


@in_world
async def test_an_access_ends_with_its_certificate_and_so_with_its_session(there: World) -> None:
    actor = await second(there)
    async with in_flight(there, actor) as task:
        there.clock.now += 12 * 3600
        with pytest.raises(Revoked, match=EXPIRED):
            await asyncio.wait_for(task, SOON)


@in_world
async def test_a_body_that_arrives_for_longer_than_its_credential_lives_is_not_served(there: World) -> None:
    actor = await second(there)
    token = await there.bearer(actor, bound=True)
    parsing = asyncio.Event()

    async def parse(_: Principal) -> Whoami:
        parsing.set()
        await asyncio.Event().wait()
        return Whoami()

    async def serve() -> None:
        async with there.gateway.guard.admit(actor.present(token), parse):
            pytest.fail("served after its token expired")

    task = asyncio.ensure_future(serve())
    await asyncio.wait_for(parsing.wait(), SOON)
    there.clock.now += 900
    with pytest.raises(Revoked, match=EXPIRED):
        await asyncio.wait_for(task, SOON)


@in_world
async def test_what_stays_permitted_goes_on(there: World) -> None:
    actor = await second(there)
    async with in_flight(there, actor) as task:
        await asyncio.sleep(SLOW_ROUNDS)
        assert not task.done()


@in_world
async def test_what_cannot_be_decided_again_is_cut(there: World, caplog: pytest.LogCaptureFixture) -> None:
    actor = await second(there)
    resolve = there.gateway.resolvers[Whoami]

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    async with in_flight(there, actor) as task:
        there.gateway.resolvers[Whoami] = broken  # type: ignore[index]  # it is the guard's own
        try:
            with pytest.raises(Revoked, match="could not be decided"):
                await asyncio.wait_for(task, SOON)
        finally:
            there.gateway.resolvers[Whoami] = resolve  # type: ignore[index]  # the same
    assert "was cut" in caplog.text, "and the operator is told"


@in_world
async def test_a_change_that_waits_for_the_disk_is_not_cut_by_the_rounds(there: World) -> None:
    operation = ApplyDirectory(SECOND, dry_run=False)
    async with there.gateway.guard.admit(there.admin.present(), operation) as permit:
        await there.gateway.declarations.apply(permit)  # from here on, its base has moved
        await asyncio.sleep(SLOW_ROUNDS)
        permit.check()


@in_world
async def test_many_accesses_are_decided_in_turns(there: World) -> None:
    """Others get their turn while a round goes on, and those that end meanwhile are left alone."""
    actor = await second(there)
    async with contextlib.AsyncExitStack() as stack:
        tasks = [await stack.enter_async_context(in_flight(there, actor)) for _ in range(40)]
        await asyncio.sleep(SLOW_ROUNDS)
        tasks[20].cancel()
        await asyncio.sleep(SLOW_ROUNDS)
        assert [task.done() for task in tasks] == [number == 20 for number in range(40)]
        await there.apply_policies(forbid("true"))
        assert all(await asyncio.gather(*(cut(task) for number, task in enumerate(tasks) if number != 20)))


async def cut(task: "asyncio.Task[None]") -> bool:
    with contextlib.suppress(Revoked):
        await asyncio.wait_for(task, SOON)
        return False
    return True
