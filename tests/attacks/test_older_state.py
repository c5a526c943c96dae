"""Attacks by an older state.db beside the newest log: what was revoked or applied since would be undone.

An *image* is what `kill -9` would leave at that moment: the files as they lie there, with the gateway
still running. Images of the log and of the state are combined as somebody with the disk could.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from nomoat.core.connection import Connection, OneTimeCode, Presented
from nomoat.core.errors import Conflict, Revoked, Unauthenticated, Unavailable
from nomoat.core.operation import JoinWorkload, Whoami
from nomoat.core.principal import PrincipalKind
from nomoat.policy.defaults import starter_policies
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.configuration import Configuration
from nomoat.server.records import system_record
from nomoat.server.recover import recover
from nomoat.stores.state import State
from tests.attacks.test_overtaken import Turn
from tests.cli.live import Live
from tests.guard.world import ADMIN, Clock, signing_request, world
from tests.resources.world import DIGITS, SECRETS, Yard, in_yard

STATE = ("state.db", "state.db-wal")
LOOSER = {"more.cedar": '@id("more")\npermit (principal, action == NoMoat::Action::"Whoami", resource);\n'}


def image(of: Path, to: Path) -> Path:
    """The data directory as it lies there; SQLite makes its -shm file anew."""
    return Path(shutil.copytree(of, to, ignore=shutil.ignore_patterns("*-shm")))


def with_state(log: Path, state: Path, to: Path) -> Path:
    """The data directory `log` with the database of the image `state` in it."""
    made = image(log, to)
    for name in STATE:
        (made / name).unlink(missing_ok=True)
        if (state / name).exists():
            shutil.copyfile(state / name, made / name)
    return made


async def starts(directory: Path, configuration: Configuration, clock: Clock) -> bool:
    """Whether a gateway starts on it. One that refuses the state must leave the log as it is."""
    before = content_of(directory / "log")
    try:
        async with open_gateway(directory, configuration, clock):
            return True
    except Unavailable as error:
        if error.part != "state" or "older copy" not in error.reason or content_of(directory / "log") != before:
            raise
        return False


def content_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


async def used_again(there: Yard, code: str) -> None:
    request = signing_request(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(Unauthenticated):
        async with there.guard.admit(
            Presented(Connection("127.0.0.1"), OneTimeCode(code), "test", "POST"), JoinWorkload(request)
        ):
            pytest.fail("a spent code let somebody in")


@in_yard
async def test_attack_no_change_that_was_acknowledged_is_undone_by_an_older_state(there: Yard) -> None:
    """Every pair of a log and a state from a row of changes: refused exactly when the state is older."""
    outer, gateway = there.world, there.world.gateway
    code, _ = await gateway.identity.enroll(PrincipalKind.WORKLOAD, "ingest-low")
    low = await outer.joined(PrincipalKind.WORKLOAD, "ingest-low", code)
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "replayed": lambda: used_again(there, code),
        "revoked": lambda: outer.revoke("person", "visitor"),
        "declared": lambda: outer.declare('[[group]]\nname = "others"\n'),
        "applied": lambda: outer.apply_policies({**starter_policies(), **LOOSER}),
        "enrolled": lambda: gateway.identity.enroll(PrincipalKind.PERSON, "scientist"),
        "written": lambda: there.write(DIGITS, {"metrics.json": b"{}"}),
        "revoked again": lambda: outer.revoke("session", there.train.session),
    }
    root = outer.directory.parent
    images = [image(outer.directory, root / "before")]
    for name, change in changes.items():
        await change()
        images.append(image(outer.directory, root / name))
    configuration, clock = gateway.configuration, outer.clock
    for at, log in enumerate(images):
        for other, state in enumerate(images):
            made = with_state(log, state, root / f"{at} {other}")
            assert await starts(made, configuration, clock) == (other >= at), (log.name, state.name)
    async with open_gateway(with_state(images[1], images[1], root / "again"), configuration, clock) as again:
        with pytest.raises(Unauthenticated):
            async with again.guard.admit(low.present(), Whoami()):
                pytest.fail("the replayed code's revocation was undone by a crash right after the answer")


@in_yard
async def test_a_replayed_code_is_answered_when_what_it_ended_is_stored(there: Yard) -> None:
    """The write stands in the queue behind a long one; a crash before it would bring the session back."""
    code, _ = await there.world.gateway.identity.enroll(PrincipalKind.WORKLOAD, "ingest-low")
    await there.world.joined(PrincipalKind.WORKLOAD, "ingest-low", code)
    await used_again(there, "nobody's")  # the log has a key for what strangers do: that waits for the state, too
    before = Turn(there)
    await asyncio.sleep(0)
    replaying = asyncio.ensure_future(used_again(there, code))
    await asyncio.sleep(0.3)
    assert not replaying.done()
    await before.over()
    await replaying


@in_yard
async def test_a_crash_between_the_state_and_the_log_is_no_alarm_and_was_not_acknowledged(there: Yard) -> None:
    outer = there.world
    root, disk = outer.directory.parent, outer.disk
    before = image(outer.directory, root / "before")
    disk.hold()
    revoking = asyncio.ensure_future(outer.gateway.identity.revoke("person", "visitor"))
    await disk.reached()
    await asyncio.sleep(0.05)
    assert not revoking.done(), "the revocation was acknowledged before the log knew of it"
    torn = image(outer.directory, root / "torn")
    disk.release()
    await revoking
    # The record may have reached the disk or not: both must start.
    configuration, clock = outer.gateway.configuration, outer.clock
    assert await starts(with_state(before, torn, root / "without"), configuration, clock)
    assert await starts(image(torn, root / "with"), configuration, clock)


@in_yard
async def test_a_revocation_that_the_log_cannot_know_of_is_in_force_and_not_acknowledged(there: Yard) -> None:
    outer = there.world
    outer.disk.broken = True
    with pytest.raises(Unavailable, match="log"):
        await outer.gateway.identity.revoke("person", "visitor")
    outer.disk.broken = False
    async with asyncio.timeout(20):
        while True:
            with suppress(Unavailable):
                await outer.gateway.identity.revoke("person", "visitor")
                break
            await asyncio.sleep(0.1)
    with pytest.raises((Unauthenticated, Revoked)):
        async with there.guard.admit(there.visitor.present(), Whoami()):
            pytest.fail("it was not in force")


@in_yard
async def test_reading_tells_the_log_nothing_of_the_state(there: Yard) -> None:
    await there.write(SECRETS, {"a": b"a"})
    await there.read(SECRETS, "a")
    log = there.world.gateway.log
    told = await log.read("what StateAdvanced", limit=1000)
    for _ in range(10):
        await there.read(SECRETS, "a")
    assert await log.read("what StateAdvanced", limit=1000) == told


# -- What the operator meets ------------------------------------------------------------------------


def refuses_to_serve(live: Live) -> None:
    with live.operator.running("serve", str(live.data)) as process:
        _, told = process.communicate(timeout=30)
    assert process.returncode == 3
    for word in ("older copy", "Put the newest state.db back", "nomoat recover DIRECTORY NAME --older-state"):
        assert word in told


def test_attack_yesterdays_state_does_not_start_and_the_newest_does(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        ann = live.admin()
        ben = live.person(ann, "ben")
        assert live.stop() == 0
        yesterday = live.copy("yesterday")
        live.start()
        live.follow(ann)
        live.follow(ben)
        assert ann.nomoat("revoke", "person", "ben").code == 0
        assert live.stop() == 0
        today = live.copy("today")
        shutil.copyfile(yesterday / "state.db", live.data / "state.db")
        refuses_to_serve(live)
        said = live.operator.nomoat("recover", str(live.data), "ann")
        assert (said.code, "older copy" in said.err) == (3, True)
        shutil.copyfile(today / "state.db", live.data / "state.db")
        live.start()
        live.follow(ann)
        live.follow(ben)
        assert ann.nomoat("whoami").code == 0
        assert ben.nomoat("whoami").code == 1
        live.stop()
        # Both directories of one moment together are a log that was rolled back: that is for kept checkpoints.
        shutil.rmtree(live.data)
        shutil.copytree(yesterday, live.data)
        live.start()


def test_an_older_state_is_accepted_on_the_record_and_nobody_in_it_stays_in(tmp_path: Path) -> None:
    with Live(tmp_path / "gateway") as live:
        ann = live.admin()
        ben = live.person(ann, "ben")
        live.stop()
        yesterday = live.copy("yesterday")
        live.start()
        live.follow(ann)
        assert ann.nomoat("revoke", "person", "ben").code == 0
        live.stop()
        said = live.operator.nomoat("recover", str(live.data), "ann", "--older-state")
        assert (said.code, "leave out --older-state" in said.err) == (1, True)
        newest = live.copy("newest")
        shutil.copyfile(yesterday / "state.db", live.data / "state.db")
        said = live.operator.nomoat("recover", str(live.data), "zed", "--older-state")
        assert (said.code, "the administrators are: ann" in said.err) == (1, True)
        refuses_to_serve(live)
        done = live.operator.nomoat("recover", str(live.data), "ann", "--older-state", "--json").json()
        live.start()
        live.follow(ben)
        live.follow(ann)
        for left in (ann, ben):
            assert left.nomoat("whoami").code == 1, "a session of the older state came back"
            assert left.nomoat("login").code == 1, "a device of the older state came back"
        assert ann.nomoat("login", live.url, "--code", str(done["code"]), "--replace").code == 0
        assert "AcceptOlderState" in ann.nomoat("audit", "search", "what AcceptOlderState").out
        live.stop()
        shutil.copyfile(newest / "state.db", live.data / "state.db")
        refuses_to_serve(live)  # the two do not take turns


def test_accepting_an_older_state_that_ends_half_way_accepts_nothing(tmp_path: Path) -> None:
    """The record is durable and the write that ends everybody is not: as if it had never been asked for."""

    async def run() -> None:
        clock = Clock()
        async with world(tmp_path) as there:
            directory, configuration = there.directory, there.gateway.configuration
        yesterday = image(directory, tmp_path / "yesterday")
        async with open_gateway(directory, configuration, clock) as gateway:
            for _ in range(20):  # far ahead of what accepting writes itself
                await gateway.identity.revoke("person", ADMIN)
        made = with_state(directory, yesterday, tmp_path / "made")

        class Killed(Exception):
            pass

        async def half_way(gateway: Gateway, _: State) -> None:
            await gateway.log.append(system_record("AcceptOlderState", {}))
            raise Killed

        for _ in range(2):
            with pytest.raises(Killed):
                async with open_gateway(made, configuration, clock, accept_older=half_way):
                    pytest.fail("it was accepted")
            assert not await starts(made, configuration, clock)
        await recover(made, ADMIN, clock, older_state=True)
        assert await starts(made, configuration, clock)
        with pytest.raises(Conflict):
            await recover(made, ADMIN, clock, older_state=True)

    asyncio.run(run())
