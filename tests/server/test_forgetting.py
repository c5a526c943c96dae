"""What was forgotten because its time was over is gone from everything that was made of it, too."""

import asyncio
import errno
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import duckdb
import pytest

from nomoat.audit import reports as columns
from nomoat.audit.evidence import Evidence
from nomoat.audit.indexing import ERASED
from nomoat.audit.query import Query
from nomoat.audit.retention import Blanking
from nomoat.audit.terms import Terms
from nomoat.core.errors import Conflict
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.backup import back_up
from nomoat.server.columning import keep_columns
from nomoat.server.configuration import Configuration
from nomoat.server.indexing import keep_indexed
from nomoat.server.initialize import initialize
from nomoat.server.names import INDEX_FILE
from nomoat.server.restore import restore
from nomoat.server.retention import forget_due
from nomoat.stores.chunks import StoredChunks
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.postings import Damaged, Postings
from nomoat.stores.state import State
from tests.audit.world import Clock, FaultyFiles, opening, until

CANARY = "acme/canary-7c41"
KEPT = {"ReadFile": 30}
NOBODY = {"NOMOAT_HOME": "/nonexistent"}


@asynccontextmanager
async def kept(data: Path, configuration: Configuration, clock: Clock) -> AsyncGenerator[Gateway]:
    """A gateway whose index and columns are kept, as `nomoat serve` has them kept."""
    async with open_gateway(data, configuration, clock) as gateway:
        keeping = [asyncio.create_task(keep(gateway, data)) for keep in (keep_indexed, keep_columns)]
        try:
            yield gateway
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.wait(keeping)


async def initialized(tmp_path: Path) -> tuple[Path, Configuration, Clock]:
    data, clock = tmp_path / "data", Clock(time.time())
    configuration = Configuration("acme.example", "127.0.0.1", 0, ("127.0.0.1",), tmp_path / "kek")
    await initialize(data, configuration, "ann@acme.example", clock)
    return data, configuration, clock


async def read_the_canary(gateway: Gateway, data: Path) -> None:
    """Have more accesses to the canary than a chunk holds, and wait until they are in the index and columns."""
    accesses = (gateway.log.append(opening("person:ann", CANARY, "deny")) for _ in range(columns.CHUNK + 10))
    await asyncio.gather(*accesses)
    await until(lambda: gateway.index.size == gateway.log.size and list((data / "columns").glob("*")) != [], 60)


def in_index(data: Path, kek: KeyEncryptionKey) -> int:
    """How many records of the file on the disk have the canary's term."""
    key = kek.derive("index")
    postings = Postings.reader(data / INDEX_FILE, key)
    try:
        term = Terms(key).term("on", CANARY)
        return sum(len(postings.places(number, term)) for number, _, _ in postings.blocks())
    finally:
        postings.close()


def in_columns(data: Path, kek: KeyEncryptionKey, place: Path) -> int:
    """How many rows in the files on the disk that can be opened name the canary."""
    state, found = State.open(data / "state.db", kek.derive("state")), 0
    try:
        chunks = StoredChunks(data / "columns", state, kek)
        for chunk in chunks.list():
            place.write_bytes(chunks.open(chunk))
            with duckdb.connect() as connection:  # every column as text: wherever it may stand
                connection.execute(
                    "SELECT count(*) FROM read_parquet(?) AS said WHERE contains(said::VARCHAR, ?)",
                    [str(place), CANARY],
                )
                found += connection.fetchall()[0][0]
    finally:
        state.close()
    return found


async def told(gateway: Gateway) -> tuple[int, int]:
    """How many records search and report find for the canary."""
    query = Query(on=(CANARY,))
    found = await asyncio.to_thread(gateway.index.search, query, after=-1, limit=1000, size=gateway.log.size)
    rows = (await gateway.reports.report(["what"], query, limit=10)).rows
    return len(found), sum(row["accesses"] for row in rows)


def test_after_retention_a_canary_is_nowhere_in_the_index_and_columns(tmp_path: Path) -> None:
    async def run() -> None:
        data, configuration, clock = await initialized(tmp_path)
        kek = KeyEncryptionKey.load(configuration.kek)
        async with kept(data, configuration, clock) as gateway:
            await read_the_canary(gateway, data)
            assert await told(gateway) == (1000, columns.CHUNK + 10)
            assert in_index(data, kek) == columns.CHUNK + 10
            assert in_columns(data, kek, tmp_path / "parquet") > columns.CHUNK - 100
            old = {path: path.read_bytes() for path in (data / "columns").iterdir()}
            clock.now += 31 * 86400
            forgotten = await forget_due(gateway, data, Blanking(data / "log"), KEPT)
            assert forgotten == columns.CHUNK + 10
            # At once, before anything is made anew, and on the disk as soon as it is.
            assert await told(gateway) == (0, 0)
            assert in_columns(data, kek, tmp_path / "parquet") == 0
            await until(partial(made_anew, data, kek, gateway), 60)
            assert in_index(data, kek) == 0
            await until(lambda: list((data / "columns").glob("*")) != [], 60)
            assert in_columns(data, kek, tmp_path / "parquet") == 0
            assert not any(path.exists() and path.read_bytes() == content for path, content in old.items())
            assert await told(gateway) == (0, 0)

    asyncio.run(run())


