"""Searching the log as an auditor does: the right records, readable, newest first, nothing left out."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.audit.commit import LogSettings
from nomoat.audit.entries import Pseudonyms
from nomoat.audit.log import Log
from nomoat.audit.query import parse_query
from nomoat.audit.reading import Reader
from nomoat.core.errors import Malformed
from nomoat.core.record import Json, Record, RecordKind
from tests.audit.attacks import Part, edit, records, segments
from tests.audit.world import MemoryKeys, World, opening, outcome

SMALL = LogSettings(segment_size=4000, reserve_size=0)
DAY = 86400.0


def numbers(found: Sequence[dict[str, Json]]) -> list[Json]:
    return [record["n"] for record in found]


async def fill(world: World) -> Log:
    """Ten accesses of two people and a workload, over ten days, in several segments."""
    log = await world.open(settings=SMALL)
    for day in range(10):
        subject = ("person:ann", "person:bob", "workload:train")[day % 3]
        version = f"acme/digits@3f9c{day}:data/train.parquet"
        receipt = await log.append(opening(subject, on=version, decision="deny" if day % 2 else "allow"))
        if day % 2 == 0:
            log.post(outcome(receipt, subject=subject))
        world.clock.now += DAY
    return log


def test_words_of_a_query(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await fill(world)
        everything = await log.read("what ReadFile")
        assert len(everything) == 10
        assert [record["at"] for record in everything] == sorted(str(record["at"]) for record in everything)
        ann = await log.read("by person:ann")
        assert ann == await log.read("by ann")
        assert len(ann) == 4
        assert len(await log.read("by person")) == 7
        assert len(await log.read("by system")) == 1
        assert len(await log.read("refused by workload")) == len(await log.read("by train refused")) == 1
        assert len(await log.read("on acme/digits")) == 10
        assert len(await log.read("on acme/digits:data/train.parquet since 3d")) == 3
        assert len(await log.read("on acme/digits@3f9c4")) == 1
        assert await log.read("on acme/dig") == []
        assert await log.read("on acme/digits:data/train") == []
        assert numbers(await log.read("what ReadFile", limit=2)) == numbers(everything)[-2:]
        third = everything[2]["n"]
        assert isinstance(third, int)
        assert numbers(await log.read("what ReadFile", after=third)) == numbers(everything)[3:]
        assert [record["n"] for record in await log.read(f"record {third}")] == [third]
        await log.close()

    asyncio.run(run())


def test_what_was_allowed_and_then_refused_is_found_by_either_word(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open(settings=SMALL)
        refused = await log.append(opening("person:ann"))
        log.post(outcome(refused, "refused", "person:ann", "deny"))
        await log.append(opening("person:bob"))
        await log.append(opening("person:ann", decision="deny"))
        await log._commit.drain()
        assert len(await log.read("allowed what ReadFile")) == 2
        assert len(await log.read("refused")) == 2
        (found,) = await log.read("allowed refused")
        assert found["n"] == refused.index
        await log.close()

    asyncio.run(run())


def test_a_readable_record(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> None:
        log = await world.open(settings=SMALL)
        receipt = await log.append(opening(snapshot="sha256:91ab"))
        for _ in range(20):  # its outcome lies in a later segment
            await log.append(opening(decision="deny"))
        log.post(outcome(receipt, "cut"))
        await log.close()
        log = await world.open()
        (record,) = await log.read(f"record {receipt.index}")
        assert record == {
            "n": receipt.index,
            "at": "2026-11-18T11:06:40.000Z",
            "enforcer": "gateway-1",
            "kind": "opening",
            "what": "ReadFile",
            "decision": "allow",
            "who": {"kind": "person", "name": "scientist", "session": "s-1"},
            "on": {"kind": "Dataset", "name": "acme/digits"},
            "snapshot": "sha256:91ab",
            "outcome": {"outcome": "cut"},
        }
        await log.close()

    asyncio.run(run())


def test_strangers_have_no_name(tmp_path: Path) -> None:
    async def run() -> None:
        log = await World(tmp_path / "log").open()
        content: dict[str, Json] = {"why": "no credential", "context": {"source": "10.0.4.7"}}
        await log.append(Record(RecordKind.OPENING, "unauthenticated", "Authenticate", "", "deny", content))
        (record,) = await log.read("refused by unauthenticated")
        assert record["why"] == "no credential"
        await log.close()

    asyncio.run(run())


def test_erased_and_damaged_content_is_told(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    keys = MemoryKeys()
    world.keys = keys

    async def write() -> None:
        log = await world.open()
        await log.append(opening("person:ann", decision="deny"))
        await log.append(opening("person:bob", decision="deny"))
        await log.close()

    async def read() -> list[dict[str, Json]]:
        log = await world.open()
        found = await log.read("what ReadFile")
        await log.close()
        return found

    asyncio.run(write())

    def change(parts: list[Part]) -> None:
        part = parts[records(parts)[1]]
        part.body = part.body[:-1] + bytes([part.body[-1] ^ 1])

    edit(segments(world.directory)[0], change)
    bob = list(keys.keys)[2]  # after those of the log itself and of ann
    del keys.keys[bob]
    keys.erasures[bob] = 7
    found = asyncio.run(read())
    assert "damaged" in found[0]
    assert (found[1]["erased"], found[1]["erased_by"]) == (True, 7)
    assert found[1]["who"] == {"kind": "", "pseudonym": bob}


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("onn acme/digits", "position 1:"),
        ("by ann  sinse 7d", "position 9:"),
        ("since yesterday", "position 7:"),
        ("since 7y", "position 7:"),
        ("by ann on", "position 8:"),
        ("record -1", "position 8:"),
        ("record ٣", "position 8:"),
        ("allowed denied", "position 9:"),
    ],
)
def test_a_word_nobody_knows_is_refused_with_its_position(text: str, position: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_query(text, 0.0)
    assert position in refusal.value.reason


def test_a_query_has_a_limit() -> None:
    with pytest.raises(Malformed):
        parse_query("on " + "x" * 3000, 0.0)


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_malformed(text: str) -> None:
    try:
        query = parse_query(text, 1_795_000_000.0)
    except Malformed:
        return
    if text.split():
        assert query != parse_query("", 0.0) or "since" in text


def test_times_and_names_with_spaces() -> None:
    assert parse_query("since 2026-11-22", 0.0).since == 1795305600.0
    assert parse_query("since 2026-11-22T19:31Z", 0.0).since == 1795375860.0
    assert parse_query("since 15m", 1000.0).since == 100.0
    assert parse_query('on "acme/digits:a file.txt"', 0.0).on == ("acme/digits:a file.txt",)


def test_what_is_not_durable_yet_is_not_shown(tmp_path: Path) -> None:
    world = World(tmp_path / "log")

    async def run() -> int:
        log = await fill(world)
        await log.close()
        return log.size

    size = asyncio.run(run())
    reader = Reader(world.directory, world.key, Pseudonyms(world.pseudonym_key), world.keys)
    found = reader.search(parse_query("", 0.0), after=-1, limit=100, size=size - 4)
    assert {n for n in numbers(found) if isinstance(n, int) and n >= size - 4} == set()
    assert len(reader.search(parse_query("", 0.0), after=-1, limit=100, size=size)) > len(found)
