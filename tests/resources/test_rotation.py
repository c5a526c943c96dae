"""Rotating the key-encryption key while serving: nothing is lost, and a crash at any step is gone on with.

The same table of crashes holds for shredding: before and after each thing that is made durable.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomoat.core.errors import Corrupt, NotFound, NotPermitted
from nomoat.core.operation import ReadKeys, RotateKeys, ShredVersion
from nomoat.resources.keys import KeysSeen
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.backup import back_up
from nomoat.server.configuration import Configuration, load_configuration
from nomoat.server.key_file import destroy_key
from nomoat.server.restore import restore
from nomoat.server.scanning import Scanner
from nomoat.stores.rewrapping import Rewrapping
from nomoat.stores.state import State
from tests.guard.world import SCANNER, Actor, Clock, HeldDisk, World
from tests.resources.test_lifecycle import DECLARED, WEIGHTS
from tests.resources.world import Yard, in_yard


async def rotate(there: Yard, by: Actor | None = None) -> KeysSeen:
    async with there.guard.admit((by or there.world.admin).present(), RotateKeys()) as permit:
        return await there.world.gateway.key_rotation.rotate(permit)


async def seen(there: Yard) -> KeysSeen:
    async with there.guard.admit(there.world.admin.present(), ReadKeys()) as permit:
        return await there.world.gateway.key_rotation.read(permit)


async def finished(there: Yard) -> KeysSeen:
    await there.world.gateway.rewrapping.run_once()
    return await seen(there)


@asynccontextmanager
async def opened(there: World, directory: Path | None = None) -> AsyncGenerator[Yard]:
    """The gateway of a directory that nobody uses, and who used it before."""
    directory = directory or there.directory
    configuration = load_configuration(directory)
    async with open_gateway(directory, configuration, there.clock, scan=Scanner(SCANNER).scan) as gateway:
        world = World(gateway, there.clock, HeldDisk(), directory)
        world.admin = there.admin
        yield Yard(world)


# -- Rotating ---------------------------------------------------------------------------------------


@in_yard
async def test_everything_is_wrapped_anew_and_reads_as_before(there: Yard) -> None:
    await there.world.declare(DECLARED)
    await there.create(WEIGHTS, by=there.train)
    commits = [await there.write(WEIGHTS, {"a": b"%d" % n}, by=there.train) for n in range(5)]
    before = await seen(there)
    assert (before.kms, before.newest, before.left) == ("local", 1, 0)
    assert (await rotate(there)).newest == 2
    after = await finished(there)
    assert after.versions == {1: 0, 2: before.versions[1]}
    for number, commit in enumerate(commits):
        assert await there.read(WEIGHTS, "a", by=there.train, revision=commit) == b"%d" % number
    records = await there.world.gateway.log.read("")
    (said,) = [record for record in records if record.get("what") == "RewrapKeys"]
    assert (said["version"], said["keys"]) == (2, before.versions[1])


@in_yard
async def test_nobody_but_an_administrator_rotates_or_looks(there: Yard) -> None:
    with pytest.raises(NotPermitted):
        await rotate(there, by=there.scientist)
    with pytest.raises(NotPermitted):
        async with there.guard.admit(there.train.present(), ReadKeys()):
            pytest.fail("a workload looked at the keys")


@in_yard
async def test_rotating_under_load_loses_and_corrupts_nothing(there: Yard) -> None:
    await there.world.declare(DECLARED)
    await there.create(WEIGHTS, by=there.train)
    kept: dict[str, bytes] = {}
    gateway = there.world.gateway
    small = Rewrapping(gateway.uncommitted._state, gateway.keys, gateway.keys._kek, _nobody, batch=2, pause=0)

    async def publish() -> None:
        for number in range(25):
            content = b"content %d" % number
            kept[await there.write(WEIGHTS, {"a": content}, by=there.train)] = content

    async def turn() -> None:
        for _ in range(4):
            await rotate(there)
            await small.run_once()

    async def read() -> None:
        for _ in range(25):
            for commit, content in list(kept.items()):
                assert await there.read(WEIGHTS, "a", by=there.train, revision=commit) == content
            await asyncio.sleep(0)

    await asyncio.gather(publish(), turn(), read())
    last = await finished(there)
    assert (last.newest, last.left) == (5, 0)
    there.catalog.forget_files()
    for commit, content in kept.items():
        assert await there.read(WEIGHTS, "a", by=there.train, revision=commit) == content


async def _nobody(version: int, keys: int) -> None:
    del version, keys


@in_yard
async def test_one_key_that_does_not_unwrap_keeps_none_of_the_others(there: Yard) -> None:
    await there.world.declare(DECLARED)
    await there.create(WEIGHTS, by=there.train)
    for number in range(3):
        await there.write(WEIGHTS, {"a": b"%d" % number}, by=there.train)
    state = there.world.gateway.uncommitted._state
    await state.write(
        lambda connection: connection.exec_driver_sql(
            "UPDATE blob SET wrapped_key = zeroblob(61) WHERE id = (SELECT min(id) FROM blob)"
        )
    )
    await rotate(there)
    assert (await finished(there)).left == 1


@in_yard
async def test_a_version_is_destroyed_offline_and_only_when_nothing_needs_it(there: Yard) -> None:
    await there.world.declare(DECLARED)
    await there.create(WEIGHTS, by=there.train)
    commit = await there.write(WEIGHTS, {"a": b"one"}, by=there.train)
    await rotate(there)
    copy = await moved(there)  # as a crash would leave it: not everything is wrapped anew
    await destroy_key(copy, 1, there.world.clock)
    async with opened(there.world, copy) as after:
        after.train = there.train
        assert (await seen(after)).versions.keys() == {2}
        assert await after.read(WEIGHTS, "a", by=there.train, revision=commit) == b"one"
        assert any(record.get("what") == "DestroyKey" for record in await after.world.gateway.log.read(""))


async def moved(there: Yard) -> Path:
    """A copy of the data directory and its key file, as they lie on the disk now."""
    await there.world.gateway.uncommitted._state.empty_journal()
    return copied(there.world.directory, there.world.directory.parent / "copy")


def copied(directory: Path, place: Path) -> Path:
    """Copy a data directory with its key file to `place`."""
    shutil.copytree(directory, place / "gateway", ignore=shutil.ignore_patterns("lock"))
    shutil.copy(directory.parent / "kek", place / "kek")
    text = (place / "gateway" / "nomoat.toml").read_text()
    (place / "gateway" / "nomoat.toml").write_text(text.replace(f'"{directory.parent / "kek"}"', f'"{place / "kek"}"'))
    return place / "gateway"


@in_yard
async def test_backups_from_before_need_the_old_version(there: Yard) -> None:
    await there.world.declare(DECLARED)
    await there.create(WEIGHTS, by=there.train)
    commit = await there.write(WEIGHTS, {"a": b"one"}, by=there.train)
    root = there.world.directory.parent
    await asyncio.to_thread(back_up, there.world.directory, root / "backup", 1.0)
    await rotate(there)
    await finished(there)
    copy = await moved(there)
    await asyncio.to_thread(restore, root / "backup", root / "with", {}, there.world.clock, kek=root / "kek")
    async with opened(there.world, root / "with") as back:  # and it is wrapped anew, as by a crash
        assert await back.read(WEIGHTS, "a", by=there.train, revision=commit) == b"one"
        assert (await finished(back)).left == 0
    await destroy_key(copy, 1, there.world.clock)
    with pytest.raises(Corrupt, match=r"version 1|the key log"):
        await asyncio.to_thread(
            restore, root / "backup", root / "without", {}, there.world.clock, kek=copy.parent / "kek"
        )


# -- The table of crashes ---------------------------------------------------------------------------

STEPS: dict[str, tuple[object, str]] = {
    "sync": (os, "fsync"),
    "rename": (Path, "rename"),
    "unlink": (Path, "unlink"),
    "transaction": (State, "_transact"),
    "journal": (State, "_empty_journal"),
}


class Crash:
    """The process ends at the `number`-th step of a kind from `begin` on, before or after it."""

    def __init__(self, step: str, number: int, *, after: bool) -> None:
        self.owner, self.name = STEPS[step]
        self.number, self.after = number, after

    def begin(self) -> None:
        real = getattr(self.owner, self.name)

        def step(*args: object, **named: object) -> object:
            self.number -= 1
            if self.number == 0 and not self.after:
                os._exit(9)
            result = real(*args, **named)
            if self.number == 0:
                os._exit(9)
            return result

        setattr(self.owner, self.name, step)


@dataclass
class Prepared:
    """A data directory with two versions that share a content, and who may do what."""

    directory: Path
    admin: Actor
    train: Actor
    first: str
    second: str

    async def whole(self, after: "Yard") -> bool:
        """Whether the first version is there; what must always hold is asserted."""
        assert await after.read(WEIGHTS, "a", by=self.train, revision=self.second) == b"two"
        assert await after.read(WEIGHTS, "b", by=self.train, revision=self.second) == b"both"
        try:
            found = await after.read(WEIGHTS, "a", by=self.train, revision=self.first)
        except NotFound as error:
            found = error.reason.encode()
        assert found == b"one" or b"was shredded" in found
        return found == b"one"


@in_yard
async def _prepare(there: Yard) -> None:
    await there.world.declare(DECLARED)
    await there.create(WEIGHTS, by=there.train)
    first = await there.write(WEIGHTS, {"a": b"one", "b": b"both"}, by=there.train)
    second = await there.write(WEIGHTS, {"a": b"two"}, by=there.train)
    place = Prepared(there.world.directory, there.world.admin, there.train, first, second)
    place.directory = copied(there.world.directory, there.world.directory.parent / "prepared")
    PREPARED.append(place)


PREPARED: list[Prepared] = []


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    _prepare(tmp_path_factory.mktemp("prepared"))
    return PREPARED.pop()


async def rotating(there: Yard, place: Prepared) -> None:
    del place
    await rotate(there)
    await there.world.gateway.rewrapping.run_once()


async def shredding(there: Yard, place: Prepared) -> None:
    operation = ShredVersion(WEIGHTS, place.first, "asked for", (), keep_shared=True)
    async with there.guard.admit(there.world.admin.present(), operation) as permit:
        await there.world.gateway.shredder.shred(permit)
    await there.world.gateway.uncommitted.sweep()


Scenario = Callable[[Yard, Prepared], Awaitable[None]]


def crashed(place: Prepared, directory: Path, scenario: Scenario, crash: Crash) -> bool:
    """Run a scenario in a process of its own that crashes; return whether it did."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(_run(place, directory, scenario, crash.begin))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, 9}
    return os.waitstatus_to_exitcode(status) == 9


