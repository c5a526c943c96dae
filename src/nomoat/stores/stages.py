"""Stages of versions in the state: every change of one is a row, and the newest row counts.

Rules: everything here runs inside a transaction of the caller's. INVARIANT (two people): a version is approved in the
transaction that finds its approver among nobody who wrote it since the version that was approved before.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, insert, select

from nomoat.core.errors import Conflict, NotFound
from nomoat.core.lifecycle import Stage, Standing
from nomoat.core.verdict import Verdict
from nomoat.stores.revisions import ancestry, load_snapshot
from nomoat.stores.rounds import approved_before
from nomoat.stores.state.schema import branch, revision, stage

BY_ITSELF: Final = "gateway"
"""Who approves what nobody has to review."""


def set_stage(connection: Connection, commit: str, standing: Standing, *, record: int = 0) -> None:
    """Note where a version stands from now on. `record` is the log's that led to it."""
    row = {**standing._asdict(), "stage": standing.stage.value}
    connection.execute(insert(stage).values(revision=commit, record=record, **row))


def standing(connection: Connection, commit: str) -> Standing:
    """Where a version stands. Raises `NotFound` when there is none."""
    row = connection.execute(
        select(stage).where(stage.c.revision == commit).order_by(stage.c.number.desc()).limit(1)
    ).one_or_none()
    if row is None:
        raise NotFound("Revision not found", kind="revision", detail="it has no stage")
    return Standing(Stage(row.stage), row.subject, row.at, row.reason, row.statement)


def served(connection: Connection, repository_id: str, names: Iterable[str] = ()) -> dict[str, str]:
    """For each branch of a repository (or for those named), its newest approved version; no entry where none is."""
    heads = select(branch.c.name, branch.c.revision).where(branch.c.repository == repository_id)
    if wanted := list(names):
        heads = heads.where(branch.c.name.in_(wanted))
    found: dict[str, str] = {}
    for name, head in connection.execute(heads).all():
        at: str | None = head
        while at is not None:
            if standing(connection, at).stage is Stage.APPROVED:
                found[name] = at
                break
            at = connection.scalar(select(revision.c.parent).where(revision.c.id == at))
    return found


def authors(connection: Connection, commit: str) -> frozenset[str]:
    """Who wrote a version: the authors of its commits back to the newest approved one before it, which is not asked."""
    limit = approved_before(connection, commit)
    chain = ancestry(commit, until=limit or "")
    written = select(revision.c.author).join(chain, chain.c.id == revision.c.id)
    return frozenset(connection.scalars(written.where(chain.c.id != limit) if limit else written))


def promote(
    connection: Connection, repository_id: str, commit: str, before: Stage, standing_: Standing, *, record: int
) -> None:
    """Approve a version that stood at `before` when it was judged.

    Raises `Conflict` when it is approved, when it does not stand there any more, or when its approver is one of its
    authors.
    """
    _require_of(connection, repository_id, commit)
    if (now := standing(connection, commit).stage) is Stage.APPROVED:
        raise Conflict("this version is approved already")
    require_kept(now)
    if now is not before:
        raise Conflict(f"this version went from {before} to {now} while it was judged: look at it again")
    if standing_.subject in authors(connection, commit):
        raise Conflict("who wrote a version does not approve it; another person has to")
    set_stage(connection, commit, standing_, record=record)


def withdraw(connection: Connection, repository_id: str, commit: str, standing_: Standing, *, record: int) -> None:
    """Withdraw a version, whatever its stage. Raises `Conflict` when it is withdrawn."""
    _require_of(connection, repository_id, commit)
    if (now := standing(connection, commit).stage) is Stage.WITHDRAWN:
        raise Conflict("this version is withdrawn already")
    require_kept(now)
    set_stage(connection, commit, standing_, record=record)


def hold(connection: Connection, repository_id: str, content: str, at: float, why: str) -> list[str]:
    """Put the approved versions of a repository that have a refused content into quarantine; return which they are.

    Whoever approved one did not know. `content` is the id of a blob, `at` Unix seconds.
    """
    held: list[str] = []
    for commit in connection.scalars(select(revision.c.id).where(revision.c.repository == repository_id)).all():
        if standing(connection, commit).stage is not Stage.APPROVED:
            continue
        version = load_snapshot(connection, repository_id, commit)
        files = version.files.values() if version else ()
        if any(file.blob.id == content and file.verdict is Verdict.REFUSED for file in files):
            set_stage(connection, commit, Standing(Stage.QUARANTINED, BY_ITSELF, at, why))
            held.append(commit)
    return held


def require_kept(now: Stage) -> None:
    """Raise `Conflict` for a version whose contents were destroyed."""
    if now is Stage.SHREDDED:
        raise Conflict("this version was shredded: its contents are gone for good")


def _require_of(connection: Connection, repository_id: str, commit: str) -> None:
    of = select(revision.c.id).where(revision.c.id == commit, revision.c.repository == repository_id)
    if connection.scalar(of) is None:
        raise NotFound("Revision not found", kind="revision")
