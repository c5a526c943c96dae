"""What the log does when the disk does not: nothing acknowledged is lost, nothing unwritten is acknowledged."""

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from nomoat.audit.commit import LogSettings
from nomoat.audit.log import Log
from nomoat.audit.outage import Mode
from nomoat.audit.verification import verify_directory
from nomoat.core.errors import Corrupt, Misuse, NoMoatError, TooLarge, Unavailable
from nomoat.core.record import Receipt, Record, RecordKind
from tests.audit.world import FAST, FaultyFiles, MemoryKeys, World, kept_records, opening, outcome, until

TABLE = [
    (kind, when, error)
    for kind, whens in (
        ("write", ("before", "after", "half")),
        ("sync", ("before", "after")),
        ("sync_directory", ("before", "after")),
        ("open", ("before",)),
    )
    for when in whens
    for error in (errno.EIO, errno.ENOSPC, errno.EROFS)
]


async def attempt(log: Log, record: Record) -> Receipt | None:
    try:
        return await log.append(record)
    except Unavailable:
        return None


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize(("kind", "when", "error"), TABLE)
def test_the_fault_table(tmp_path: Path, kind: str, when: str, error: int, times: int) -> None:
    """Every call fails, persisted or not, once or for a while; the log goes on by itself and verifies."""
    world = World(tmp_path / "log")
    files = FaultyFiles()
    settings = LogSettings(segment_size=20_000, reserve_size=64 * 1024, probe_interval=0.005, publish_interval=60)

    async def run() -> tuple[list[Receipt], int, bytes]:
        log = await world.open(files=files, settings=settings)
        first = await asyncio.gather(*(log.append(opening()) for _ in range(5)))
        for receipt in first:
            log.post(outcome(receipt))
        files.arm(kind, when, error, times)
        acknowledged, refused = list(first), 0
        for _ in range(60):
            results = await asyncio.gather(*(attempt(log, opening()) for _ in range(3)))
            receipts = [receipt for receipt in results if receipt is not None]
            acknowledged += receipts
            refused += results.count(None)
            for receipt in receipts:
                log.post(outcome(receipt))
            await asyncio.sleep(0.001)
        assert files.times == 0
        await until(lambda: log.mode is Mode.NORMAL)
        acknowledged.append(await log.append(opening()))
        await log.close()
        return acknowledged, refused, log.checkpoint()

    acknowledged, refused, checkpoint = asyncio.run(run())
    report = verify_directory(world.directory, world.key, [checkpoint])
    assert report.consistent, report.problems
    assert report.proven == report.records
    records = kept_records(world)
    assert [leaf.number for leaf, _ in records] == list(range(report.records))
    assert len({receipt.index for receipt in acknowledged}) == len(acknowledged)
    outages = [content for leaf, content in records if leaf.fields["what"] == "LogOutage"]
    assert sum(int(str(content["refused"])) for content in outages) == refused
    assert all(content["outcomes_lost"] == 0 for content in outages)
    closed = {leaf.of for leaf, _ in records if leaf.of is not None}
    opened = {leaf.number for leaf, _ in records if leaf.opens}
    # The last access alone was left open; refused ones that reached the disk were closed as interrupted.
    assert opened - closed == {acknowledged[-1].index}

    async def again() -> None:
        log = await world.open()
        await log.close()

    asyncio.run(again())
    assert verify_directory(world.directory, world.key, [checkpoint]).consistent


def test_nothing_is_acknowledged_while_a_sync_fails(tmp_path: Path) -> None:
    world, files = World(tmp_path / "log"), FaultyFiles()

    async def run() -> None:
        log = await world.open(files=files)
        size = log.size
        files.arm("sync", "before", errno.EIO, times=10**9)
        for _ in range(5):
            with pytest.raises(Unavailable) as refusal:
                await log.append(opening())
            assert refusal.value.part == "log"
        assert log.size == size
        assert log.mode is Mode.DOWN
        files.disarm()
        await until(lambda: log.mode is Mode.NORMAL)
        await log.append(opening())
        await log.close()

    asyncio.run(run())
    recovered = [content for leaf, content in kept_records(world) if leaf.fields["what"] == "LogOutage"]
    assert [content["refused"] for content in recovered] == [5]
    assert "Input/output error" in str(recovered[0]["why"])


def test_a_read_only_directory(tmp_path: Path) -> None:
    """A file system that went read-only refuses writes and new files; then it is writable again."""
    world, files = World(tmp_path / "log"), FaultyFiles()

    async def run() -> None:
        log = await world.open(files=files)
        files.arm("write", "before", errno.EROFS, times=10**9)
        assert await attempt(log, opening()) is None
        files.disarm()
        await until(lambda: log.mode is Mode.NORMAL)
        assert await attempt(log, opening()) is not None
        await log.close()

    asyncio.run(run())
    assert verify_directory(world.directory, world.key).consistent