async def _run(place: Prepared, directory: Path, scenario: Scenario, begin: Callable[[], None]) -> None:
    async with _again(place, directory) as there:
        begin()
        await scenario(there, place)


@asynccontextmanager
async def _again(place: Prepared, directory: Path) -> AsyncGenerator[Yard]:
    clock = Clock()
    configuration: Configuration = load_configuration(directory)
    async with open_gateway(directory, configuration, clock, scan=Scanner(SCANNER).scan) as gateway:
        world = World(gateway, clock, HeldDisk(), directory)
        world.admin = place.admin
        yield Yard(world)


TABLE = [(rotating, step) for step in ("sync", "rename", "transaction")] + [(shredding, step) for step in STEPS]


# Python 3.12 and newer warn of it. The child runs an event loop of its own and nothing of the parent's threads.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("scenario", "step"), TABLE)
def test_a_crash_at_any_step_is_gone_on_with(
    scenario: Scenario, after: bool, step: str, prepared: Prepared, tmp_path: Path
) -> None:
    number = 0
    while True:
        number += 1
        directory = copied(prepared.directory, tmp_path / str(number))
        ended = crashed(prepared, directory, scenario, Crash(step, number, after=after))
        asyncio.run(_gone_on(prepared, directory, rotation=scenario is rotating, done=not ended))
        if not ended:
            break
        assert number < 60


async def _gone_on(place: Prepared, directory: Path, *, rotation: bool, done: bool) -> None:
    async with _again(place, directory) as there:
        gateway: Gateway = there.world.gateway
        emptied = (directory / "state.db-wal").stat().st_size == 0  # reading is noted in the state, below
        await gateway.rewrapping.run_once()
        now = await seen(there)
        assert now.left == 0
        assert now.newest == 2 if rotation and done else now.newest in {1, 2}
        whole = await place.whole(there)
        assert whole if rotation else not (done and whole)
        await gateway.uncommitted.sweep()
        blobs = [path for path in (directory / "objects").rglob("*") if path.is_file()]
        assert len(blobs) == (5 if whole else 3)  # a signature for each version among them
        assert now.versions[now.newest] == sum(now.versions.values())
        assert emptied or whole or rotation or done
