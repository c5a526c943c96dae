"""Retention never breaks verification, and destroying content without the log's key never passes for it."""

import asyncio
from pathlib import Path

import pytest

from nomoat.audit.checkpoint import NoteSigner
from nomoat.audit.commit import LogSettings
from nomoat.audit.evidence import Evidence
from nomoat.audit.forgotten import FORGOTTEN_FILE, Forgotten, read_forgotten
from nomoat.audit.log import Log
from nomoat.audit.report import Fault
from nomoat.audit.retention import Blanking, keep_statement
from nomoat.audit.segments import FrameKind, encode_frame, iterate_frames, list_segments, read_header
from nomoat.audit.verification import verify_directory
from nomoat.core.errors import Conflict, Corrupt
from nomoat.server.forgetting import due_at
from tests.audit.world import ORIGIN, World, opening, outcome

SMALL = LogSettings(segment_size=6000, reserve_size=64 * 1024, reserve_slice=16 * 1024, publish_interval=0.01)
DAY = 86400.0


def signer(world: World) -> NoteSigner:
    return NoteSigner(ORIGIN, world.signing_key)


async def write(world: World, days: int = 40) -> Log:
    """A log of an access a day."""
    log = await world.open(settings=SMALL)
    for day in range(days):
        receipt = await log.append(opening("person:ann", on=f"acme/{day}"))
        await log.append(outcome(receipt, subject="person:ann"))
        world.clock.now += DAY
    return log


def at(world: World, days_ago: float) -> str:
    return due_at(world.clock.now - (days_ago - 1) * DAY, {"ReadFile": 1}).before["ReadFile"]


def forget(world: World, forgotten: Forgotten) -> int:
    blanking = Blanking(world.directory)
    due = blanking.due(forgotten)
    whole = keep_statement(world.directory, forgotten, signer(world))
    return blanking.blank(due, whole, lambda: None)


