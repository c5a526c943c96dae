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
from nomoat.audit.chunking import Chunker, Made
from nomoat.audit.events import Events
from nomoat.audit.following import BEFORE
from nomoat.audit.log import Log
from nomoat.audit.query import Query, parse_query
from nomoat.audit.reports import Reports
from nomoat.audit.tabular import row
from nomoat.core.errors import Corrupt, Malformed, Unavailable
from nomoat.core.record import Json, Record, RecordKind
from nomoat.stores.chunks import StoredChunks
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys
from tests.audit.world import MemoryKeys, World, opening

HOSTILE = "acme/x'; DROP TABLE log; --"
THINGS = ["acme/digits", "acme/digits@3f9c:data/train.parquet", "acme/digits-2", "acme/other", HOSTILE]
QUERIES = [
    "",
    "on acme/digits",
    "by ann",
    "by person:ben refused",
    "allowed",
    "what ReadFile since 30d",
    "until 5s",
    "since 20s until 5s refused",
    "label pii",
    "label pii label raw by ann",
    "label no-such",
    "session s-1",
    "session s-1 session s-2",
    "on acme/listed:b.txt",
    "on acme/listed by ben",
    f'on "{HOSTILE}"',
]


async def extend(reports: Reports, log: Log) -> bool:
    chunker = Chunker(log.walk)

    async def make(after: int, most: int) -> Made:
        return await asyncio.to_thread(chunker.make, after, most)

    return await reports.extend(make)


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


async def fill(world: World, log: Log, accesses: int) -> None:
    draw = random.Random(accesses)  # noqa: S311 - a test's choices
    for _ in range(accesses):
        world.clock.now += 0.1
        subject, on = draw.choice(["person:ann", "person:ben", "workload:train"]), draw.choice(THINGS)
        kind, _, name = subject.partition(":")
        refused = draw.random() < 0.2
        content: dict[str, Json] = {
            "who": {"kind": kind, "name": name, "session": draw.choice(["s-1", "s-2"])},
            "on": {"kind": "File", "name": on, "labels": draw.choice([["pii"], ["pii", "raw"], ["no-such-one"], []])},
        }
        if draw.random() < 0.1:
            content["all"] = {"count": 2, "names": ["acme/listed:a.txt", "acme/listed@3f9c:b.txt"]}
        if draw.random() < 0.1:
            content["on"] = {"requested": on}
        decision = "deny" if refused else "allow"
        receipt = await log.append(Record(RecordKind.OPENING, subject, "ReadFile", on, decision, content))
        if refused:
            continue
        ending: dict[str, Json] = {"outcome": "complete", "bytes": draw.randrange(1000)}
        decision = "deny" if draw.random() < 0.1 else ""  # its content was refused
        await log.append(Record(RecordKind.OUTCOME, subject, "ReadFile", "", decision, ending, of=receipt.index))


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
            await fill(world, log, 150 + turn)
            for number, text in enumerate(QUERIES, turn):
                by = (["who", "what"], ["on"], ["decision", "who", "on"])[number % 3]
                query = parse_query(text, world.clock.now)
                found = await reports.report(by, query, limit=1000)
                assert told(found.rows, by) == counted(log, by, query), (by, text)
                assert (found.groups, found.counted) == (len(found.rows), log.size)
            while await extend(reports, log):
                pass
            assert sum(each.last - each.first + 1 for each in chunks.list()) == log.size // 200 * 200
        whole = await reports.report(["what"], Query(), limit=1000)
        assert whole.rows[0]["accesses"] == 150 + 151 + 152
        few = await reports.report(["on"], Query(), limit=2)
        assert (len(few.rows), few.groups) == (2, len(THINGS))

    run(tmp_path, test)


def test_every_grouping_can_be_asked(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, _: Path) -> None:
        del chunks
        await fill(world, log, 120)
        await extend(reports, log)
        for name in GROUPINGS:
            rows = (await reports.report([name], Query(), limit=1000)).rows
            assert sum(each["accesses"] for each in rows) == 120, name

    run(tmp_path, test)


