"""What the log knows of the state's generation: nothing that was acknowledged is forgotten, nothing is made up."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from nomoat.audit.commit import LogSettings
from nomoat.audit.log import Log
from nomoat.audit.segments import FrameKind, iterate_frames, list_segments, read_header
from nomoat.core.errors import Corrupt, Unavailable
from tests.audit.attacks import put_together, take_apart
from tests.audit.world import FAST, FaultyFiles, World, opening

SMALL = LogSettings(segment_size=4096, reserve_size=0, probe_interval=0.01, publish_interval=0.01)


def content_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def use(
    world: World,
    fn: Callable[[Log], Awaitable[None]],
    state: int | None = None,
    settings: LogSettings = FAST,
    files: FaultyFiles | None = None,
) -> None:
    async def run() -> None:
        log = await world.open(state=state, settings=settings, files=files)
        try:
            await fn(log)
        finally:
            await log.close()

    asyncio.run(run())


async def nothing(_: Log) -> None:
    pass


def learning(*generations: int) -> Callable[[Log], Awaitable[None]]:
    async def learn(log: Log) -> None:
        for generation in generations:
            await log.learn(generation)

    return learn


def refused(world: World, state: int, error: type[Exception] = Unavailable) -> str:
    before = content_of(world.directory)
    with pytest.raises(error) as raised:
        use(world, nothing, state)
    assert content_of(world.directory) == before, "nothing is repaired or written beside an older state"
    return str(raised.value)


def test_a_state_behind_the_log_is_refused_and_the_log_is_left_as_it_is(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    use(world, learning(3, 7))
    said = refused(world, 6)
    for word in ("generation 6", "knows of 7", "state.db", "nomoat recover", "--older-state"):
        assert word in said
    refused(world, 0)
    for newest in (7, 8, 1 << 40):
        use(world, nothing, newest)
    use(world, nothing, None)


def test_a_log_that_was_told_of_no_state_takes_any(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    use(world, nothing)
    use(world, nothing, 0)


def test_learning_of_something_older_takes_nothing_back(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    use(world, learning(7, 3))
    refused(world, 6)
    use(world, nothing, 7)


def test_what_an_older_segment_says_counts(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def outgrow(log: Log) -> None:
        await log.learn(5)
        for number in range(40):
            await log.append(opening(f"person:p{number}"))

    use(world, outgrow, settings=SMALL)
    assert len(list_segments(world.directory)) > 4
    refused(world, 4)
    use(world, nothing, 5)


def test_attack_an_older_segment_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    """The record that says the generation is taken out of its segment, frame and all."""
    world = World(tmp_path / "log")

    async def outgrow(log: Log) -> None:
        await log.learn(5)
        for number in range(40):
            await log.append(opening(f"person:p{number}"))

    use(world, outgrow, settings=SMALL)
    first = list_segments(world.directory)[0][1]
    parts = take_apart(first)
    kept = [part for part in parts if b"StateAdvanced" not in part.entry]
    assert len(kept) == len(parts) - 1
    put_together(first, kept)
    refused(world, 4, Corrupt)


def test_attack_a_record_whose_content_was_spoilt_is_not_passed_over(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    use(world, learning(5))
    ((_, path),) = list_segments(world.directory)
    parts = take_apart(path)
    at = next(at for at, part in enumerate(parts) if b"StateAdvanced" in part.entry)
    parts[at].body = parts[at].body[:-1] + bytes([parts[at].body[-1] ^ 1])
    put_together(path, parts)
    refused(world, 4, Corrupt)


def test_a_record_whose_checkpoint_a_crash_tore_off_counts(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    use(world, learning(5))
    ((_, path),) = list_segments(world.directory)
    data = path.read_bytes()
    _, start = read_header(data)
    frames = list(iterate_frames(data, start))
    said = next(at for at, frame in enumerate(frames) if b"StateAdvanced" in frame.entry)
    assert frames[said + 1].kind == FrameKind.CHECKPOINT
    path.write_bytes(data[: frames[said].end + 10])
    (world.directory / "checkpoint").unlink()
    refused(world, 4)
    use(world, nothing, 5)
    refused(world, 4)


@pytest.mark.parametrize("kind", ["write", "sync"])
@pytest.mark.parametrize("when", ["before", "half", "after"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("times", [1, 2, 3, 5])
def test_whatever_the_disk_does_what_was_acknowledged_counts(
    tmp_path: Path, kind: str, when: str, error: int, times: int
) -> None:
    """At each return of `learn` the files as they lie there know of it, also while the log is being mended."""
    world, disk, known = World(tmp_path / "log"), FaultyFiles(), 0

    async def run() -> None:
        nonlocal known
        log = await world.open(files=disk)
        await log.learn(1)
        disk.arm(kind, when, error, times)
        for generation in range(2, 12):
            try:
                await log.learn(generation)
            except Unavailable:
                await asyncio.sleep(0.01)
                continue
            known = generation
            image = World(tmp_path / f"image{generation}", world.signing_key, world.pseudonym_key, world.keys)
            image.directory.mkdir()
            for path in world.directory.glob("*.segment"):
                (image.directory / path.name).write_bytes(path.read_bytes())
            with pytest.raises(Unavailable, match="older copy"):
                await image.open(state=generation - 1)
            again = await image.open(state=generation)
            await again.close()
        await log.close()

    asyncio.run(run())
    assert known == 11
    refused(world, 10)
    use(world, nothing, 11)
