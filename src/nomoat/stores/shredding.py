"""Shredding: the wrapped keys of a version's contents are destroyed, so that no copy of a blob is of use again.

Rules: a content that another version has, too, is destroyed only with that version, or stays. The order is state,
journal, disk: with the row goes the only copy of the wrapped key, and SQLite overwrites it (`secure_delete`); then the
write-ahead log is emptied; then the blobs are removed, and a crash before that leaves blobs without rows, which the
next start removes. What the version was called, who wrote it and that it was shredded stays.

INVARIANT (alone or named): whether another version has a content is asked in the very transaction that destroys it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from nomoat.core.chain import Changed
from nomoat.core.errors import Conflict, NotFound
from nomoat.core.lifecycle import Stage, Standing
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import CreatedRepository
from nomoat.stores.objects import Objects
from nomoat.stores.references import SHOWN, Forgotten
from nomoat.stores.revisions import load_snapshot
from nomoat.stores.stages import served, set_stage, standing
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob, branch, change, destroyed, profile, revision, upload
from nomoat.stores.streaming import ciphertext_size

NAMED: Final = 8  # versions that a refusal names


@dataclass(frozen=True, slots=True)
class Shredded:
    """What was shredded: the contents that are gone, how many stay because others have them, and where branches are.

    `journal` is whether the write-ahead log was emptied at once; if not, it is at the next start.
    """

    forgotten: Sequence[Forgotten]
    kept: int
    served: Mapping[str, str]
    journal: bool = False


@final
class Shredding:
    """Shreds versions. `discard` removes blobs that the state has forgotten."""

    def __init__(
        self, state: State, catalog: Catalog, objects: Objects, discard: Callable[[Sequence[Forgotten], str], None]
    ) -> None:
        self._state = state
        self._catalog = catalog
        self._objects = objects
        self._discard = discard

    async def shred(
        self,
        of: CreatedRepository,
        commits: Sequence[str],
        now: Standing,
        *,
        keep_shared: bool,
        record: int,
        still: Callable[[], None],
        then: Callable[[], None],
    ) -> Shredded:
        """Shred versions of a repository together; `then` is called in the event loop right after the commit.

        `now` is where they stand from then on, `record` the one of the log that led to it. Raises `NotFound` for what
        is no version, `Conflict` for what is shredded and for contents that other versions have, too,
        `Unavailable` when the state fails: then nothing was destroyed.
        """

        def change(connection: Connection) -> Shredded:
            still()
            return shred(connection, of.id, commits, now, keep_shared=keep_shared, record=record)

        def follow(done: Shredded) -> None:
            for commit in commits:
                self._catalog.restage(of, commit, Stage.SHREDDED, done.served)
            self._catalog.forget_files()  # they hold wrapped keys
            self._objects.forget({each.id for each in done.forgotten})
            then()
            self._discard(done.forgotten, "their version was shredded")

        done = await self._state.write(change, follow)
        return Shredded(done.forgotten, done.kept, done.served, await self._state.empty_journal())


def shred(
    connection: Connection,
    repository_id: str,
    commits: Sequence[str],
    now: Standing,
    *,
    keep_shared: bool,
    record: int,
) -> Shredded:
    """Destroy the rows of the contents of versions, within a transaction of the caller's. Raises as `Shredding`."""
    contents = set[str]()
    for commit in commits:
        snapshot = load_snapshot(connection, repository_id, commit)
        if snapshot is None:
            raise NotFound("Revision not found", kind="revision")
        if snapshot.stage is Stage.SHREDDED:
            raise Conflict(f"version {commit} was shredded already")
        contents |= {file.blob.id for file in snapshot.files.values()}
    shared = _sharers(connection, repository_id, contents, set(commits))
    if shared and not keep_shared:
        raise Conflict(_refusal(connection, repository_id, shared))
    kept = {content for others in shared.values() for content in others}
    gone = sorted(contents - kept)
    forgotten = [forget for page in _pages(gone) for forget in _destroy(connection, page)]
    for commit in commits:
        set_stage(connection, commit, now, record=record)
    return Shredded(forgotten, len(kept), served(connection, repository_id))


