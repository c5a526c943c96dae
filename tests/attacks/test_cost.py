"""Attacks on everybody else's time and memory, by callers with little or no right to anything."""

import asyncio
import gc
import json
import threading
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine, event

from nomoat.core.connection import Connection, Presented
from nomoat.core.errors import Malformed, NotPermitted, Revoked, TooLarge, Unavailable
from nomoat.core.lineage import Label
from nomoat.core.operation import (
    ApplyDirectory,
    ApplyPolicy,
    Change,
    DiffVersions,
    LowerLabel,
    Operation,
    ReadLineage,
    ReadManifest,
)
from nomoat.protocols.http.asgi import Receive, Scope
from nomoat.protocols.http.exchange import Exchange, Held
from nomoat.protocols.hub.commits import ContentBudget, parse_commit
from nomoat.protocols.hub.ignoring import IgnoreRules
from tests.guard.world import World, in_world
from tests.resources.world import DIGITS, Yard, body_of, in_yard

SOON = 1.0  # seconds; each of these attacks took from several to thousands before


def test_attack_a_gitignore_whose_rules_explode_is_refused_soon() -> None:
    """One request of 40 kB kept the event loop busy for hours."""
    began = time.monotonic()
    with pytest.raises(TooLarge):
        IgnoreRules("\n".join(["/**/" + "*/" * 100 + "x"] * 200))
    rules = IgnoreRules("\n".join(["/**/*/*/x"] * 200))
    with pytest.raises(TooLarge):
        rules.ignores("a/" * 250 + "b")
    assert time.monotonic() - began < SOON


def test_attack_a_gitignore_of_many_different_patterns_compiles_soon_or_not_at_all() -> None:
    began = time.monotonic()
    with pytest.raises(TooLarge):
        IgnoreRules("\n".join("/".join(f"{rule}{part}" for part in range(60)) for rule in range(250)))
    with pytest.raises(TooLarge):
        IgnoreRules("[a-z]*" * 10_000)
    assert time.monotonic() - began < SOON


def test_a_gitignore_as_large_as_any_is_obeyed() -> None:
    rules = IgnoreRules("\n".join(f"build{number}/*.o" for number in range(250)))
    assert rules.ignores("build249/a.o")
    assert not any(rules.ignores(f"src/deep/down/file{number}.py") for number in range(256))


@in_yard
async def test_attack_no_history_is_followed_for_who_may_not_know_it(there: Yard) -> None:
    """Each request of a stranger walked through every commit before the version, while everybody else waited."""
    commit = await there.write(DIGITS, {"a.csv": b"1"})
    asked: list[Operation] = [
        ReadManifest(DIGITS, commit),
        DiffVersions(DIGITS, "", commit),
        LowerLabel(DIGITS, commit, Label(), "why not"),
        ReadLineage(DIGITS, commit),
    ]
    followed: list[str] = []

    def listen(connection: object, cursor: object, statement: str, *_: object) -> None:
        del connection, cursor
        followed.extend([statement] if "RECURSIVE" in statement else [])

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        for operation in asked:
            with pytest.raises(NotPermitted):
                await there.permitted(operation, there.scientist)
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    assert followed == []


@in_yard
async def test_attack_policies_are_not_compiled_for_who_may_not_apply_them(there: Yard) -> None:
    """Three seconds of everybody's time for each request of a data scientist, before."""
    text = '@id("p")\npermit(principal, action, resource) when { resource.labels.contains("a") };\n' * 20_000
    for attacker in (there.scientist, there.ingest):
        began = time.monotonic()
        with pytest.raises(NotPermitted) as refused:
            async with there.guard.admit(attacker.present(), ApplyPolicy((("a.cedar", text),), dry_run=True)):
                pytest.fail("planned policies")
        assert time.monotonic() - began < SOON
        assert refused.value.record is not None


@in_yard
async def test_attack_a_declaration_is_not_parsed_for_who_may_not_declare(there: Yard) -> None:
    document = '[[group]]\nname = "a"\n' * 150_000
    for attacker in (there.scientist, there.ingest):
        began = time.monotonic()
        with pytest.raises(NotPermitted):
            async with there.guard.admit(attacker.present(), ApplyDirectory(document, dry_run=True)):
                pytest.fail("planned a directory")
        assert time.monotonic() - began < SOON


@in_world
async def test_attack_the_stolen_bearer_of_an_administrator_buys_no_parsing_either(there: World) -> None:
    stolen = there.admin.present(await there.bearer(there.admin), bound=False)
    with pytest.raises(NotPermitted):
        async with there.gateway.guard.admit(stolen, ApplyDirectory("a = " + "[" * 100_000, dry_run=True)):
            pytest.fail("planned a directory")


@in_world
async def test_attack_a_declaration_nested_too_deep_is_malformed_and_recorded(there: World) -> None:
    """It was a bug of ours that left no record."""
    with pytest.raises(Malformed) as refused:
        async with there.gateway.guard.admit(there.admin.present(), ApplyDirectory("a = " + "[" * 5000, dry_run=True)):
            pytest.fail("planned nonsense")
    assert refused.value.record is not None


