"""Branches, tags and history, and the end of a repository, each through its door."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from nomoat.core.errors import Conflict, Malformed, NotFound, NotPermitted
from nomoat.core.names import parse_reference
from nomoat.core.operation import (
    Change,
    CreateBranch,
    CreateTag,
    DeleteBranch,
    DeleteRepository,
    DeleteTag,
    ListCommits,
    WriteFile,
)
from nomoat.core.principal import PrincipalKind
from nomoat.server.assembly import open_gateway
from tests.guard.world import Actor
from tests.resources.world import DIGITS, SECRETS, Yard, in_yard, yard

KEEPER = """
[[person]]
name = "keeper"
groups = ["data-engineers"]
clearance = "confidential"
"""


async def keeper(there: Yard) -> Actor:
    """Somebody who owns the digits."""
    await there.world.declare(KEEPER)
    return await there.world.joined(PrincipalKind.PERSON, "keeper")


async def branch(there: Yard, name: str, start: str = "main") -> None:
    async with there.guard.admit(there.ingest.present(), CreateBranch(DIGITS, name, start)) as permit:
        await there.references.create_branch(permit)


async def unbranch(there: Yard, name: str) -> None:
    async with there.guard.admit(there.ingest.present(), DeleteBranch(DIGITS, name)) as permit:
        await there.references.delete_branch(permit)


async def tag(there: Yard, name: str, revision: str = "main") -> None:
    async with there.guard.admit(there.ingest.present(), CreateTag(DIGITS, name, revision, "m")) as permit:
        await there.references.create_tag(permit)


async def commits(there: Yard, revision: str) -> tuple[list[str], str]:
    async with there.guard.admit(there.ingest.present(), ListCommits(DIGITS, revision)) as permit:
        found = there.references.list_commits(permit)
        return [made.id for made in found.commits], found.following


async def delete(there: Yard, by: Actor) -> None:
    async with there.guard.admit(by.present(), DeleteRepository(DIGITS)) as permit:
        await there.references.delete_repository(permit)


def blobs(there: Yard) -> int:
    return len(list((there.world.directory / "objects").glob("??/*")))


@in_yard
async def test_a_branch_goes_its_own_way_and_a_tag_stays(there: Yard) -> None:
    first = await there.write(DIGITS, {"a.txt": b"1"})
    await branch(there, "feature/x")
    await tag(there, "v1", "feature/x")
    operation = WriteFile(DIGITS, "feature/x", (Change("a.txt", content=b"2"),), "on the branch")
    async with there.guard.admit(there.ingest.present(), operation) as permit:
        second = await there.writing.write_file(permit)
    assert [
        await there.read(DIGITS, "a.txt", revision=name) for name in ("main", "feature/x", "v1", first, second)
    ] == [
        b"1",
        b"2",
        b"1",
        b"1",
        b"2",
    ]
    with pytest.raises(NotFound):  # a tag is no branch
        async with there.guard.admit(
            there.ingest.present(), WriteFile(DIGITS, "v1", (Change("a.txt", content=b"3"),), "t")
        ) as permit:
            await there.writing.write_file(permit)
    for taken in ("feature/x", "v1", "main"):
        with pytest.raises(Conflict, match="already"):
            await branch(there, taken)
        with pytest.raises(Conflict, match="already"):
            await tag(there, taken)
    with pytest.raises(NotFound):
        await branch(there, "y", "nothing")
    await unbranch(there, "feature/x")
    with pytest.raises(NotFound):
        await there.read(DIGITS, "a.txt", revision="feature/x")
    assert await there.read(DIGITS, "a.txt", revision=second) == b"2"
    with pytest.raises(Conflict, match="cannot be deleted"):
        await unbranch(there, "main")
    async with there.guard.admit(there.ingest.present(), DeleteTag(DIGITS, "v1")) as untag:
        await there.references.delete_tag(untag)
    with pytest.raises(NotFound):
        await there.read(DIGITS, "a.txt", revision="v1")


@in_yard
async def test_a_branch_that_moved_since_it_was_decided_on_is_not_deleted(there: Yard) -> None:
    await branch(there, "b")
    async with there.guard.admit(there.ingest.present(), DeleteBranch(DIGITS, "b")) as permit:
        moving = WriteFile(DIGITS, "b", (Change("a.txt", content=b"1"),), "meanwhile")
        async with there.guard.admit(there.ingest.present(), moving) as other:
            await there.writing.write_file(other)
        with pytest.raises(Conflict, match="changed meanwhile"):
            await there.references.delete_branch(permit)
    created = there.catalog.find(DIGITS)
    assert created
    assert "b" in created.branches


@in_yard
async def test_the_pages_of_a_history_put_together_are_the_history(there: Yard) -> None:
    made = [await there.write(DIGITS, {"a.txt": str(number).encode()}) for number in range(120)]
    seen: list[str] = []
    place = "main"
    while place:
        page, place = await commits(there, place)
        assert len(page) <= 50
        seen += page
    assert seen[:-1] == made[::-1]
    with pytest.raises(NotFound):
        await commits(there, "nothing")
    with pytest.raises(NotFound):  # of another repository
        await commits(there, await there.head(SECRETS))


def names(there: Yard) -> tuple[Sequence[str], Sequence[str]]:
    created = there.catalog.find(DIGITS)
    assert created
    return sorted(created.branches), sorted(created.tags)


def test_names_are_there_after_a_restart(tmp_path: Path) -> None:
    async def play() -> None:
        async with yard(tmp_path) as there:
            await branch(there, "b")
            await tag(there, "t")
            before, gateway = names(there), there.world.gateway
        async with open_gateway(there.world.directory, gateway.configuration, there.world.clock) as again:
            created = again.writing._catalog.find(DIGITS)
            assert created
            assert (sorted(created.branches), sorted(created.tags)) == before == (["b", "main"], ["t"])

    asyncio.run(play())


@in_yard
async def test_a_deleted_repository_is_gone_with_its_history_and_contents(there: Yard) -> None:
    owner, before = await keeper(there), blobs(there)
    first = await there.write(DIGITS, {"a.txt": b"1", "b.txt": b"2"})
    await tag(there, "v1")
    sent = await there.upload(DIGITS, b"sent and not committed")
    assert blobs(there) == before + 3
    for who in (there.ingest, there.train, there.world.admin):
        with pytest.raises((NotPermitted, NotFound)):
            await delete(there, who)
    await delete(there, owner)
    with pytest.raises(NotFound, match="Repository not found"):
        await there.head(DIGITS)
    for _ in range(500):
        if blobs(there) == before:
            break
        await asyncio.sleep(0.01)
    assert blobs(there) == before
    (removal,) = [r for r in await there.world.gateway.log.read("") if r.get("what") == "RemoveContents"]
    assert (removal["why"], removal["contents"]) == ("their repository was deleted", 3)
    (deletion,) = await there.world.gateway.log.read("what DeleteRepository allowed")
    assert deletion["on"]["name"] == "acme/digits"  # type: ignore[index, call-overload]  # JSON
    await there.create(DIGITS)
    assert names(there) == (["main"], [])
    with pytest.raises(NotFound):
        await there.read(DIGITS, "a.txt", revision=first)
    with pytest.raises(Malformed, match="was not uploaded"):
        await there.commit(DIGITS, Change("c.bin", digest=sent.digest, size=sent.size))


@in_yard
async def test_an_upload_that_ends_in_a_deleted_repository_leaves_nothing(there: Yard) -> None:
    owner, before = await keeper(there), blobs(there)
    secret = await there.grant(DIGITS, b"late content")

    async def body() -> AsyncIterator[bytes]:
        yield b"late "
        await delete(there, owner)
        yield b"content"

    with pytest.raises(NotFound):
        await there.put(DIGITS, b"late content", secret, body())
    assert blobs(there) == before


@in_yard
async def test_of_two_deletions_one_hears_that_there_is_nothing(there: Yard) -> None:
    owner = await keeper(there)
    async with there.guard.admit(owner.present(), DeleteRepository(DIGITS)) as permit:
        await delete(there, owner)
        with pytest.raises(NotFound):
            await there.references.delete_repository(permit)


@pytest.mark.parametrize(
    "name", ["", "refs/heads/x", "a" * 40, "a..b", "-a", "a/", "/a", "a//b", "a/.b", "x.lock", "a b", "candidate"]
)
def test_a_name_that_no_branch_may_have_is_malformed(name: str) -> None:
    with pytest.raises(Malformed):
        parse_reference(name)