def test_outcomes_wait_for_the_disk(tmp_path: Path) -> None:
    world, files = World(tmp_path / "log"), FaultyFiles()

    async def run() -> list[Receipt]:
        log = await world.open(files=files)
        receipts = await asyncio.gather(*(log.append(opening()) for _ in range(10)))
        files.arm("write", "before", errno.EIO, times=10**9)
        assert await attempt(log, opening()) is None
        for receipt in receipts:
            log.post(outcome(receipt))
        files.disarm()
        await until(lambda: log.mode is Mode.NORMAL)
        await log.close()
        return receipts

    receipts = asyncio.run(run())
    assert {leaf.of for leaf, _ in kept_records(world) if leaf.of is not None} == {r.index for r in receipts}
    assert verify_directory(world.directory, world.key).open == 0


def test_outcomes_beyond_memory_are_counted(tmp_path: Path) -> None:
    world, files = World(tmp_path / "log"), FaultyFiles()

    async def run() -> None:
        log = await world.open(files=files, settings=LogSettings(held_limit=20, probe_interval=0.01))
        receipt = await log.append(opening())
        files.arm("write", "before", errno.EIO, times=10**9)
        assert await attempt(log, opening()) is None
        for _ in range(27):
            log.post(outcome(receipt))
        files.disarm()
        await until(lambda: log.mode is Mode.NORMAL)
        await log.close()

    asyncio.run(run())
    content = next(content for leaf, content in kept_records(world) if leaf.fields["what"] == "LogOutage")
    assert content["outcomes_lost"] == 7


# -- A full disk ---------------------------------------------------------------------------------------


def test_on_a_full_disk_priority_and_outcomes_live_on_the_reserve(tmp_path: Path) -> None:
    world, files = World(tmp_path / "log"), FaultyFiles()

    async def run() -> None:
        log = await world.open(files=files, settings=replace(FAST, publish_interval=60))
        receipt = await log.append(opening())
        files.arm("write", "half", errno.ENOSPC, times=1)
        files.room = False
        assert await attempt(log, opening()) is None
        await until(lambda: log.mode is Mode.RESERVED)
        assert await attempt(log, opening()) is None
        revocation = Record(RecordKind.OPENING, "person:admin", "Revoke", "x", "allow", {"on": "x"}, priority=True)
        assert await attempt(log, revocation) is not None
        log.post(outcome(receipt))
        files.room = True
        await until(lambda: log.mode is Mode.NORMAL)
        assert await attempt(log, opening()) is not None
        await log.close()

    asyncio.run(run())
    report = verify_directory(world.directory, world.key)
    assert report.consistent, report.problems
    records = kept_records(world)
    revoked = next(leaf for leaf, _ in records if leaf.fields["what"] == "Revoke")
    recovered, content = next((leaf, c) for leaf, c in records if leaf.fields["what"] == "LogOutage")
    assert revoked.number < recovered.number
    assert content["refused"] == 2
    assert content["why"] == "the disk is full"


# -- The clock -----------------------------------------------------------------------------------------


