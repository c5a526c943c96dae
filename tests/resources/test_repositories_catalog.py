"""The catalogue against a plain model: histories, caches, races, and who may name which content."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from nomoat.core.errors import Conflict, Malformed
from nomoat.core.names import RepositoryKind, RepositoryName, is_commit_id
from nomoat.core.verdict import Report, Verdict
from nomoat.stores.blob import StoredBlob
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import CreatedRepository
from nomoat.stores.revisions import Draft, StoredFile
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob

CLEAN = Report(Verdict.CLEAN, "text")
NAME = RepositoryName(RepositoryKind.MODEL, "acme", "reader")
OTHER = RepositoryName(RepositoryKind.DATASET, "acme", "reader")


@contextmanager
def opened_state() -> Generator[State]:
    with tempfile.TemporaryDirectory() as directory:
        state = State.create(Path(directory) / "state.db", os.urandom(32))
        try:
            yield state
        finally:
            state.close()


def with_catalog(test: Callable[[Catalog], Coroutine[None, None, None]]) -> Callable[[], None]:
    def run() -> None:
        with opened_state() as state:
            asyncio.run(test(Catalog(state)))

    run.__name__ = test.__name__
    return run


def content(letter: str, owner: str = "r") -> StoredFile:
    """A content by its first letter; the blob's id tells repositories and senders apart."""
    return StoredFile(
        letter.encode().hex().ljust(64, "0"), 1, "", StoredBlob(f"{letter}{owner}{os.urandom(8).hex()}", 1, b"k")
    )


async def sent(catalog: Catalog, created: CreatedRepository, letters: str, who: str = "ada") -> dict[str, StoredFile]:
    files = {letter: content(letter) for letter in letters}
    for file in files.values():
        await catalog.keep(created.id, file, CLEAN, who, 1.0)
    return files


def draft(
    catalog: Catalog, name: RepositoryName, files: dict[str, str], removed: set[str] | None = None, **more: object
) -> Draft:
    created = catalog.find(name)
    assert created
    base = catalog.snapshot(created, "main")
    assert base
    named = {path: (letter.encode().hex().ljust(64, "0"), 1) for path, letter in files.items()}
    made = Draft(
        created.id,
        "main",
        base,
        strict=False,
        title="t",
        author="ada",
        at=2.0,
        files=named,
        removed=frozenset(removed or ()),
    )
    return replace(made, **more)  # type: ignore[arg-type]  # any field, by the test


def seen(catalog: Catalog, revision: str = "main") -> dict[str, str]:
    created = catalog.find(NAME)
    assert created
    snapshot = catalog.snapshot(created, revision)
    assert snapshot
    assert list(snapshot.paths) == sorted(snapshot.files)
    return {path: bytes.fromhex(file.digest).rstrip(b"\0").decode() for path, file in snapshot.files.items()}


steps = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("pqrs"), st.sampled_from("ab"), max_size=3),
        st.sets(st.sampled_from("pqrs"), max_size=2),
    ),
    max_size=6,
)


@settings(max_examples=15, deadline=None)
@given(history=steps)
def test_every_revision_has_the_files_of_the_model_also_after_a_restart(
    history: list[tuple[dict[str, str], set[str]]],
) -> None:
    async def play(state: State) -> None:
        catalog = Catalog(state, cached_files=4)  # a cache that always has to let something go
        created = await catalog.create(NAME, "ada", 1.0)
        await sent(catalog, created, "ab")
        model: dict[str, str] = {}
        revisions: list[tuple[str, dict[str, str]]] = [(created.branches["main"], {})]
        for files, removed in history:
            gone = (removed & model.keys()) - files.keys()
            done = await catalog.commit(NAME, draft(catalog, NAME, files, gone))
            after = {path: letter for path, letter in {**model, **files}.items() if path not in gone}
            assert bool(done.changes) == (after != model)
            model = after
            revisions.append((done.revision.id, dict(model)))
        for reopened in (catalog, Catalog(state)):
            assert seen(reopened) == model
            for revision, files in revisions:
                assert is_commit_id(revision)
                assert seen(reopened, revision) == files

    with opened_state() as state:
        asyncio.run(play(state))


@with_catalog
async def test_a_name_is_created_once_and_kinds_are_apart(catalog: Catalog) -> None:
    first = await catalog.create(NAME, "ada", 1.0)
    generation = catalog.generation
    with pytest.raises(Conflict):
        await catalog.create(NAME, "bob", 2.0)
    second = await catalog.create(OTHER, "bob", 2.0)
    assert catalog.generation == generation + 1
    assert first.id != second.id
    assert catalog.find(NAME) == first
    assert Catalog(catalog._state).find(NAME) == first


@with_catalog
async def test_a_commit_of_another_repository_is_no_revision_of_this_one(catalog: Catalog) -> None:
    mine, other = await catalog.create(NAME, "ada", 1.0), await catalog.create(OTHER, "ada", 1.0)
    foreign = other.branches["main"]
    assert catalog.snapshot(other, foreign) is not None
    assert catalog.snapshot(mine, foreign) is None  # from the cache
    assert Catalog(catalog._state).snapshot(mine, foreign) is None  # from the state
    assert catalog.snapshot(mine, "0" * 40) is None
    assert catalog.snapshot(mine, "nothing") is None


@with_catalog
async def test_only_who_sent_a_content_to_this_repository_can_commit_it(catalog: Catalog) -> None:
    created, other = await catalog.create(NAME, "ada", 1.0), await catalog.create(OTHER, "ada", 1.0)
    await sent(catalog, other, "a", "ada")  # to another repository
    await sent(catalog, created, "b", "bob")  # by somebody else
    refusals = []
    for letter in "abc":  # c: by nobody
        with pytest.raises(Malformed) as refused:
            await catalog.commit(NAME, draft(catalog, NAME, {"p": letter}))
        refusals.append(refused.value.reason.replace(letter.encode().hex(), "…"))
    assert len(set(refusals)) == 1
    await sent(catalog, created, "b", "ada")
    await catalog.commit(NAME, draft(catalog, NAME, {"p": "b"}))
    assert seen(catalog) == {"p": "b"}


