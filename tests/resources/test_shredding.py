"""Shredding a version: what is gone, what stays, who hears of it, and that a crash in the middle is gone on with."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from sqlalchemy import func, select

from nomoat.attestation.model_signature import FILE_NAME
from nomoat.core.errors import Conflict, NotFound, NotPermitted, Revoked
from nomoat.core.lifecycle import Stage
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import ApproveVersion, Change, QueryView, ReadFile, ShredVersion, WriteFile
from nomoat.core.principal import PrincipalKind
from nomoat.core.verdict import Report, Verdict
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.revisions import Draft, Moved, SignatureDraft
from nomoat.stores.state.look import look_at_state
from nomoat.stores.state.schema import blob, change, profile
from tests.guard.world import Actor
from tests.resources.test_datasets import REVIEWS, reviews_of, texts
from tests.resources.test_lifecycle import DECLARED, WEIGHTS
from tests.resources.world import Yard, in_yard

Files: TypeAlias = dict[str, bytes]
ORDERS = """
[[group]]
name = "data-engineers"
[[person]]
name = "olga"
groups = ["data-engineers"]
clearance = "confidential"
[[dataset]]
name = "acme/orders"
classification = "public"
owner = "group:data-engineers"
  [[dataset.views]]
  name = "numbers"
  files = ["*.csv"]
  columns = ["n"]
