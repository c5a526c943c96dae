"""Uploads that nobody commits are removed, through the door by which they came, and on record."""

import asyncio
from pathlib import Path

import pytest

from nomoat.core.errors import Malformed
from nomoat.core.operation import Change
from nomoat.core.principal import PrincipalKind
from nomoat.server.assembly import open_gateway
from nomoat.stores.uncommitted import LIFE_S
from tests.resources.world import DIGITS, Yard, in_yard, yard


def blobs(there: Yard) -> set[str]:
    return {path.name for path in (there.world.directory / "objects").glob("??/*")}


async def later(there: Yard, seconds: float) -> None:
    """So much later; certificates have run out meanwhile."""
    there.world.clock.now += seconds
    there.ingest = await there.world.joined(PrincipalKind.WORKLOAD, "ingest")


@in_yard
async def test_an_upload_that_nobody_commits_is_removed_and_may_be_sent_again(there: Yard) -> None:
    kept = await there.upload(DIGITS, b"committed")
    await there.commit(DIGITS, Change("data.csv", digest=kept.digest, size=kept.size))
    before = blobs(there)
    lost = await there.upload(DIGITS, b"never committed")
    (orphan,) = blobs(there) - before
    await later(there, LIFE_S - 60)
    assert await there.world.gateway.uncommitted.sweep() == 0
    await later(there, 60)
    assert await there.world.gateway.uncommitted.sweep() == 1
    assert blobs(there) == before
    assert orphan not in before
    (record,) = [record for record in await there.world.gateway.log.read("") if record.get("what") == "RemoveContents"]
    assert (record["kind"], record["contents"]) == ("system", 1)
    assert isinstance(record["bytes"], int)
    assert record["bytes"] > len(b"never committed")
    naming = Change("lost.csv", digest=lost.digest, size=lost.size)
    with pytest.raises(Malformed, match=r"of lost\.csv was not uploaded; upload the file again"):
        await there.commit(DIGITS, naming)
    assert await there.read(DIGITS, "data.csv") == b"committed"
    assert await there.grant(DIGITS, b"never committed"), "it is asked for again"
    await there.upload(DIGITS, b"never committed")
    await there.commit(DIGITS, naming)
    assert await there.read(DIGITS, "lost.csv") == b"never committed"


@in_yard
async def test_a_file_that_was_replaced_or_deleted_stays_in_its_revision(there: Yard) -> None:
    first = await there.write(DIGITS, {"a.txt": b"1", "b.txt": b"2"})
    await there.write(DIGITS, {"a.txt": b"3"})
    await there.commit(DIGITS, Change("b.txt", removal=True))
    await later(there, 3 * LIFE_S)
    assert await there.world.gateway.uncommitted.sweep() == 0
    assert await there.read(DIGITS, "a.txt", revision=first) == b"1"
    assert await there.read(DIGITS, "b.txt", revision=first) == b"2"


def test_the_next_start_removes_it_too(tmp_path: Path) -> None:
    async def play() -> None:
        async with yard(tmp_path) as there:
            await there.write(DIGITS, {"a.txt": b"1"})
            before = blobs(there)
            await there.upload(DIGITS, b"never committed")
            assert blobs(there) != before
            directory, gateway, clock = there.world.directory, there.world.gateway, there.world.clock
        clock.now += LIFE_S
        async with open_gateway(directory, gateway.configuration, clock) as again:
            for _ in range(1000):
                if blobs(there) == before:
                    break
                await asyncio.sleep(0.01)
            assert blobs(there) == before
            assert any(record.get("what") == "RemoveContents" for record in await again.log.read(""))

    asyncio.run(play())