def test_no_name_lies_in_plaintext_and_columns_that_were_changed_swapped_or_lost_are_made_anew(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        spoils: list[Callable[[bytes, bytes], bytes]] = [
            lambda _, two: two,
            lambda one, _: one[:-1],
            lambda one, _: bytes([one[0] ^ 1]) + one[1:],
            lambda *_: b"",
        ]
        for spoil in spoils:
            for accesses in (150, 151):
                await fill(world, log, accesses)
                assert await extend(reports, log)
            one, two, *_ = sorted((at / "columns").iterdir())
            for file in (one, two):
                content = file.read_bytes()
                assert b"acme" not in content
                assert b"PAR1" not in content
                assert file.stat().st_mode & 0o077 == 0
            expected = counted(log, ["who"], Query())
            if spoiled := spoil(one.read_bytes(), two.read_bytes()):
                one.write_bytes(spoiled)
            else:
                one.unlink()
            # Never a wrong answer: this one is of the log itself.
            assert told((await reports.report(["who"], Query(), limit=10)).rows, ["who"]) == expected
            assert chunks.list() == []

    run(tmp_path, test)


def test_clearing_destroys_what_there_is_and_what_is_on_its_way(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        await fill(world, log, 400)
        assert await extend(reports, log)
        making = asyncio.create_task(extend(reports, log))
        await asyncio.sleep(0.01)
        await reports.clear("person:ann")
        await making
        assert chunks.list() == []
        assert list((at / "columns").iterdir()) == []
        while await extend(reports, log):
            pass
        assert sum(each["accesses"] for each in (await reports.report(["who"], Query(), limit=10)).rows) == 400

    run(tmp_path, test)


def test_the_bytes_of_an_access_count_where_it_does_however_long_it_took(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, _: Path) -> None:
        del world, chunks
        long = await log.append(opening("person:ann", on="acme/digits:long"))
        for _turn in range(BEFORE + 300):
            await log.append(opening("person:ben", decision="deny"))
            if log.size == 250:
                assert await extend(reports, log)
        await log.append(Record(RecordKind.OUTCOME, "person:ann", "ReadFile", "", "", {"bytes": 77}, of=long.index))
        assert await extend(reports, log)
        for text in ("on acme/digits:long", "by ann", "", f"record {long.index}"):
            found = await reports.report(["who", "on"], parse_query(text, 0), limit=10)
            told = {row["who"]: (row["accesses"], row["bytes"]) for row in found.rows}
            assert told["person ann"] == (1, 77), text
            assert "" not in told

    run(tmp_path, test)


def test_an_erased_person_is_counted_under_a_pseudonym_with_no_thing(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        del chunks, at
        await fill(world, log, 300)
        assert await extend(reports, log)
        before = {row["who"]: row["accesses"] for row in (await reports.report(["who"], Query(), limit=10)).rows}
        pseudonym = log.pseudonym("person:ann")
        assert isinstance(world.keys, MemoryKeys)
        del world.keys.keys[pseudonym]
        await reports.clear("person:ann")
        rows = (await reports.report(["who", "thing"], Query(), limit=1000)).rows
        assert "person ann" in before
        assert not any("ann" in row["who"] for row in rows)
        erased = [(row["thing"], row["accesses"]) for row in rows if row["who"] == pseudonym]
        assert erased == [("", before["person ann"])]

    run(tmp_path, test)


def test_things_are_counted_in_all_their_versions(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        del world, chunks, at
        for on in ("acme/d:a", "acme/d@3f9c:a", "acme/d@77:a", "acme/d:b"):
            await log.append(opening(on=on))
        rows = (await reports.report(["thing"], Query(), limit=10)).rows
        assert {row["thing"]: row["accesses"] for row in rows} == {"acme/d:a": 3, "acme/d:b": 1}

    run(tmp_path, test)


def test_a_report_that_lacks_records_says_so_and_one_that_waits_lacks_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, _: Path) -> None:
        monkeypatch.setattr("nomoat.audit.reports.FARTHEST_BEHIND", 300)
        await fill(world, log, 250)
        with pytest.raises(Unavailable, match=r"none of the \d+ records can be counted yet: ask again in a minute"):
            await reports.report(["who"], Query(), limit=10)
        assert await extend(reports, log)
        whole = await reports.report(["who"], Query(), limit=10)
        assert (whole.counted, whole.size, whole.missing_since) == (log.size, log.size, None)
        await fill(world, log, 400)
        (chunk,) = chunks.list()
        # What it says it counts is what it counts.
        until = log.walk().take(chunk.last + 1, most=100_000)
        part = await reports.report(["who"], Query(), limit=10)
        assert (part.counted, part.size) == (chunk.last + 1, log.size)
        assert part.missing_since == str(until[-1]["at"])
        assert sum(row["accesses"] for row in part.rows) == sum(record["kind"] == "opening" for record in until)
        # And what is asked to wait answers only when all that was there can be counted.
        size = log.size
        waiting = asyncio.create_task(reports.report(["who"], Query(), limit=10, wait=True))
        while await extend(reports, log):
            await fill(world, log, 10)
        found = await waiting
        assert found.counted >= size
        assert (found.missing_since, found.size) == (None, found.counted)
        assert sum(row["accesses"] for row in found.rows) >= 650

    run(tmp_path, test)


def test_a_report_waits_no_longer_than_it_may_and_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, _: Path) -> None:
        del chunks
        monkeypatch.setattr("nomoat.audit.reports.FARTHEST_BEHIND", 300)
        monkeypatch.setattr("nomoat.audit.reports.LONGEST_WAIT_S", 0.05)
        await fill(world, log, 150)
        assert await extend(reports, log)
        await fill(world, log, 300)
        found = await reports.report(["who"], Query(), limit=10, wait=True)
        assert found.missing_since is not None
        assert found.counted < found.size == log.size

    run(tmp_path, test)


def test_first_and_last_are_those_of_accesses(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, _: Path) -> None:
        del chunks
        await fill(world, log, 200)
        assert await extend(reports, log)
        await fill(world, log, 20)
        searched = await log.read("by ann", after=-1, limit=1000)
        (row,) = (await reports.report(["who"], parse_query("by ann", 0), limit=10)).rows
        assert (row["first_record"], row["first"]) == (searched[0]["n"], searched[0]["at"])
        assert (row["last_record"], row["last"]) == (searched[-1]["n"], searched[-1]["at"])
        assert row["accesses"] == row["allowed"] + row["refused"] == len(searched)

    run(tmp_path, test)


def test_only_repositories_are_counted_as_repositories(tmp_path: Path) -> None:
    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, _: Path) -> None:
        del world
        for on in ("acme/digits", "acme/digits@3f9c:a@b.csv", "acme/digits:c", "person:ann@acme.example", "log"):
            await log.append(opening("person:ann", on=on))
        for query, expected in (
            (Query(), {"acme/digits": 3, "": 2}),
            (parse_query("on acme/digits", 0), {"acme/digits": 3}),
        ):
            rows = (await reports.report(["repository"], query, limit=10)).rows
            assert {each["repository"]: each["accesses"] for each in rows} == expected
        assert len(chunks.list()) == 0
        for name, count in (("person:ann@acme.example", 1), ("acme/digits:a@b.csv", 1)):
            rows = (await reports.report(["on"], parse_query(f"on {name}", 0), limit=10)).rows
            assert sum(each["accesses"] for each in rows) == count, name

    run(tmp_path, test)


def test_attack_columns_outlive_an_erasure_that_was_cut_short(tmp_path: Path) -> None:
    """A crash right after the key was destroyed: a second try finds no key, so columns must be gone with the first."""

    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        await fill(world, log, 200)
        assert await extend(reports, log)
        keys = StoredSubjectKeys(chunks._state, KeyEncryptionKey.load(at / "kek"))
        await keys.create("ann")

        def fail(_: Connection) -> None:
            raise Corrupt("anything")

        with pytest.raises(Corrupt):
            await keys.destroy("ann", 7, log.forget, fail)
        assert (keys.find("ann") is not None, keys.newest_erasure(), len(chunks.list())) == (True, -1, 1)
        await fill(world, log, 200)
        read, destroyed = asyncio.Event(), asyncio.Event()

        async def make(after: int, most: int) -> Made:
            made = await asyncio.to_thread(Chunker(log.walk).make, after, most)
            read.set()
            await destroyed.wait()
            return made

        making = asyncio.create_task(reports.extend(make))
        await read.wait()
        assert await keys.destroy("ann", 7, log.forget, chunks.drop)
        destroyed.set()
        assert await making
        assert (keys.find("ann"), keys.newest_erasure(), chunks.list()) == (None, 7, [])

    run(tmp_path, test)


def test_attack_columns_are_made_between_the_end_of_a_key_and_the_log_forgetting_it(tmp_path: Path) -> None:
    """What was read with a key that is destroyed, but not yet forgotten, must not be kept either."""

    async def test(log: Log, world: World, reports: Reports, chunks: StoredChunks, at: Path) -> None:
        await fill(world, log, 200)
        keys = StoredSubjectKeys(chunks._state, KeyEncryptionKey.load(at / "kek"))
        await keys.create("ann")
        assert await keys.destroy("ann", 7, lambda: None, chunks.drop)

        async def make(after: int, most: int) -> Made:
            made = await asyncio.to_thread(Chunker(log.walk).make, after, most)
            log.forget()
            return made

        assert await reports.extend(make)
        assert chunks.list() == []
        assert await extend(reports, log)
        assert len(chunks.list()) == 1

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