def _destroy(connection: Connection, page: Sequence[str]) -> list[Forgotten]:
    rows = connection.execute(select(blob.c.id, blob.c.size).where(blob.c.id.in_(page))).all()
    _stand_in(connection, page)
    # Only versions that are shredded, now or before, have these: to the others such a path is one that was replaced.
    connection.execute(update(change).where(change.c.blob.in_(page)).values(blob=None))
    for table in (upload, profile):
        connection.execute(delete(table).where(table.c.blob.in_(page)))
    connection.execute(delete(blob).where(blob.c.id.in_(page)))
    return [Forgotten(row.id, ciphertext_size(row.size)) for row in rows]


def _stand_in(connection: Connection, page: Sequence[str]) -> None:
    """Keep what stands in the chain of manifests for what is destroyed: it says nothing of a content, and ends no chain."""
    changed = select(change.c.revision, change.c.path, blob.c.digest, blob.c.size).join(
        blob, blob.c.id == change.c.blob
    )
    rows = [
        {"revision": row.revision, "path": row.path, "hash": Changed(row.path, row.digest, row.size).hash}
        for row in connection.execute(changed.where(change.c.blob.in_(page)))
    ]
    if rows:
        connection.execute(insert(destroyed), rows)


def _sharers(
    connection: Connection, repository_id: str, contents: Collection[str], but: Collection[str]
) -> dict[str, set[str]]:
    """The versions that have any of the contents, each with those; `but` and what is shredded are left out."""
    paths = {row.path for page in _pages(sorted(contents)) for row in _changes(connection, change.c.blob.in_(page))}
    sets: dict[str, dict[str, str | None]] = defaultdict(dict)
    for page in _pages(sorted(paths)):
        for row in _changes(connection, change.c.path.in_(page), revision.c.repository == repository_id):
            sets[row.revision][row.path] = row.blob if row.blob in contents else None
    children: dict[str | None, list[str]] = defaultdict(list)
    mine = select(revision.c.id, revision.c.parent).where(revision.c.repository == repository_id)
    for identifier, parent in connection.execute(mine):
        children[parent].append(identifier)
    found: dict[str, set[str]] = {}
    waiting: list[tuple[str, dict[str, str]]] = [(first, {}) for first in children[None]]
    while waiting:
        commit, before = waiting.pop()
        has = before
        if commit in sets:
            has = {path: held for path, held in {**before, **sets[commit]}.items() if held is not None}
        if has and commit not in but and standing(connection, commit).stage is not Stage.SHREDDED:
            found[commit] = set(has.values())
        waiting += [(child, has) for child in children[commit]]
    return found


def _changes(connection: Connection, *where: ColumnElement[bool]) -> Sequence[Row[Any, Any, Any]]:
    found = select(change.c.revision, change.c.path, change.c.blob).join(revision, revision.c.id == change.c.revision)
    return connection.execute(found.where(*where)).all()


def _refusal(connection: Connection, repository_id: str, shared: Mapping[str, set[str]]) -> str:
    heads = select(branch.c.name, branch.c.revision).where(branch.c.repository == repository_id)
    names: dict[str, list[str]] = defaultdict(list)
    for name, head in connection.execute(heads):
        names[head].append(name)
    said = [
        f"{commit} ({', '.join(sorted(names[commit]))})" if commit in names else commit for commit in sorted(shared)
    ]
    more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
    count = len({content for each in shared.values() for content in each})
    return (
        f"{count} of its contents are also in {', '.join(said[:NAMED])}{more}: shred these with it (--also COMMIT, "
        "again for each), or keep what they share (--keep-shared)"
    )


def _pages(items: Sequence[str]) -> list[Sequence[str]]:
    return [items[start : start + SHOWN] for start in range(0, len(items), SHOWN)]
