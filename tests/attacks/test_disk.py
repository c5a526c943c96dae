"""Attacks by who can write below the data directory, or starts what should not run."""

import asyncio
import hashlib
import os
import time
from pathlib import Path

import pytest

from nomoat.core.errors import Corrupt, Misuse, TooLarge, Unavailable
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize
from nomoat.server.lock import locked
from nomoat.server.serve import serve
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.objects import Objects
from tests.audit.world import World, kept_records, opening


def test_attack_one_flipped_bit_hides_no_record_from_a_search(tmp_path: Path) -> None:
    """Everything behind it in its segment was left out of every search, without a word."""
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open()
        for number in range(20):
            await log.append(opening(f"person:p{number}"))
        assert len(await log.read("what ReadFile")) == 20
        (segment,) = (tmp_path / "log").glob("*.segment")
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 1
        segment.write_bytes(data)
        with pytest.raises(Corrupt):
            await log.read("what ReadFile")
        await log.close()

    asyncio.run(run())


def test_attack_a_time_at_the_end_of_the_calendar_is_a_query_like_any_other(tmp_path: Path) -> None:
    """It was a bug of ours, for whoever may read the log."""
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open()
        await log.append(opening("person:ann"))
        assert await log.read("since 9999-12-31T23:59:59-23:59") == []
        assert await log.read("since 0001-01-01T00:00:00+23:59 what ReadFile")
        await log.close()

    asyncio.run(run())


def made(root: Path) -> Path:
    directory = root / "gateway"
    configuration = Configuration("acme.example", "127.0.0.1", 0, ("127.0.0.1",), root / "kek")
    asyncio.run(initialize(directory, configuration, "admin@acme.example", time.time))
    return directory


def refused(directory: Path) -> str:
    with pytest.raises((Unavailable, Corrupt)) as error:
        asyncio.run(asyncio.wait_for(serve(directory, time.time, lambda _: pytest.fail("it listens")), 20))
    return str(error.value)


def test_attack_a_second_gateway_on_one_directory_does_not_start(tmp_path: Path) -> None:
    directory = made(tmp_path)
    log = sorted((path, path.stat().st_size) for path in (directory / "log").iterdir())
    with locked(directory):
        assert "another gateway" in refused(directory)
        (tmp_path / "alias").symlink_to(directory)
        assert "another gateway" in refused(tmp_path / "alias")
    assert sorted((path, path.stat().st_size) for path in (directory / "log").iterdir()) == log


def test_attack_swapped_weak_or_foreign_keys_do_not_start(tmp_path: Path) -> None:
    directory, kek = made(tmp_path), tmp_path / "kek"
    tokens, server = (directory / "keys" / f"{name}.key" for name in ("tokens", "server"))
    kept, sound = tokens.read_bytes(), kek.read_bytes()
    tokens.write_bytes(server.read_bytes())  # one key in the place of another
    refused(directory)
    tokens.write_bytes(kept)
    kek.chmod(0o644)
    refused(directory)
    kek.chmod(0o600)
    kek.write_text("nomoat-kek-1:" + "A" * 43 + "=\n")  # thirty-two zeroes
    refused(directory)
    kek.write_bytes(sound)
    state = directory / "state.db"
    damaged = bytearray(state.read_bytes())
    damaged[100] ^= 1
    state.write_bytes(damaged)
    refused(directory)


@pytest.mark.parametrize("size", [5, 200_000])
def test_attack_a_pipe_in_the_place_of_a_content_stops_nobody(tmp_path: Path, size: int) -> None:
    """Opening it waited for somebody to write, and with it the event loop: no request, no revocation."""
    objects, content = Objects(tmp_path / "objects", KeyEncryptionKey(bytes(range(32)))), b"x" * size
    digest = hashlib.sha256(content).hexdigest()

    async def run() -> None:
        with objects.begin("r", digest, size) as upload:
            upload.write(content)
            stored = await upload.finish()
        place = tmp_path / "objects" / stored.id[:2] / stored.id
        place.unlink()
        os.mkfifo(place)
        opening = asyncio.create_task(asyncio.to_thread(objects.open, stored, "r", digest))
        done, _ = await asyncio.wait([opening], timeout=3)
        if not done:
            os.close(os.open(place, os.O_WRONLY | os.O_NONBLOCK))  # let the thread go
        with pytest.raises((Corrupt, Unavailable)):
            await opening
        assert done, "it waited"

    asyncio.run(run())


def test_attack_a_record_that_cannot_be_sealed_takes_no_other_with_it(tmp_path: Path) -> None:
    """It is refused where it enters. Later, its whole batch was lost, its waiters waited for good, and numbers were
    left out, so that nothing that came after could be verified."""
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open()
        with pytest.raises((Misuse, TooLarge)):
            async with asyncio.timeout(3):
                await log.append(opening()._replace(what="x" * 70_000))
        async with asyncio.timeout(3):
            await log.append(opening())
        await log.close()

    asyncio.run(run())
    numbers = [leaf.number for leaf, _ in kept_records(world)]
    assert numbers == list(range(len(numbers)))
