"""Aggregates are what counting one by one gives, whatever lies in columns already; and columns keep no secret."""

import asyncio
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from nomoat.audit.aggregates import GROUPINGS, parse_groupings
from nomoat.audit.events import Events
from nomoat.audit.log import Log
from nomoat.audit.query import Query, parse_query
from nomoat.audit.reports import Reports
from nomoat.audit.tabular import row
from nomoat.core.errors import Corrupt, Malformed
from nomoat.core.record import Json, Record, RecordKind
from nomoat.stores.chunks import StoredChunks
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys
from tests.audit.world import World, opening

HOSTILE = "acme/x'; DROP TABLE log; --"
THINGS = ["acme/digits", "acme/digits@3f9c:data/train.parquet", "acme/digits-2", "acme/other", HOSTILE]
QUERIES = [
    "",
    "on acme/digits",
    "by ann",
    "by person:ben refused",
    "allowed",
    "what ReadFile since 30d",
    f'on "{HOSTILE}"',
]


def run(tmp_path: Path, test: Callable[[Log, World, Reports, StoredChunks, Path], Awaitable[None]]) -> None:
    async def inner() -> None:
        world = World(tmp_path / "log")
        kek = KeyEncryptionKey.create(tmp_path / "kek")
        state = State.create(tmp_path / "state.db", kek.derive("state"))
        log = await world.open()
        chunks = StoredChunks(tmp_path / "columns", state, kek)
        try:
            await test(log, world, Reports(log, chunks, size=200), chunks, tmp_path)
        finally:
            await log.close()
            state.close()

    asyncio.run(inner())


async def fill(log: Log, accesses: int) -> None:
    draw = random.Random(accesses)  # noqa: S311 - a test's choices
    for _ in range(accesses):
        subject, on = draw.choice(["person:ann", "person:ben", "workload:train"]), draw.choice(THINGS)
        if draw.random() < 0.2:
            await log.append(opening(subject, on=on, decision="deny", why="no policy permits it"))
            continue
        receipt = await log.append(opening(subject, on=on))
        content: dict[str, Json] = {"outcome": "complete", "bytes": draw.randrange(1000)}
        await log.append(Record(RecordKind.OUTCOME, subject, "ReadFile", "", "", content, of=receipt.index))


def counted(log: Log, by: list[str], query: Query) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """The same one record at a time, in Python."""
    names = {
        "who": lambda c: f"{c[5]} {c[6]}".strip(),
        "what": lambda c: c[9],
        "on": lambda c: c[11],
        "decision": lambda c: c[15],
    }
    found: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for event in Events().tell(log.walk().take(log.size, most=100_000, room=1 << 30), query):
        if event["kind"] == "system":
            continue
        cells = row(event)
        sums = found[tuple(str(names[name](cells)) for name in by)]  # type: ignore[no-untyped-call]
        sums[0] += event["kind"] != "outcome"
        sums[1] += event["decision"] == "deny"
        sums[2] += int(str(event.get("bytes", 0)))
    return {group: (sums[0], sums[1], sums[2]) for group, sums in found.items()}


