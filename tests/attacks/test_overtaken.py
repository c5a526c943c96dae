"""Attacks by timing: what was decided before must not land after the change that takes its right away.

All changes of the state wait in one queue. While it is long, an attacker's change can stand behind the
one that ends the attacker's right, and must find that out when its turn comes.
"""

import asyncio
import threading
from collections.abc import Awaitable
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from nomoat.core.errors import Refused, Revoked, Unauthenticated
from nomoat.core.operation import ApplyPolicy, ReadFile, Whoami
from nomoat.core.principal import PrincipalKind
from nomoat.policy.defaults import starter_policies
from tests.resources.world import DIGITS, Yard, digest_of, in_yard

RAISED = """
[[dataset]]
name = "acme/digits"
classification = "restricted"
[[workload]]
name = "ingest"
segment = "ingestion"
clearance = "internal"
"""
SECOND = """
[[person]]
name = "second"
groups = ["administrators"]
"""
DEMOTED = """
[[person]]
name = "second"
groups = []
"""


class Turn:
    """A long change of the state: what is asked for after it waits until it is over."""

    def __init__(self, there: Yard) -> None:
        self._go = threading.Event()
        self._done = asyncio.ensure_future(there.world.gateway.declarations._state.write(self._wait))

    def _wait(self, _: Connection) -> None:
        assert self._go.wait(20)

    async def over(self) -> None:
        self._go.set()
        await self._done


async def overtaken(there: Yard, change: Awaitable[None], attack: Awaitable[object]) -> None:
    """Let `attack` be decided before `change` is in force, and come to its turn after that."""
    first = Turn(there)
    await asyncio.sleep(0)
    changing = asyncio.ensure_future(change)
    await asyncio.sleep(0.1)
    second = Turn(there)
    await asyncio.sleep(0)
    attacking = asyncio.ensure_future(attack)
    await asyncio.sleep(0.3)
    assert not changing.done()
    assert not attacking.done(), "it was to wait for its turn"
    await first.over()
    await changing
    await second.over()
    with pytest.raises(Refused):
        await attacking
    await there.world.gateway.declarations._state.write(lambda _: None)  # whatever stood in the queue is over


@in_yard
async def test_attack_a_commit_does_not_land_after_its_labels_were_raised(there: Yard) -> None:
    content = await there.upload(DIGITS, b"poison")
    created = there.catalog.find(DIGITS)
    assert created
    await overtaken(there, there.world.declare(RAISED), there.commit(DIGITS, replace(content, path="open/a")))
    after = there.catalog.find(DIGITS)
    assert after
    assert after.branches == created.branches


@in_yard
async def test_attack_an_upload_is_not_kept_after_its_labels_were_raised(there: Yard) -> None:
    secret = await there.grant(DIGITS, b"poison")
    digest = (await there.upload(DIGITS, b"other")).digest
    created = there.catalog.find(DIGITS)
    assert created
    await overtaken(there, there.world.declare(RAISED), there.put(DIGITS, b"poison", secret))
    kept = there.catalog.sent(created.id, "workload:ingest", [digest, digest_of(b"poison")])
    assert set(kept) == {digest}


@in_yard
async def test_attack_policies_do_not_land_after_their_author_was_demoted(there: Yard) -> None:
    await there.world.declare(SECOND)
    second = await there.world.joined(PrincipalKind.PERSON, "second")
    active = there.world.gateway.policies.current.digest
    mine = {"mine.cedar": '@id("all-mine")\npermit (principal == NoMoat::Person::"second", action, resource);\n'}

    async def apply() -> None:
        files = tuple({**starter_policies(), **mine}.items())
        async with there.guard.admit(second.present(), ApplyPolicy(files, dry_run=False)) as permit:
            await there.world.gateway.policies.apply(permit)

    await overtaken(there, there.world.declare(DEMOTED), apply())
    assert there.world.gateway.policies.current.digest == active


@in_yard
async def test_attack_a_transfer_does_not_outlive_the_labels_that_allowed_it(there: Yard) -> None:
    """The label is raised in the middle of a download: the next part does not leave."""
    await there.write(DIGITS, {"data.csv": b"row\n" * 50_000})
    left: list[bytes] = []
    first = asyncio.Event()

    async def download() -> None:
        async with (
            there.guard.admit(there.ingest.present(), ReadFile(DIGITS, "main", "data.csv")) as permit,
            there.reading.read_file(permit) as content,
        ):
            for part in content.parts or ():
                left.append(part)
                first.set()
                await asyncio.sleep(0.05)

    downloading = asyncio.ensure_future(download())
    await first.wait()
    await there.world.declare(RAISED)
    with pytest.raises(Revoked):
        await downloading
    assert sum(map(len, left)) < 200_000


@in_yard
async def test_attack_a_name_removed_and_declared_again_at_once_brings_no_session_back(there: Yard) -> None:
    gone = '[[workload]]\nname = "ingest"\nremove = true\n'
    again = '[[workload]]\nname = "ingest"\nsegment = "ingestion"\nclearance = "restricted"\n'
    secret = await there.grant(DIGITS, b"late")
    bearer = await there.world.bearer(there.ingest)
    await there.world.declare(gone)
    await there.world.declare(again)
    for presented in (there.ingest.present(), there.ingest.present(bearer, bound=False), there.by_url(secret)):
        with pytest.raises(Unauthenticated):
            async with there.guard.admit(presented, Whoami()):
                pytest.fail("a session came back")
