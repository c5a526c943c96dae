"""Rounds of review in the state: what was set since the last approved version, by whom, and what may be.

Rules: everything here runs inside a transaction of the caller's. INVARIANT (cap): what counts is what the version holds
of one contributor and the approved one before it does not, however many commits and devices it came by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from sqlalchemy import Connection, Row, func, select

from nomoat.core.chain import Changed, Link, hashes_of
from nomoat.core.directory import Cap
from nomoat.core.errors import Conflict, TooLarge
from nomoat.core.lifecycle import Stage
from nomoat.stores.revisions import ancestry, load_snapshot
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob, change, destroyed, revision, stage


@dataclass(frozen=True, slots=True)
class Limits:
    """What a dataset's declaration allows a commit to do."""

    append_only: bool = False
    cap: Cap | None = None


@final
class Rounds:
    """What is asked of one state's rounds outside of a transaction. Every method raises `Unavailable`."""

    def __init__(self, state: State) -> None:
        self._state = state

    def approved_before(self, commit: str) -> str | None:
        """The newest approved version before a version, which is not asked; None when there is none."""
        return self._state.read(lambda connection: approved_before(connection, commit))

    def links(self, commit: str) -> list[Link]:
        """The chain of manifests that ends with a version, oldest first."""
        return self._state.read(lambda connection: links(connection, commit))


def approved_before(connection: Connection, commit: str) -> str | None:
    """The newest approved version before a version, which is not asked; None when there is none."""
    chain = ancestry(commit)
    newest = select(func.max(stage.c.number)).group_by(stage.c.revision)
    approved = select(stage.c.revision).where(stage.c.number.in_(newest), stage.c.stage == Stage.APPROVED.value)
    return connection.scalar(
        select(chain.c.id).where(chain.c.id.in_(approved), chain.c.depth > 0).order_by(chain.c.depth).limit(1)
    )


def links(connection: Connection, commit: str) -> list[Link]:
    """The chain of manifests that ends with a version, oldest first."""
    chain = ancestry(commit)
    changes: dict[str, list[Changed]] = {}
    gone: dict[str, dict[str, str]] = {}
    for row in connection.execute(select(destroyed).join(chain, chain.c.id == destroyed.c.revision)):
        gone.setdefault(row.revision, {})[row.path] = row.hash
    rows = connection.execute(
        select(change.c.revision, change.c.path, blob.c.digest, blob.c.size)
        .select_from(chain.join(change, change.c.revision == chain.c.id).outerjoin(blob, blob.c.id == change.c.blob))
        .order_by(change.c.path)
    )
    for each, path, digest, size in rows:
        if path in gone.get(each, {}):
            continue
        changes.setdefault(each, []).append(Changed(path, digest or "", size or 0))
    made = connection.execute(
        select(revision).join(chain, chain.c.id == revision.c.id).order_by(chain.c.depth.desc())
    ).all()
    return [_link(row, changes.get(row.id, []), gone.get(row.id, {})) for row in made]


def _link(row: "Row[Any]", changes: Sequence[Changed], gone: Mapping[str, str]) -> Link:
    hashes = tuple(sorted([*hashes_of(changes), *gone.values()]))
    return Link(row.id, row.author, row.at, tuple(changes), hashes, row.manifest, tuple(sorted(gone)))


def require_allowed(connection: Connection, repository: str, commit: str, limits: Limits) -> None:
    """Let a version that was just made stand only if its dataset's limits allow what its author changed.

    Raises `Conflict` for a change of what the approved version has, `TooLarge` for more than one contributor may set.
    """
    base = approved_before(connection, commit)
    if base is None or not (limits.append_only or limits.cap):
        return
    if limits.append_only:
        _require_appended(connection, repository, commit, base)
    if limits.cap:
        _require_below(connection, commit, base, limits.cap)


def _require_appended(connection: Connection, repository: str, commit: str, base: str) -> None:
    approved = load_snapshot(connection, repository, base)
    paths = connection.scalars(select(change.c.path).where(change.c.revision == commit).order_by(change.c.path))
    touched = [path for path in paths if approved and path in approved.files]
    if touched:
        more = f" and {len(touched) - 1} more" if len(touched) > 1 else ""
        raise Conflict(
            f"{touched[0]}{more}: version {base[:12]} is approved and has it, and this dataset is append-only: add a "
            "file under another name, or have that version withdrawn first"
        )


def _require_below(connection: Connection, commit: str, base: str, cap: Cap) -> None:
    author = connection.scalar(select(revision.c.author).where(revision.c.id == commit))
    sizes = [size for contributor, size in _set_since(connection, commit, base).values() if contributor == author]
    if len(sizes) > cap.files or sum(sizes) > cap.size:
        raise TooLarge(
            f"with this, {len(sizes)} files of {sum(sizes)} bytes were yours since version {base[:12]} was approved, "
            f"and one contributor may set {cap.files} files of {cap.size} bytes together: wait until a version with "
            "what is there is approved, or commit less"
        )


def _set_since(connection: Connection, commit: str, base: str) -> Mapping[str, tuple[str, int]]:
    """Each path that was set since an approved version and is there: whose it is, and its size in bytes."""
    chain = ancestry(commit, until=base)
    rows = connection.execute(
        select(change.c.path, revision.c.author, blob.c.size)
        .select_from(
            chain.join(change, change.c.revision == chain.c.id)
            .join(revision, revision.c.id == chain.c.id)
            .outerjoin(blob, blob.c.id == change.c.blob)
        )
        .where(chain.c.id != base)
        .order_by(chain.c.depth)
    )
    newest: dict[str, tuple[str, int | None]] = {}
    for path, author, size in rows:
        newest.setdefault(path, (author, size))
    return {path: (author, size) for path, (author, size) in newest.items() if size is not None}