# -- memory -------------------------------------------------------------------------------------------


def exchange(receive: Receive, held: Held) -> Exchange:
    scope: Scope = {"method": "POST", "headers": [], "query_string": b""}

    async def send(_: object) -> None:
        pytest.fail("answered")

    return Exchange(scope, receive, send, Presented(Connection("192.0.2.9"), None, "test", "POST"), held)


def test_attack_exchanges_that_are_over_wait_for_the_collector() -> None:
    """Each held its connection with all its buffers, about half a MiB, until the collector looked: hardly ever."""

    async def receive() -> dict[str, object]:
        pytest.fail("read")

    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        over = exchange(receive, Held())
        over.presented.admitted(7)
        assert over.record == 7
        del over
        gc.collect()
        assert [each for each in gc.garbage if isinstance(each, Exchange)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_attack_bodies_of_many_requests_share_what_memory_there_is() -> None:
    """Any caller could hold 8 MiB for each of as many requests as they liked."""
    held = Held(most=10_000)

    async def run() -> None:
        parts = asyncio.Queue[dict[str, object]]()
        waiting = asyncio.ensure_future(exchange(parts.get, held).body(100_000))
        parts.put_nowait({"type": "http.request", "body": b"x" * 9_000, "more_body": True})
        await asyncio.sleep(0.01)

        async def another() -> dict[str, object]:
            return {"type": "http.request", "body": b"x" * 2_000, "more_body": False}

        with pytest.raises(Unavailable):
            await exchange(another, held).body(100_000)
        parts.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        assert len(await waiting) == 9_000
        assert len(await exchange(another, held).body(100_000)) == 2_000
        assert held.left == 10_000

    asyncio.run(run())


def test_attack_lines_without_an_end_share_what_memory_there_is() -> None:
    budget = ContentBudget(most=10_000)

    async def endless() -> AsyncIterator[bytes]:
        yield json.dumps({"key": "header", "value": {"summary": "t"}}).encode() + b"\n"
        while True:
            yield b"x" * 1000

    async def run() -> None:
        with budget.share() as share, pytest.raises(Unavailable):
            await parse_commit(endless(), share)
        assert budget._left == 10_000
        with budget.share() as share, pytest.raises(Malformed):
            await parse_commit(body_of(b'{"key": "no header", "value": {}}\n{"key": "the next line begins'), share)
        assert budget._left == 10_000

    asyncio.run(run())


@in_yard
async def test_attack_an_upload_url_used_many_times_at_once_leaves_one_content(there: Yard) -> None:
    """Each use but the first left a content that no row knew: no sweep found it, for as long as the gateway ran."""
    objects, content = there.writing._objects, b"again and again"
    secret = await there.grant(DIGITS, content)
    before = set(objects.ids())
    ended = await asyncio.gather(*[there.put(DIGITS, content, secret) for _ in range(5)], return_exceptions=True)
    assert None in ended
    assert len(set(objects.ids()) - before) == 1


@in_yard
async def test_attack_what_a_revocation_kept_from_being_noted_takes_no_space(there: Yard) -> None:
    """The content is on the disk and waits for its turn in the state when its sender is revoked."""
    objects, sent = there.writing._objects, b"too late"
    secret = await there.grant(DIGITS, sent)
    before = set(objects.ids())
    go, state = threading.Event(), there.world.gateway.declarations._state
    turn = asyncio.ensure_future(state.write(lambda _: go.wait(20), followed=False))
    inline = Change("open/late", content=b"late as well")
    late = [asyncio.ensure_future(each) for each in (there.put(DIGITS, sent, secret), there.commit(DIGITS, inline))]
    await asyncio.sleep(0.5)  # both are on the disk, and synced
    assert len(set(objects.ids()) - before) == len(late)
    there.guard.end_sessions(frozenset({there.ingest.session}), "the session was revoked")
    go.set()
    await turn
    assert all(isinstance(each, Revoked) for each in await asyncio.gather(*late, return_exceptions=True))
    await state.write(lambda _: None)  # whatever stood in the queue is over
    await asyncio.sleep(0.1)
    assert set(objects.ids()) == before


@in_yard
async def test_attack_a_commit_that_is_cut_while_its_contents_are_stored_leaves_none(there: Yard) -> None:
    objects = there.writing._objects
    before = set(objects.ids())
    changes = [Change(f"open/{number}", content=str(number).encode()) for number in range(200)]
    committing = asyncio.ensure_future(there.commit(DIGITS, *changes))
    while len(set(objects.ids()) - before) < 20:  # noqa: ASYNC110 - nothing to wait on: the disk tells nobody
        await asyncio.sleep(0)
    there.guard.end_sessions(frozenset({there.ingest.session}), "the session was revoked")
    with pytest.raises(Revoked):
        await committing
    await asyncio.sleep(0.5)
    assert set(objects.ids()) == before