def test_what_was_forgotten_is_proven_without_its_content(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await write(world)
        evidence = Evidence(log, world.directory, world.keys)
        _, opening_ = await evidence.receipt(1, disclose=True)
        assert opening_ is not None
        forget(world, Forgotten({"ReadFile": at(world, 10)}))
        with pytest.raises(Conflict, match="content of record 1 was erased or forgotten"):
            await evidence.receipt(1, disclose=True)
        assert (await evidence.receipt(1, disclose=False))[1] is None
        # Without the statement, and without an erasure, the same bytes are damage.
        (world.directory / FORGOTTEN_FILE).unlink()
        with pytest.raises(Corrupt):
            await evidence.receipt(1, disclose=True)
        await log.close()

    asyncio.run(run())


def test_what_is_past_its_time_is_gone_and_everything_still_proves(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await write(world)
        head, kept = log.size, log.checkpoint()
        proofs = [log.inclusion(number) for number in range(head)]
        everything = b"".join(path.read_bytes() for _, path in list_segments(world.directory))
        count = forget(world, Forgotten({"ReadFile": at(world, 10)}))
        assert 40 < count <= 60
        report = verify_directory(world.directory, world.key, [kept])
        assert (report.consistent, report.proven, report.forgotten) == (True, head, count)
        assert [log.inclusion(number) for number in range(head)] == proofs
        records = log.walk().take(log.size, most=1000)
        gone = [record for record in records if record.get("forgotten")]
        assert len(gone) == count
        assert all(record["what"] == "ReadFile" and "on" not in record for record in gone)
        assert all(str(record["at"]) < at(world, 10) for record in gone)
        assert not any("damaged" in record or "erased" in record for record in records)
        # Really gone: no byte of those boxes is left.
        left = b"".join(path.read_bytes() for _, path in list_segments(world.directory))
        assert len(left) == len(everything)
        assert sum(a != b for a, b in zip(left, everything, strict=True)) > count * 100
        # And the log goes on, also after a restart.
        await log.append(opening("person:ann"))
        await log.close()
        again = await world.open(settings=SMALL)
        assert verify_directory(world.directory, world.key, [kept]).consistent
        await again.close()

    asyncio.run(run())


def test_the_newest_segment_ends_so_that_it_can_be_blanked_and_a_walk_goes_on_through_it(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await write(world, 6)
        walk = log.walk()
        assert len(walk.take(log.size, most=5)) == 5
        ordinal = list_segments(world.directory)[-1][0]
        log.end_segment()
        await log.append(opening("person:ann"))
        await log.append(opening("person:ann"))
        assert list_segments(world.directory)[-1][0] == ordinal + 1
        assert forget(world, Forgotten({"ReadFile": at(world, 0)})) > 0
        rest = walk.take(log.size, most=1000)
        assert [record["n"] for record in rest] == list(range(5, log.size))
        await log.close()

    asyncio.run(run())


def blank_one(world: World) -> int:
    """Overwrite the content of one record that nothing allows to be forgotten, as an intruder would; return its number."""
    _, path = list_segments(world.directory)[0]
    data = path.read_bytes()
    _, start = read_header(data)
    frames = [frame for frame in iterate_frames(data, start) if frame.kind == FrameKind.RECORD]
    frame = frames[len(frames) // 2]
    blank = encode_frame(frame.kind, frame.entry, bytes(len(frame.body)))
    path.write_bytes(data[: frame.start] + blank + data[frame.end :])
    return frames.index(frame)


@pytest.mark.parametrize("statement", ["none", "another key", "a checkpoint", "another action", "garbage"])
def test_content_that_an_intruder_blanks_is_found(tmp_path: Path, statement: str) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await write(world)
        path = world.directory / FORGOTTEN_FILE
        match statement:
            case "another key":
                path.write_bytes(Forgotten({"ReadFile": "9999"}).sign(NoteSigner(ORIGIN, bytes(32))))
            case "a checkpoint":
                path.write_bytes(log.checkpoint())
            case "another action":
                path.write_bytes(Forgotten({"WriteFile": "9999"}).sign(signer(world)))
            case "garbage":
                path.write_bytes(b"\xff\n\nx")
        number = blank_one(world)
        report = verify_directory(world.directory, world.key)
        assert [problem.first for problem in report.problems if problem.fault is Fault.CONTENT] == [number]
        assert "damaged" in log.walk(number - 1).take(log.size, most=1)[0]
        assert report.forgotten == 0
        await log.close()

    asyncio.run(run())


def test_the_logs_own_life_is_never_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await write(world)
        forget(world, Forgotten({"LogOpened": "9999", "StateAdvanced": "9999"}))
        assert verify_directory(world.directory, world.key).forgotten == 0
        (first,) = log.walk().take(log.size, most=1)
        assert first["what"] == "LogOpened"
        assert "cut_bytes" in first
        await log.close()

    asyncio.run(run())


def test_a_segment_with_damage_in_it_is_left_as_evidence(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await write(world)
        _, path = list_segments(world.directory)[1]
        data = path.read_bytes()
        broken = data[:-300] + bytes([data[-300] ^ 1]) + data[-299:]
        path.write_bytes(broken)
        with pytest.raises(Corrupt):
            forget(world, Forgotten({"ReadFile": "9999"}))
        assert path.read_bytes() == broken
        await log.close()

    asyncio.run(run())


def test_what_was_said_to_be_gone_stays_so(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path / "log")
        log = await write(world)
        forget(world, Forgotten({"ReadFile": at(world, 10)}))
        forget(world, Forgotten({"ReadFile": at(world, 30)}))  # kept for longer now: nothing comes back
        assert read_forgotten(world.directory, world.key).before == {"ReadFile": at(world, 10)}
        assert verify_directory(world.directory, world.key).consistent
        assert Blanking(world.directory).due(Forgotten({"ReadFile": at(world, 10)})) == {}
        await log.close()

    asyncio.run(run())
