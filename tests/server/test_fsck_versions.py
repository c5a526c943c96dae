"""`nomoat fsck` finds a database in which somebody rewrote who contributed what, however consistently."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from nomoat.core.chain import faults, hashes_of, identify, manifest_digest
from nomoat.core.operation import ShredVersion
from nomoat.server.configuration import load_configuration
from nomoat.server.fsck import examine
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.rounds import links
from nomoat.stores.state import State
from nomoat.stores.state.schema import branch, change, revision, stage
from tests.resources.test_datasets import REVIEWS, Reviews, reviews_of
from tests.resources.world import yard


def blame(connection: Connection, commit: str) -> None:
    connection.execute(update(revision).where(revision.c.id == commit).values(author="person:eve"))


def forge(connection: Connection, commit: str) -> None:
    """Another size of nothing: the manifest alone is another one."""
    connection.execute(update(revision).where(revision.c.id == commit).values(manifest="ab" * 32))


def shift(connection: Connection, commit: str) -> None:
    """The manifest anew, as if the version began the chain."""
    row = connection.execute(select(revision).where(revision.c.id == commit)).one()
    made = links(connection, commit)[-1]
    anew = manifest_digest("", row.id, row.author, row.at, made.hashes)
    connection.execute(update(revision).where(revision.c.id == commit).values(manifest=anew, parent=None))


def rewrite(connection: Connection, commit: str) -> None:
    """Another author with a proper id, manifest and approval: nothing in the database contradicts it."""
    row = connection.execute(select(revision).where(revision.c.id == commit)).one()
    link = links(connection, commit)[-1]
    before = links(connection, row.parent)[-1].manifest
    made = identify(row.repository, row.parent, row.title, "person:eve", row.at, link.changes)
    manifest = manifest_digest(before, made, "person:eve", row.at, hashes_of(link.changes))
    connection.execute(update(change).where(change.c.revision == commit).values(revision=made))
    connection.execute(update(stage).where(stage.c.revision == commit).values(revision=made))
    connection.execute(update(branch).where(branch.c.revision == commit).values(revision=made))
    values = {"id": made, "author": "person:eve", "manifest": manifest}
    connection.execute(update(revision).where(revision.c.id == commit).values(**values))


EDITS: dict[str, tuple[Callable[[Connection, str], None], str]] = {
    "somebody else blamed": (blame, "is not the one that its id stands for"),
    "a manifest edited": (forge, "does not follow from what it says"),
    "the chain cut before it": (shift, "the log has another manifest"),
    "everything rewritten": (rewrite, "is approved by record"),
}


async def published(root: Path) -> tuple[Path, str]:
    async with yard(root) as there:
        reviews: Reviews = await reviews_of(there)
        await reviews.publish({"a.csv": b"a"})
        commit = await reviews.publish({"b.csv": b"b"})
        await reviews.approve(commit)
        return there.world.directory, commit


async def _examined(edit: str, root: Path) -> list[str]:
    return await _edited(*await published(root), edit)


async def _edited(directory: Path, commit: str, edit: str) -> list[str]:
    if edit:
        kek = KeyEncryptionKey.load(load_configuration(directory).kek)
        state = State.open(directory / "state.db", kek.derive("state"))
        await state.write(lambda connection: EDITS[edit][0](connection, commit))
        state.close()
    found = await examine(directory)
    return [each.what for each in found.findings if each.part == "versions" and each.grave]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_who_contributed_what_is_found(edit: str, tmp_path: Path) -> None:
    found = asyncio.run(_examined(edit, tmp_path))
    assert any(EDITS[edit][1] in what for what in found), found


def test_versions_that_nobody_edited_are_whole(tmp_path: Path) -> None:
    assert asyncio.run(_examined("", tmp_path)) == []


async def _shredded(root: Path, edit: str) -> list[str]:
    """A version in the middle of a chain is shredded; what the reviewer's own tool and fsck say of the rest."""
    async with yard(root) as there:
        reviews: Reviews = await reviews_of(there)
        first = await reviews.publish({"a.csv": b"a"})
        await reviews.publish({"a.csv": b"another", "b.csv": b"b"})
        commit = await reviews.publish({"c.csv": b"c"})
        await reviews.approve(commit)
        operation = ShredVersion(REVIEWS, first, "asked for", (), False)
        async with there.guard.admit(there.world.admin.present(), operation) as permit:
            await there.world.gateway.shredder.shred(permit)
        manifest = await reviews.manifest(by=reviews.eve)
        assert faults(manifest.links) == []
        assert manifest.withheld == 0
        assert sorted(manifest.files) == ["a.csv", "b.csv", "c.csv"]
        directory = there.world.directory
    return await _edited(directory, commit, edit)


def test_a_version_that_was_shredded_is_no_edit_and_what_followed_is_whole(tmp_path: Path) -> None:
    assert asyncio.run(_shredded(tmp_path, "")) == []


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_after_a_shredded_version_is_found(edit: str, tmp_path: Path) -> None:
    found = asyncio.run(_shredded(tmp_path, edit))
    assert any(EDITS[edit][1] in what for what in found), found
