"""Names and history of revisions in the state, and the end of a whole repository.

Rules: everything here runs inside a transaction of the caller's. A name means a branch or a tag, never
both. A branch or tag that is removed leaves its commits, which are found by their ids; only the end of
the repository takes them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, exists, insert, select

from nomoat.core.errors import Conflict, NotFound
from nomoat.stores.revisions import Revision, ancestry, read_revision, require_repository
from nomoat.stores.state.schema import (
    blob,
    branch,
    change,
    destroyed,
    profile,
    repository,
    revision,
    stage,
    tag,
    upload,
)
from nomoat.stores.streaming import ciphertext_size

SHOWN: Final = 500  # bound parameters in one statement


class Forgotten(NamedTuple):
    """A content that the state has forgotten; `length` is what it takes on the disk, in bytes."""

    id: str
    length: int


class TagDraft(NamedTuple):
    """A tag to be made; `at` is Unix seconds."""

    name: str
    commit: str
    message: str
    author: str
    at: float


class LastChange(NamedTuple):
    """The commit that last set a path; `at` is Unix seconds."""

    commit: str
    at: float


def create_branch(connection: Connection, repository_id: str, name: str, commit: str) -> None:
    """Make a branch at a commit of the repository. Raises `Conflict` when the name is taken."""
    _require_free(connection, repository_id, name)
    connection.execute(insert(branch).values(repository=repository_id, name=name, revision=commit))


def delete_branch(connection: Connection, repository_id: str, name: str, head: str) -> None:
    """Remove a branch that is still at `head`. Raises `Conflict` when it moved."""
    here = (branch.c.repository == repository_id, branch.c.name == name, branch.c.revision == head)
    if connection.execute(delete(branch).where(*here)).rowcount != 1:
        raise Conflict(f"{name} changed meanwhile; look at what is new and try again")


def create_tag(connection: Connection, repository_id: str, made: TagDraft) -> None:
    """Make a tag at a commit of the repository. Raises `Conflict` when the name is taken."""
    _require_free(connection, repository_id, made.name)
    row = {"name": made.name, "revision": made.commit, "message": made.message, "author": made.author, "at": made.at}
    connection.execute(insert(tag).values(repository=repository_id, **row))


def delete_tag(connection: Connection, repository_id: str, name: str) -> None:
    """Remove a tag. Raises `Conflict` when somebody else did."""
    if connection.execute(delete(tag).where(tag.c.repository == repository_id, tag.c.name == name)).rowcount != 1:
        raise Conflict(f"{name} changed meanwhile; look at what is new and try again")


def revisions(connection: Connection, ids: Sequence[str]) -> dict[str, Revision]:
    """Those of the commits that there are, by id."""
    found: dict[str, Revision] = {}
    for start in range(0, len(ids), SHOWN):
        rows = connection.execute(select(revision).where(revision.c.id.in_(ids[start : start + SHOWN])))
        found.update((row.id, read_revision(row)) for row in rows)
    return found


def history(connection: Connection, repository_id: str, start: str, limit: int) -> list[Revision]:
    """The commit `start` of the repository and those before it, newest first, at most `limit`."""
    chain = ancestry(start, depth=limit - 1)
    rows = connection.execute(
        select(revision)
        .join(chain, chain.c.id == revision.c.id)
        .where(revision.c.repository == repository_id)
        .order_by(chain.c.depth)
    )
    return [read_revision(row) for row in rows]


def changed_paths(connection: Connection, commits: Sequence[str]) -> Mapping[str, list[str]]:
    """The paths that each of the commits sets or removes."""
    found: dict[str, list[str]] = {commit: [] for commit in commits}
    for row in connection.execute(select(change.c.revision, change.c.path).where(change.c.revision.in_(commits))):
        found[row.revision].append(row.path)
    return found


def last_changes(connection: Connection, start: str, paths: Sequence[str]) -> Mapping[str, LastChange]:
    """For each of the paths, the newest commit up to `start` that set it."""
    chain = ancestry(start)
    found: dict[str, LastChange] = {}
    for at in range(0, len(paths), SHOWN):
        rows = connection.execute(
            select(change.c.path, revision.c.id, revision.c.at)
            .select_from(
                chain.join(change, change.c.revision == chain.c.id).join(revision, revision.c.id == chain.c.id)
            )
            .where(change.c.path.in_(paths[at : at + SHOWN]))
            .order_by(chain.c.depth)
        )
        for row in rows:
            found.setdefault(row.path, LastChange(row.id, row.at))
    return found


def delete_repository(connection: Connection, repository_id: str) -> list[Forgotten]:
    """Forget a repository, its names, history and contents; return the contents, to be removed.

    Raises `NotFound` when somebody else was faster.
    """
    mine = select(blob.c.id).where(blob.c.repository == repository_id)
    contents = [
        Forgotten(row.id, ciphertext_size(row.size))
        for row in connection.execute(select(blob.c.id, blob.c.size).where(blob.c.repository == repository_id))
    ]
    for table in (upload, profile):
        connection.execute(delete(table).where(table.c.blob.in_(mine)))
    commits = select(revision.c.id).where(revision.c.repository == repository_id)
    for table in (change, destroyed, stage):
        connection.execute(delete(table).where(table.c.revision.in_(commits)))
    for table in (branch, tag, revision, blob):
        connection.execute(delete(table).where(table.c.repository == repository_id))
    if connection.execute(delete(repository).where(repository.c.id == repository_id)).rowcount != 1:
        raise NotFound("Repository not found", kind="repository", detail="deleted meanwhile")
    return contents


def _require_free(connection: Connection, repository_id: str, name: str) -> None:
    require_repository(connection, repository_id)
    taken: Iterable[tuple[str, bool]] = (
        (
            kind,
            bool(connection.scalar(select(exists().where(table.c.repository == repository_id, table.c.name == name)))),
        )
        for kind, table in (("branch", branch), ("tag", tag))
    )
    for kind, there in taken:
        if there:
            raise Conflict(f"there is a {kind} {name} already")