def told(rows: list[dict[str, Any]], by: list[str]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    return {tuple(str(each[name]) for name in by): (each["accesses"], each["refused"], each["bytes"]) for each in rows}


def test_an_aggregate_is_what_counting_gives_before_between_and_after_chunks(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, _: Path) -> None:
        for turn in range(3):
            await fill(log, 150 + turn)
            for by in (["who", "what"], ["on"], ["decision", "who", "on"]):
                for text in QUERIES:
                    query = parse_query(text, world.clock.now)
                    assert told(await reports.report(by, query, limit=1000), by) == counted(log, by, query), (by, text)
            while await reports.extend():
                pass
            assert len(chunks.list()) == log.size // 200
        whole = await reports.report(["what"], Query(), limit=1000)
        assert whole[0]["accesses"] == 150 + 151 + 152
        assert (await reports.report(["on"], Query(), limit=2)).__len__() == 2

    run(tmp_path, test)


def test_every_grouping_can_be_asked(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, _: Path) -> None:
        del world, chunks
        await fill(log, 120)
        await reports.extend()
        for name in GROUPINGS:
            rows = await reports.report([name], Query(), limit=1000)
            assert sum(each["accesses"] for each in rows) == 120, name

    run(tmp_path, test)


def test_no_name_lies_in_plaintext_and_a_changed_or_swapped_chunk_does_not_open(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        del world
        await fill(log, 300)
        while await reports.extend():
            pass
        files = sorted((at / "columns").iterdir())
        assert len(files) >= 2
        for file in files:
            content = file.read_bytes()
            assert b"acme" not in content
            assert b"PAR1" not in content
            assert file.stat().st_mode & 0o077 == 0
        one, two = files[0].read_bytes(), files[1].read_bytes()
        for broken in (two, one[:-1], bytes([one[0] ^ 1]) + one[1:]):
            files[0].write_bytes(broken)
            with pytest.raises(Corrupt, match="columns"):
                await reports.report(["who"], Query(), limit=10)
        files[0].write_bytes(one)
        assert await reports.report(["who"], Query(), limit=10)
        assert len(chunks.list()) == len(files)

    run(tmp_path, test)


def test_clearing_destroys_what_there_is_and_what_is_on_its_way(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        del world
        await fill(log, 400)
        assert await reports.extend()
        making = asyncio.create_task(reports.extend())
        await asyncio.sleep(0.01)
        await reports.clear("person:ann")
        await making
        assert chunks.list() == []
        assert list((at / "columns").iterdir()) == []
        while await reports.extend():
            pass
        assert sum(each["accesses"] for each in await reports.report(["who"], Query(), limit=10)) == 400

    run(tmp_path, test)


def test_attack_columns_outlive_an_erasure_that_was_cut_short(tmp_path: Path) -> None:
    """A crash right after the key was destroyed: a second try finds no key, so columns must be gone with the first."""

    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        del world
        await fill(log, 200)
        assert await reports.extend()
        keys = StoredSubjectKeys(chunks._state, KeyEncryptionKey.load(at / "kek"))
        await keys.create("ann")

        def fail(_: Connection) -> None:
            raise Corrupt("anything")

        with pytest.raises(Corrupt):
            await keys.destroy("ann", 7, log.forget, fail)
        assert (keys.find("ann") is not None, keys.newest_erasure(), len(chunks.list())) == (True, -1, 1)
        making = asyncio.create_task(reports.extend())
        assert await keys.destroy("ann", 7, log.forget, chunks.drop)
        await making
        assert (keys.find("ann"), keys.newest_erasure(), chunks.list()) == (None, 7, [])

    run(tmp_path, test)


@pytest.mark.parametrize("text", ["", "nothing", "who,who", "who;what", "who,what,on,day,why", "1"])
def test_a_grouping_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_groupings(text)


def test_the_process_that_answers_reads_and_writes_nothing_else(tmp_path: Path) -> None:
    """Even asked to in its own language."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for sql in (
        f"FROM read_text('{secret}')",
        f"COPY (SELECT 1) TO '{tmp_path / 'out'}'",
        "SELECT * FROM read_csv('https://example.org/x.csv')",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ):
        with (tmp_path / "rows").open("wb+") as rows:
            question = json.dumps({"chunks": [], "rest": rows.fileno(), "sql": sql, "values": []})
            command = [sys.executable, "-I", "-m", "nomoat.audit.aggregating"]
            done = subprocess.run(
                command,
                input=question,
                capture_output=True,
                text=True,
                pass_fds=[rows.fileno()],
                env={},
                cwd="/",
                check=False,
            )
        assert done.returncode != 0, sql
        assert "disabled by configuration" in done.stderr or "locked" in done.stderr or "Permission" in done.stderr, (
            done.stderr
        )
    assert not (tmp_path / "out").exists()
