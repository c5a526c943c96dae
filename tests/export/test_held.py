"""What is being read when somebody is erased, or content is forgotten, goes on without it."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nomoat.audit.checkpoint import NoteSigner
from nomoat.audit.export import PART, export
from nomoat.audit.forgotten import Forgotten
from nomoat.audit.log import Log
from nomoat.audit.query import Query, parse_query
from nomoat.audit.reports import Reports
from nomoat.audit.retention import keep_statement
from nomoat.stores.chunks import StoredChunks
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from tests.audit.world import ORIGIN, MemoryKeys, World, opening, outcome

CANARY = "acme/canary-7c41"


class HeldKeys(MemoryKeys):
    """Keys that can be held: who looks for one waits, in the middle of what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.last = ""

    def find(self, pseudonym: str) -> bytes | None:
        if pseudonym == self.last and threading.current_thread() is not threading.main_thread():
            self.asked.set()
            assert self.go.wait(20)
        return super().find(pseudonym)

    @contextmanager
    def held(self, last: str) -> Iterator[None]:
        """Hold who looks for the key of `last`."""
        self.last = last
        self.asked.clear()
        self.go.clear()
        try:
            yield
        finally:
            self.last = ""
            self.go.set()


Destroy = Callable[[World, Log], None]


def erase(world: World, log: Log) -> None:
    """What the erasure of ann does to a log."""
    assert isinstance(world.keys, MemoryKeys)
    pseudonym = log.pseudonym("person:ann")
    del world.keys.keys[pseudonym]
    world.keys.erasures[pseudonym] = log.size
    log.forget()


def forget(world: World, log: Log) -> None:
    """What retention does to a log, before it blanks anything: only ann's access began so long ago."""
    keep_statement(world.directory, Forgotten({"ReadFile": "2026-11-19"}), NoteSigner(ORIGIN, world.signing_key))
    log.forget()


async def fill(world: World, log: Log) -> int:
    """An access of ann's to the canary that ends late, one of ben's, and many of both; return ben's number."""
    anns = await log.append(opening("person:ann", CANARY))
    world.clock.now += 86400
    bens = await log.append(opening("person:ben", "acme/bens"))
    for _ in range(2 * PART):
        await log.append(opening("person:cid", "acme/other", "deny"))
    for receipt, subject in ((anns, "person:ann"), (bens, "person:ben")):
        await log.append(outcome(receipt, subject=subject))
    return bens.index


def events(parts: list[bytes]) -> list[dict[str, object]]:
    return [json.loads(line) for part in parts for line in part.splitlines()]


def run(tmp_path: Path, test: Callable[[Log, World, HeldKeys], object]) -> None:
    async def inner() -> None:
        keys = HeldKeys()
        world = World(tmp_path / "log", keys=keys)
        log = await world.open()
        try:
            await test(log, world, keys)  # type: ignore[misc]
        finally:
            await log.close()

    asyncio.run(inner())


@pytest.mark.parametrize("destroy", [erase, forget])
def test_attack_an_export_that_is_held_tells_what_was_erased_meanwhile(tmp_path: Path, destroy: Destroy) -> None:
    """How an access ended is told with who began it: that is kept in memory from before."""

    async def test(log: Log, world: World, keys: HeldKeys) -> None:
        del keys
        bens = await fill(world, log)
        size = log.size
        parts = export(log, Query(), "json", after=-1, size=size)
        first = (await anext(parts))[1]
        assert CANARY.encode() in first
        destroy(world, log)  # while whoever reads it takes its time
        rest = events([part async for _, part in parts])
        assert CANARY not in json.dumps(rest)
        assert '"ann"' not in json.dumps(rest)
        # Everything else is there, once, and what was not erased is told as before.
        assert [event["n"] for event in events([first]) + rest] == list(range(size))
        (ended,) = [event for event in rest if event.get("of") == bens]
        assert ended["who"]["name"] == "ben"  # type: ignore[index]

    run(tmp_path, test)


@pytest.mark.parametrize("destroy", [erase, forget])
def test_attack_what_was_read_just_before_an_erasure_is_told_after_it(tmp_path: Path, destroy: Destroy) -> None:
    async def test(log: Log, world: World, keys: HeldKeys) -> None:
        await fill(world, log)
        parts = export(log, Query(), "json", after=-1, size=log.size)
        with keys.held(log.pseudonym("person:cid")):
            reading = asyncio.ensure_future(anext(parts))
            await asyncio.to_thread(keys.asked.wait, 20)  # ann's record was opened by then
            destroy(world, log)
        first = events([(await reading)[1]])
        assert CANARY not in json.dumps(first)
        rest = events([part async for _, part in parts])
        assert [event["n"] for event in first + rest] == list(range(rest[-1]["n"] + 1))  # type: ignore[operator]

    run(tmp_path, test)


@pytest.mark.parametrize("destroy", [erase, forget])
def test_attack_a_report_under_way_counts_what_was_erased_meanwhile(tmp_path: Path, destroy: Destroy) -> None:
    async def test(log: Log, world: World, keys: HeldKeys) -> None:
        await fill(world, log)
        kek = KeyEncryptionKey.create(tmp_path / "kek")
        state = State.create(tmp_path / "state.db", kek.derive("state"))
        try:
            reports = Reports(log, StoredChunks(tmp_path / "columns", state, kek))
            query = parse_query(f"on {CANARY}", 0)
            assert (await reports.report(["who"], query, limit=10)).rows[0]["who"] == "person ann"
            with keys.held(log.pseudonym("person:cid")):
                reading = asyncio.ensure_future(reports.report(["who"], query, limit=10))
                await asyncio.to_thread(keys.asked.wait, 20)
                destroy(world, log)
                await reports.clear()  # as an erasure does within its transaction, and retention before it blanks
            assert (await reading).rows == []
        finally:
            state.close()

    run(tmp_path, test)