def made_anew(data: Path, kek: KeyEncryptionKey, gateway: Gateway) -> bool:
    """Whether the index on the disk is one of after the newest forgetting, and has every record."""
    try:
        postings = Postings.reader(data / INDEX_FILE, kek.derive("index"))
    except Damaged:  # it is only being made
        return False
    try:
        forgot = int(postings.fact(ERASED)) >= 0
        return forgot and int(postings.fact("size")) == gateway.log.size
    except (Damaged, ValueError):
        return False
    finally:
        postings.close()


def test_attack_columns_and_index_outlive_a_retention_that_was_cut_short(tmp_path: Path) -> None:
    """What is blanked is due no more, so all that was made of it goes first, and what is made meanwhile holds none."""

    async def run() -> None:
        data, configuration, clock = await initialized(tmp_path)
        kek = KeyEncryptionKey.load(configuration.kek)
        async with kept(data, configuration, clock) as gateway:
            await read_the_canary(gateway, data)
            clock.now += 31 * 86400
            files = FaultyFiles()
            files.arm("open", "before", errno.EIO)
            with pytest.raises(OSError, match="Input/output error"):
                await forget_due(gateway, data, Blanking(data / "log", files), KEPT)
            assert in_columns(data, kek, tmp_path / "parquet") == 0
            assert await told(gateway) == (0, 0)
            await until(partial(made_anew, data, kek, gateway), 60)
            assert in_index(data, kek) == 0
            await until(lambda: list((data / "columns").glob("*")) != [], 60)
            assert in_columns(data, kek, tmp_path / "parquet") == 0
            assert await told(gateway) == (0, 0)
            # Nothing was blanked yet, but nobody discloses it either, and the next turn does blank it.
            (gone, *_) = await gateway.log.read("what ReadFile", limit=1)
            evidence = Evidence(gateway.log, data / "log", gateway.subject_keys)
            number = int(str(gone["n"]))
            assert (await evidence.receipt(number, disclose=False))[1] is None
            with pytest.raises(Conflict, match=f"the content of record {number} was erased or forgotten"):
                await evidence.receipt(number, disclose=True)
            assert await forget_due(gateway, data, Blanking(data / "log"), KEPT) == columns.CHUNK + 10
            with pytest.raises(Conflict, match="forgotten"):
                await evidence.receipt(number, disclose=True)

    asyncio.run(run())


def test_a_backup_has_neither_index_nor_columns_and_what_is_restored_searches_and_counts_without_them(
    tmp_path: Path,
) -> None:
    async def fill() -> Configuration:
        data, configuration, clock = await initialized(tmp_path)
        async with kept(data, configuration, clock) as gateway:
            await read_the_canary(gateway, data)
        return configuration

    configuration = asyncio.run(fill())
    back_up(tmp_path / "data", tmp_path / "backup", time.time())
    names = {path.relative_to(tmp_path / "backup").parts[0] for path in (tmp_path / "backup").rglob("*")}
    assert names == {"manifest.json", "nomoat.toml", "state.db", "keys", "public", "log"}
    restore(tmp_path / "backup", tmp_path / "restored", NOBODY, time.time)

    async def look() -> None:
        async with kept(tmp_path / "restored", configuration, Clock(time.time())) as gateway:
            assert await told(gateway) == (1000, columns.CHUNK + 10)
            await until(lambda: list((tmp_path / "restored" / "columns").glob("*")) != [], 60)
            assert await told(gateway) == (1000, columns.CHUNK + 10)

    asyncio.run(look())


def test_a_backup_of_a_log_that_has_forgotten_is_restored_and_remembers_that(tmp_path: Path) -> None:
    async def forget() -> Configuration:
        data, configuration, clock = await initialized(tmp_path)
        async with open_gateway(data, configuration, clock) as gateway:
            await gateway.log.append(opening("person:ann", CANARY, "deny"))
            clock.now += 31 * 86400
            assert await forget_due(gateway, data, Blanking(data / "log"), KEPT) == 1
        return configuration

    configuration = asyncio.run(forget())
    back_up(tmp_path / "data", tmp_path / "backup", time.time())
    restore(tmp_path / "backup", tmp_path / "restored", NOBODY, lambda: time.time() + 31 * 86400)

    async def look() -> None:
        async with open_gateway(tmp_path / "restored", configuration, Clock(time.time() + 31 * 86400)) as gateway:
            (gone,) = await gateway.log.read("what ReadFile")
            assert gone["forgotten"] is True
            assert "damaged" not in gone

    asyncio.run(look())