def test_a_clock_set_back_refuses_until_it_catches_up(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open()
        receipt = await log.append(opening())
        world.clock.now -= 4
        second = await log.append(opening())
        world.clock.now -= 3600
        with pytest.raises(Unavailable) as refusal:
            await log.append(opening())
        assert refusal.value.part == "clock"
        log.post(outcome(receipt))
        log.post(outcome(second))
        world.clock.now += 3600
        await until(lambda: log.size >= second.index + 4)
        await log.append(opening())
        await log.close()

    asyncio.run(run())
    records = kept_records(world)
    content = next(content for leaf, content in records if leaf.fields["what"] == "LogOutage")
    assert (content["part"], content["refused"]) == ("clock", 1)
    assert len([leaf for leaf, _ in records if leaf.of is not None]) == 2
    assert verify_directory(world.directory, world.key).consistent


def test_a_clock_set_back_before_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open()
        await log.close()
        world.clock.now -= 60
        log = await world.open()
        with pytest.raises(Unavailable):
            await log.append(opening())
        world.clock.now += 60
        await log.append(opening())
        await log.close()

    asyncio.run(run())
    assert verify_directory(world.directory, world.key).consistent


def test_too_much_waiting_is_refused_and_counted(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> int:
        log = await world.open(settings=LogSettings(pending_size=100_000, probe_interval=0.01))
        await log.append(opening())
        results = await asyncio.gather(*(attempt(log, opening(padding="x" * 40_000)) for _ in range(10)))
        await until(lambda: log.size == 6)
        await log.close()
        return results.count(None)

    assert asyncio.run(run()) == 7
    recovered = [content for leaf, content in kept_records(world) if leaf.fields["what"] == "LogOutage"]
    assert [content["refused"] for content in recovered] == [7]


# -- Waiting, and content ------------------------------------------------------------------------------


def test_an_opening_whose_caller_left_is_closed(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open()
        await log.append(opening())
        task = asyncio.create_task(log.append(opening(on="left")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await log.close()

    asyncio.run(run())
    records = kept_records(world)
    left = next(leaf for leaf, content in records if content.get("on") == {"kind": "Dataset", "name": "left"})
    assert [content["outcome"] for leaf, content in records if leaf.of == left.number] == ["interrupted"]


def test_content_that_is_too_large_or_no_json(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open()
        with pytest.raises(TooLarge):
            await log.append(opening(padding="x" * 70_000))
        with pytest.raises(Misuse):
            await log.append(opening(wrong=1 << 70))
        receipt = await log.append(opening(name="lone \ud800 surrogate"))
        log.post(
            Record(
                RecordKind.OUTCOME,
                "person:scientist",
                "ReadFile",
                "",
                "",
                {"big": "x" * 70_000, "n": 1},
                of=receipt.index,
            )
        )
        await log.close()

    asyncio.run(run())
    contents = [content for _, content in kept_records(world)]
    assert any(content.get("name") == "lone \\ud800 surrogate" for content in contents)
    assert {"shortened": True, "n": 1} in contents


# -- Subject keys --------------------------------------------------------------------------------------


class FailingKeys(MemoryKeys):
    """Subject keys whose store fails while `error` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.error: NoMoatError | None = None

    def find(self, pseudonym: str) -> bytes | None:
        if self.error is not None:
            raise self.error
        return super().find(pseudonym)

    async def create(self, pseudonym: str) -> bytes:
        if self.error is not None:
            raise self.error
        return await super().create(pseudonym)


class LateKeys(MemoryKeys):
    """Subject keys that are found only when they were made, and cannot be made while `error` is set."""

    error: NoMoatError | None = None

    async def create(self, pseudonym: str) -> bytes:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return await super().create(pseudonym)


@pytest.mark.parametrize("kind", [FailingKeys, LateKeys])
@pytest.mark.parametrize("error", [Unavailable("state", "the database failed"), Corrupt("a wrapped key")])
def test_without_keys_nothing_is_recorded_and_outcomes_wait(
    tmp_path: Path, kind: type[FailingKeys | LateKeys], error: NoMoatError
) -> None:
    keys = kind()
    world = World(tmp_path / "log", keys=keys)

    async def run() -> None:
        log = await world.open()
        receipt = await log.append(opening("person:ann"))
        keys.error = error
        with pytest.raises(type(error)):
            await log.append(opening("person:new"))
        log.post(outcome(receipt, subject="person:other"))
        size = log.size
        await asyncio.sleep(0.03)
        assert log.size == size
        keys.error = None
        await until(lambda: log.size == size + 1)
        await log.append(opening("person:new", decision="deny"))
        await log.close()

    asyncio.run(run())
    assert verify_directory(world.directory, world.key).open == 0


def test_many_records_of_a_new_subject_make_one_key(tmp_path: Path) -> None:
    world = World(tmp_path / "log", keys=LateKeys())

    async def run() -> None:
        log = await world.open()
        receipts = await asyncio.gather(*(log.append(opening("person:new")) for _ in range(20)))
        assert len({receipt.index for receipt in receipts}) == 20
        await log.close()

    asyncio.run(run())
    assert len(kept_records(world)) == 22


def test_a_broken_outcome_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    world, files = World(tmp_path / "log"), FaultyFiles()

    async def run() -> None:
        log = await world.open(files=files)
        receipts = [await log.append(opening()) for _ in range(3)]
        files.arm("write", "before", errno.EIO, times=10**9)
        assert await attempt(log, opening()) is None
        wrong = Record(RecordKind.OUTCOME, "person:x", "ReadFile", "", "", {"n": 1 << 70}, of=receipts[0].index)
        for record in (outcome(receipts[0]), wrong, outcome(receipts[1]), outcome(receipts[2])):
            log.post(record)
        files.disarm()
        await until(lambda: log.mode is Mode.NORMAL)
        await log.close()

    asyncio.run(run())
    assert verify_directory(world.directory, world.key).open == 0
    lost = [int(str(c["outcomes_lost"])) for leaf, c in kept_records(world) if leaf.fields["what"] == "LogOutage"]
    assert sum(lost) == 1