"""


class Shelf:
    """A model whose versions come and go: an administrator shreds them."""

    def __init__(self, there: Yard, emil: Actor, anna: Actor) -> None:
        self.there, self.emil, self.anna = there, emil, anna

    @classmethod
    async def of(cls, there: Yard) -> "Shelf":
        await there.world.declare(DECLARED)
        anna, emil = [await there.world.joined(PrincipalKind.PERSON, name) for name in ("anna", "emil")]
        await there.create(WEIGHTS, by=there.train)
        return cls(there, emil, anna)

    async def publish(self, **files: bytes) -> str:
        return await self.there.write(WEIGHTS, dict(files), by=self.there.train)

    async def approve(self, commit: str) -> None:
        async with self.there.guard.admit(self.anna.present(), ApproveVersion(WEIGHTS, commit, (), "")) as permit:
            await self.there.world.gateway.lifecycle.approve(permit)

    async def shred(self, commit: str, *also: str, keep: bool = False, by: Actor | None = None) -> int:
        operation = ShredVersion(WEIGHTS, commit, "asked for", also, keep)
        async with self.there.guard.admit((by or self.there.world.admin).present(), operation) as permit:
            gone = len((await self.there.world.gateway.shredder.shred(permit)).forgotten)
        return gone - len({commit, *also})  # each version's signature is its own

    def blob_of(self, path: str, commit: str) -> Path:
        """The file on the disk that holds what a version has at a path."""
        created = self.there.catalog.find(WEIGHTS)
        assert created
        snapshot = self.there.catalog.snapshot(created, commit)
        assert snapshot
        stored = snapshot.files[path].blob.id
        return self.there.world.directory / "objects" / stored[:2] / stored

    async def read(self, path: str, revision: str) -> bytes:
        return await self.there.read(WEIGHTS, path, by=self.there.train, revision=revision)

    def stage(self, commit: str) -> Stage:
        return self.there.catalog.stage(commit)

    async def blobs(self) -> int:
        return self.there.world.gateway.uncommitted._state.read(
            lambda connection: (
                connection.scalar(
                    select(func.count(blob.c.id.distinct()))
                    .join(change, change.c.blob == blob.c.id)
                    .where(change.c.path != FILE_NAME)
                )
                or 0
            )
        )


@in_yard
async def test_what_only_the_version_has_is_gone_and_the_answer_says_why(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one", b=b"both")
    second = await shelf.publish(a=b"two", b=b"other")
    assert await shelf.read("a", first) == b"one"
    assert await shelf.shred(first) == 2
    assert shelf.stage(first) is Stage.SHREDDED
    with pytest.raises(NotFound, match="was shredded"):
        await shelf.read("a", first)
    assert await shelf.read("a", second) == b"two"
    assert await shelf.blobs() == 2


@in_yard
async def test_what_other_versions_share_is_refused_and_they_are_named(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one", b=b"both")
    second = await shelf.publish(a=b"two")
    third = await shelf.publish(b=b"new")
    with pytest.raises(Conflict, match=rf"1 of its contents are also in {second}:.*--also.*--keep-shared") as refused:
        await shelf.shred(first)
    assert third not in refused.value.reason
    assert await shelf.read("a", first) == b"one"
    with pytest.raises(Conflict, match=rf"{third} \(main\)"):
        await shelf.shred(first, second)  # the second one shares with the third
    assert await shelf.shred(first, keep=True) == 1
    assert await shelf.read("b", second) == b"both"
    assert await shelf.shred(second, third) == 3
    assert await shelf.blobs() == 0


@in_yard
async def test_a_path_that_comes_back_is_found_in_every_version_that_has_it(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one")
    await shelf.publish(a=b"two")
    third = await shelf.publish(a=b"one")  # the same content again, after another one
    fourth = await shelf.publish(c=b"one")  # and under another name
    with pytest.raises(Conflict, match="1 of its contents are also in") as refused:
        await shelf.shred(first)
    assert all(commit in refused.value.reason for commit in (third, fourth))


@in_yard
async def test_a_content_may_come_again_after_it_was_shredded(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one")
    assert await shelf.shred(first) == 1
    again = await shelf.publish(a=b"one")
    assert await shelf.read("a", again) == b"one"
    with pytest.raises(NotFound, match="was shredded"):
        await shelf.read("a", first)


@in_yard
async def test_nobody_but_an_administrator_shreds_and_nobody_twice(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one")
    for who in (shelf.emil, shelf.anna, there.train):  # its owner, a judge, its author
        with pytest.raises(NotPermitted):
            await shelf.shred(first, by=who)
    await shelf.shred(first)
    with pytest.raises(Conflict, match="shredded already"):
        await shelf.shred(first)
    with pytest.raises(Conflict, match="was shredded: its contents are gone"):
        await shelf.approve(first)
    with pytest.raises(NotFound):
        await shelf.shred("0" * 40)


@in_yard
async def test_the_branch_means_the_version_before_and_running_downloads_are_cut(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one")
    second = await shelf.publish(a=b"two" * 200_000)
    for commit in (first, second):
        await shelf.approve(commit)
    parts: list[bytes] = []

    async def read() -> None:
        async with (
            there.guard.admit(there.train.present(), ReadFile(WEIGHTS, second, "a")) as permit,
            there.reading.read_file(permit) as content,
        ):
            assert content.parts is not None
            parts.append(next(content.parts))
            await shelf.shred(second)
            parts.extend(content.parts)

    with pytest.raises(Revoked, match="the version was shredded"):
        await read()
    assert len(parts) == 1
    assert await shelf.read("a", "main") == b"one"


@in_yard
async def test_it_is_on_record_and_the_blobs_are_removed(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one")
    held = shelf.blob_of("a", first)
    await shelf.shred(first)
    await there.world.gateway.uncommitted.sweep()
    assert not held.exists()
    records = await there.world.gateway.log.read("")
    (said,) = [record for record in records if record.get("what") == "ShredVersion" and record.get("kind") == "opening"]
    assert first in str(said)
    assert any(r.get("what") == "RemoveContents" and "shredded" in str(r.get("why")) for r in records)


@in_yard
async def test_what_was_known_of_the_rows_goes_with_them(there: Yard) -> None:
    reviews = await reviews_of(there)
    commit = await reviews.publish({"a.csv": texts(30, 1)})
    await reviews.diff()
    state = there.catalog._state
    assert state.read(lambda connection: connection.scalar(select(func.count()).select_from(profile))) == 1
    operation = ShredVersion(REVIEWS, commit, "asked for", (), False)
    async with there.guard.admit(there.world.admin.present(), operation) as permit:
        assert len((await there.world.gateway.shredder.shred(permit)).forgotten) == 1
    assert state.read(lambda connection: connection.scalar(select(func.count()).select_from(profile))) == 0
    assert there.catalog.stage(commit) is Stage.SHREDDED


@in_yard
async def test_the_wrapped_key_is_nowhere_in_the_database_files(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one")
    state = there.world.gateway.uncommitted._state
    wrapped = state.read(lambda connection: connection.scalar(select(blob.c.wrapped_key)))
    assert wrapped is not None
    path = there.world.directory / "state.db"
    await state.empty_journal()
    assert wrapped in decrypted(path, KeyEncryptionKey.load(there.world.directory.parent / "kek").derive("state"))
    await shelf.shred(first)
    assert path.with_name("state.db-wal").stat().st_size == 0  # what was there before is in no journal
    # The pages are encrypted, so they are read through SQLCipher, free ones included.
    pages = decrypted(path, KeyEncryptionKey.load(there.world.directory.parent / "kek").derive("state"))
    assert wrapped not in pages


PAGE, RESERVED, IV = 4096, 80, 16  # SQLCipher 4 with a raw key: AES-256-CBC, then IV and HMAC at the end of a page


def decrypted(path: Path, key: bytes) -> bytes:
    """Every page of a database in plain, free ones included."""
    content, pages = path.read_bytes(), list[bytes]()
    for start in range(0, len(content), PAGE):
        page = content[start : start + PAGE]
        end = PAGE - RESERVED
        opened = Cipher(algorithms.AES(key), modes.CBC(page[end : end + IV])).decryptor()
        pages.append(opened.update(page[16 if start == 0 else 0 : end]))  # the first one begins with the salt
    return b"".join(pages)


@in_yard
async def test_a_backup_of_the_blobs_alone_is_of_no_use_afterwards(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one")
    held = shelf.blob_of("a", first)
    copy = held.read_bytes()
    await shelf.shred(first)
    await there.world.gateway.uncommitted.sweep()
    held.write_bytes(copy)  # put back
    with pytest.raises(NotFound, match="was shredded"):
        await shelf.read("a", first)
    assert await there.world.gateway.uncommitted.remove_strays() == 1  # as the next start does
    with look_at_state(
        there.world.directory / "state.db",
        KeyEncryptionKey.load(there.world.directory.parent / "kek").derive("state"),
    ) as look:
        assert look.blobs() == []


@in_yard
@pytest.mark.parametrize("more", [{}, {"b": b"new"}], ids=["nothing else", "another file"])
async def test_a_commit_that_was_decided_on_what_is_shredded_meanwhile_is_refused(there: Yard, more: Files) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"one", b=b"both")
    files = {"a": b"one", **more}  # the one as it is already
    operation = WriteFile(WEIGHTS, "main", tuple(Change(path, content) for path, content in files.items()), "again")

    async def write(*, shredding: bool) -> str:
        async with there.guard.admit(there.train.present(), operation) as permit:
            if shredding:
                await shelf.shred(first)
            return await there.writing.write_file(permit)

    with pytest.raises(Conflict, match="shredded meanwhile"):
        await write(shredding=True)
    again = await write(shredding=False)
    assert {path: await shelf.read(path, again) for path in files} == files
    assert again != first


@in_yard
async def test_a_signature_over_what_is_shredded_before_the_commit_is_not_kept(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first, second = await shelf.publish(a=b"one", c=b"three"), await shelf.publish(b=b"two")
    created = there.catalog.find(WEIGHTS)
    assert created
    base, head = [there.catalog.snapshot(created, commit) for commit in (first, second)]
    assert base
    assert head
    over = {path: file.digest for path, file in head.files.items() if path not in {FILE_NAME, "c"}}
    signature = SignatureDraft(second, FILE_NAME, over, (base.files[FILE_NAME], Report(Verdict.CLEAN, "json")))
    removing = Draft(created.id, "main", base, False, "", "workload:train", 1.0, {}, removed=frozenset({"c"}))
    await shelf.shred(second, keep=True)
    with pytest.raises(Moved):
        await there.catalog.commit(WEIGHTS, replace(removing, signature=signature))
    left = replace(signature, over={"a": over["a"]})
    done = await there.catalog.commit(WEIGHTS, replace(removing, signature=left))
    assert set(done.files) == {"a", FILE_NAME}


@in_yard
async def test_a_commit_on_a_version_that_is_shredded_meanwhile_takes_nothing_of_it_along(there: Yard) -> None:
    shelf = await Shelf.of(there)
    first = await shelf.publish(a=b"secret", b=b"other")
    operation = WriteFile(WEIGHTS, "main", (Change("c", content=b"new"),), "on what was there", "")
    async with there.guard.admit(there.train.present(), operation) as permit:
        await shelf.shred(first)
        with pytest.raises(Conflict, match="shredded meanwhile"):
            await there.writing.write_file(permit)
    third = await shelf.publish(c=b"new")
    created = there.catalog.find(WEIGHTS)
    assert created
    there.catalog.forget_files()
    snapshot = there.catalog.snapshot(created, third)
    assert snapshot
    assert sorted(snapshot.files) == ["c", FILE_NAME]
    assert await shelf.read("c", third) == b"new"


@in_yard
async def test_versions_published_and_read_meanwhile_lose_nothing(there: Yard) -> None:
    shelf = await Shelf.of(there)
    kept: dict[str, bytes] = {}
    commits = [await shelf.publish(a=b"old %d" % number, same=b"same") for number in range(8)]

    async def publish() -> None:
        for number in range(12):
            content = b"new %d" % number
            kept[await shelf.publish(a=content)] = content

    async def shred() -> None:
        for commit in commits:
            await shelf.shred(commit, keep=True)
            await asyncio.sleep(0)

    async def read() -> None:
        for _ in range(30):
            for commit, content in list(kept.items()):
                assert await shelf.read("a", commit) == content
            await asyncio.sleep(0)

    await asyncio.gather(publish(), shred(), read())
    for commit, content in kept.items():
        assert (await shelf.read("a", commit), await shelf.read("same", commit)) == (content, b"same")
    assert {shelf.stage(commit) for commit in commits} == {Stage.SHREDDED}


@in_yard
async def test_a_view_that_was_made_before_is_gone_with_the_version(there: Yard) -> None:
    name = RepositoryName(RepositoryKind.DATASET, "acme", "orders")
    await there.world.declare(ORDERS)
    await there.create(name)
    first = await there.write(name, {"a.csv": b"n\n1\n", "b.csv": b"n\n2\n"})
    await there.write(name, {"a.csv": b"n\n3\n"})

    async def rows() -> int:
        asked = QueryView(name, "numbers", first, "FROM numbers")
        async with (
            there.guard.admit(owner.present(), asked) as permit,
            there.world.gateway.views.query(permit) as answer,
        ):
            return answer.rows

    owner = await there.world.joined(PrincipalKind.PERSON, "olga")
    assert await rows() == 2
    shred = ShredVersion(name, first, "asked for", (), keep_shared=True)
    async with there.guard.admit(there.world.admin.present(), shred) as permit:
        await there.world.gateway.shredder.shred(permit)
    with pytest.raises(NotFound, match="was shredded"):
        await rows()
