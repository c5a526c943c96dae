"""Files that are held: for how long, for which session, and how much of them all."""

import pytest

from nomoat.core.errors import NotFound, NotPermitted, Unavailable
from nomoat.core.operation import ListUploads, RemoveUpload, UploadFile
from nomoat.core.principal import PrincipalKind
from nomoat.resources.retrieval import uploads
from tests.guard.world import Actor, World, in_world

DECLARED = """
[[group]]
name = "librarians"
[[workload]]
name = "one"
groups = ["librarians"]
clearance = "internal"
[[workload]]
name = "two"
groups = ["librarians"]
clearance = "internal"
[[person]]
name = "ann"
clearance = "internal"
[[index]]
name = "handbook"
classification = "internal"
owner = "group:librarians"
embedder = "none"
"""


async def upload(there: World, who: Actor, name: str, content: bytes = b"words") -> None:
    async with there.gateway.guard.admit(who.present(), UploadFile(name, content)) as permit:
        there.gateway.uploads.hold(permit)


async def held(there: World, who: Actor, name: str = "") -> list[str]:
    async with there.gateway.guard.admit(who.present(), ListUploads(name)) as permit:
        return [each.name for each in there.gateway.uploads.list_uploads(permit)]


async def remove(there: World, who: Actor, name: str) -> None:
    async with there.gateway.guard.admit(who.present(), RemoveUpload(name)) as permit:
        there.gateway.uploads.remove(permit)


async def workload(there: World, name: str) -> Actor:
    return await there.joined(PrincipalKind.WORKLOAD, name)


@in_world
async def test_a_file_is_held_for_its_time(there: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LIFE_S", 600.0)  # less than a certificate's
    await there.declare(DECLARED)
    one = await workload(there, "one")
    await upload(there, one, "a.md")
    there.clock.now += uploads.LIFE_S - 1
    assert await held(there, one) == ["a.md"]
    there.clock.now += 1
    assert await held(there, one) == []
    with pytest.raises(NotFound, match="its time is over"):
        await held(there, one, "a.md")


@in_world
async def test_attack_another_session_of_the_same_subject_asks_for_it(there: World) -> None:
    await there.declare(DECLARED)
    one, again = await workload(there, "one"), await workload(there, "one")
    assert one.session != again.session
    await upload(there, one, "a.md")
    assert await held(there, again) == []
    with pytest.raises(NotFound):
        await remove(there, again, "a.md")
    assert await held(there, one) == ["a.md"]


@in_world
async def test_what_a_session_held_is_gone_with_it(there: World) -> None:
    await there.declare(DECLARED)
    one, two = await workload(there, "one"), await workload(there, "two")
    for each in (one, two):
        await upload(there, each, "a.md")
    await there.revoke("workload", "one")
    assert [len(files) for files in there.gateway.uploads._held.values()] == [1]
    assert await held(there, two) == ["a.md"]


@in_world
async def test_who_may_write_nowhere_holds_nothing(there: World) -> None:
    await there.declare(DECLARED)
    ann = await there.joined(PrincipalKind.PERSON, "ann")
    with pytest.raises(NotPermitted, match="into no index"):
        await upload(there, ann, "a.md")
    assert not there.gateway.uploads._held


@in_world
async def test_attack_sessions_together_fill_the_memory(there: World) -> None:
    await there.declare(DECLARED)
    content = bytes(uploads.LARGEST)
    for _ in range(uploads.MOST_OF_ALL // uploads.MOST_BYTES):
        who = await workload(there, "one")
        for number in range(uploads.MOST_BYTES // uploads.LARGEST):
            await upload(there, who, f"{number}.bin", content)
    with pytest.raises(Unavailable, match="held for others"):
        await upload(there, await workload(there, "two"), "a.md")
    there.clock.now += uploads.LIFE_S
    await upload(there, await workload(there, "two"), "a.md")