@with_catalog
async def test_a_content_of_another_size_was_not_sent(catalog: Catalog) -> None:
    await sent(catalog, await catalog.create(NAME, "ada", 1.0), "a")
    wanted = draft(catalog, NAME, {"p": "a"})
    ((digest, _size),) = wanted.files.values()
    with pytest.raises(Malformed):
        await catalog.commit(NAME, replace(wanted, files={"p": (digest, 2)}))
    await catalog.commit(NAME, replace(wanted, files={"p": (digest, -1)}))


@with_catalog
async def test_of_a_content_the_first_blob_stays(catalog: Catalog) -> None:
    created = await catalog.create(NAME, "ada", 1.0)
    first, second = content("a"), content("a")
    assert await catalog.keep(created.id, first, CLEAN, "ada", 1.0)
    assert not await catalog.keep(created.id, second, CLEAN, "bob", 1.0)
    assert not await catalog.keep(created.id, content("a"), CLEAN, "bob", 1.0)
    for who in ("ada", "bob"):
        assert catalog.sent(created.id, who, [first.digest])[first.digest][0].blob.id == first.blob.id
    assert catalog.sent(created.id, "eve", [first.digest]) == {}


@with_catalog
async def test_commits_to_different_files_follow_each_other(catalog: Catalog) -> None:
    await sent(catalog, await catalog.create(NAME, "ada", 1.0), "ab")
    drafts = [draft(catalog, NAME, {name: "a"}) for name in "pqrs"]
    done = await asyncio.gather(*(catalog.commit(NAME, each) for each in drafts))
    assert seen(catalog) == dict.fromkeys("pqrs", "a")
    assert [each.revision.parent for each in done[1:]] == [each.revision.id for each in done[:-1]]


@pytest.mark.parametrize(
    ("files", "removed", "folders"),
    [({"p": "b"}, set(), set()), ({}, {"p"}, set()), ({"p/below": "b"}, set(), set()), ({}, set(), {"p"})],
    ids=["the same file", "its removal", "a file below it", "a folder of its name"],
)
def test_commits_to_the_same_files_contradict_each_other(
    files: dict[str, str], removed: set[str], folders: set[str]
) -> None:
    @with_catalog
    async def race(catalog: Catalog) -> None:
        await sent(catalog, await catalog.create(NAME, "ada", 1.0), "ab")
        await catalog.commit(NAME, draft(catalog, NAME, {"p": "b", "q": "b"}))
        late = draft(catalog, NAME, {**files, "other": "a"}, removed, folders=frozenset(folders))
        await catalog.commit(NAME, draft(catalog, NAME, {"p": "a"}))
        before = seen(catalog)
        with pytest.raises(Conflict):
            await catalog.commit(NAME, late)
        assert seen(catalog) == before

    race()


@with_catalog
async def test_a_strict_commit_wants_the_very_head(catalog: Catalog) -> None:
    await sent(catalog, await catalog.create(NAME, "ada", 1.0), "a")
    late = draft(catalog, NAME, {"p": "a"}, strict=True)
    await catalog.commit(NAME, draft(catalog, NAME, {"q": "a"}))
    with pytest.raises(Conflict):
        await catalog.commit(NAME, late)
    await catalog.commit(NAME, draft(catalog, NAME, {"p": "a"}, strict=True))


@with_catalog
async def test_a_commit_that_fails_leaves_nothing(catalog: Catalog) -> None:
    await sent(catalog, await catalog.create(NAME, "ada", 1.0), "a")
    generation = catalog.generation
    inline = content("b")
    with pytest.raises(Malformed):
        await catalog.commit(
            NAME, draft(catalog, NAME, {"p": "a", "q": "b", "r": "c"}, inline={inline.digest: (inline, CLEAN)})
        )
    assert seen(catalog) == seen(Catalog(catalog._state)) == {}
    assert catalog.generation == generation
    assert catalog._state.read(lambda connection: connection.scalar(select(func.count()).select_from(blob))) == 1


@with_catalog
async def test_an_inline_content_that_is_there_already_is_spare(catalog: Catalog) -> None:
    created = await catalog.create(NAME, "ada", 1.0)
    await sent(catalog, created, "a", "bob")
    inline = content("a")
    done = await catalog.commit(NAME, draft(catalog, NAME, {"p": "a"}, inline={inline.digest: (inline, CLEAN)}))
    assert list(done.spare) == [inline.blob.id]
    assert seen(catalog) == {"p": "a"}


@with_catalog
async def test_the_cache_lets_the_least_used_go_and_keeps_the_others(catalog: Catalog) -> None:
    await sent(catalog, await catalog.create(NAME, "ada", 1.0), "a")
    small = Catalog(catalog._state, cached_files=8)
    # Revisions of 1, 2, 3, 4 and 5 files.
    heads = [(await small.commit(NAME, draft(small, NAME, {name: "a"}))).revision.id for name in "pqrst"]
    assert list(small._cached) == heads[-1:]
    for head in heads[:2]:
        assert seen(small, head)
    assert list(small._cached) == heads[:2]  # 2 and 3, with the 6 of the newest over 8
    assert seen(small) == dict.fromkeys("pqrst", "a")
    assert list(small._cached) == heads[4:]
    for head in (heads[0], heads[1], heads[0], heads[2]):
        assert seen(small, head)
    assert list(small._cached) == [heads[0], heads[2]]
