"""Which versions went into which, followed both ways through what runs read and through the commits of a branch.

Rules: everything here runs inside a transaction of the caller's. A version has the content of the
ones before it in its branch, so what went into those went into it. Answers are bounded.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select
from sqlalchemy.dialects.sqlite import insert as insert_or

from nomoat.core.lineage import Load, Relative
from nomoat.stores.lineage import of_run
from nomoat.stores.revisions import ancestry
from nomoat.stores.rounds import changed_contents
from nomoat.stores.state.schema import change, load, origin, reading, revision

MOST: Final = 1_000
"""Versions in one answer."""
MOST_LOADS: Final = 100


class Found(NamedTuple):
    """Some relatives of a version; `more`: there are more than an answer has."""

    relatives: tuple[Relative, ...]
    more: bool


class Sought(NamedTuple):
    """Of which readings descendants are wanted: of a repository, and of one version, path, content, contributor ('': any)."""

    repository: str
    commit: str = ""
    path: str = ""
    digest: str = ""
    contributor: str = ""


def ancestors(connection: Connection, commit: str, most: int = MOST) -> Found:
    """What went into a version: what its run read, what those came of, and so on; the nearest first."""
    found: dict[str, Relative] = {}
    left, seen = [commit], {commit}
    while left:
        at = left.pop(0)
        chain = ancestry(at)
        rows = connection.execute(
            _read(reading.c.revision, reading.c.repository)
            .add_columns(func.min(chain.c.depth))
            .join(chain, chain.c.id == origin.c.revision)
            .group_by(reading.c.revision, reading.c.repository)
            .order_by(func.min(chain.c.depth), func.min(reading.c.record))
        )
        for other, repository, subject, session, files, record, depth in rows:
            if other in seen:
                continue
            if len(found) == most:
                return Found(tuple(found.values()), more=True)
            seen.add(other)
            left.append(other)
            direct = at == commit and depth == 0
            found[other] = Relative(repository, other, direct, subject, session, files, record)
    return Found(tuple(found.values()), more=False)


def descendants(connection: Connection, sought: Sought, most: int = MOST) -> Found:
    """What came of some readings: what was published after them, what came of that, and so on."""
    found: dict[str, Relative] = {}
    left: list[str] = []
    seen = {sought.commit} if sought.commit else set[str]()

    def take(rows: Iterable[Relative]) -> bool:
        for each in rows:
            if each.commit in seen:
                continue
            if len(found) == most:
                return False
            seen.add(each.commit)
            left.append(each.commit)
            if each.files or each.repository != sought.repository:  # not merely the next one in the branch
                found[each.commit] = each
        return True

    whole = take(_published(connection, _matching(sought), direct=True))
    if sought.commit and not (sought.path or sought.digest or sought.contributor):
        whole = whole and take(_children(connection, sought.commit))
    while left and whole:
        at = left.pop(0)
        whole = take(_published(connection, reading.c.revision == at, direct=False)) and take(_children(connection, at))
    return Found(tuple(found.values()), more=not whole)


def loads(connection: Connection, commit: str) -> list[Load]:
    """Which workloads' sessions fetched or reported a version, the newest first, and what they reported."""
    fetched = (
        select(
            reading.c.subject,
            reading.c.session,
            func.min(reading.c.at).label("at"),
            func.count(reading.c.path.distinct()).label("files"),
        )
        .where(reading.c.revision == commit, reading.c.subject.startswith("workload:"))
        .group_by(reading.c.subject, reading.c.session)
        .order_by(func.max(reading.c.number).desc())
        .limit(MOST_LOADS)
    )
    reported = {
        row.session: row for row in connection.execute(select(load).where(load.c.revision == commit).limit(MOST))
    }
    found = [
        Load(row.subject, row.session, row.at, row.files, told.digest if told else "", bool(told and told.verified))
        for row in connection.execute(fetched)
        for told in [reported.pop(row.session, None)]
    ]
    unfetched = [Load(row.subject, row.session, row.at, 0, row.digest, verified=False) for row in reported.values()]
    return [*found, *unfetched][:MOST_LOADS]


def fetched(connection: Connection, session: str, commit: str) -> frozenset[tuple[str, str]]:
    """The (path, SHA-256) pairs of a version whose bytes a session was given."""
    rows = select(reading.c.path, reading.c.digest).where(reading.c.session == session, reading.c.revision == commit)
    return frozenset((row.path, row.digest) for row in connection.execute(rows))


def _read(*what: ColumnElement[str]) -> "Select[str, str, str, str, int, int]":
    """What runs read: `what`, who read, how many files, and the first record that says so."""
    who = (func.min(origin.c.subject), func.min(reading.c.session))
    how = (func.count(reading.c.path.distinct()), func.min(reading.c.record))
    first, second = what
    return select(first, second, *who, *how).select_from(reading).join(origin, of_run())


def _published(connection: Connection, where: ColumnElement[bool], *, direct: bool) -> list[Relative]:
    rows = connection.execute(
        _read(origin.c.revision, origin.c.repository)
        .where(where)
        .group_by(origin.c.revision, origin.c.repository)
        .order_by(func.min(origin.c.at))
        .limit(MOST + 1)
    )
    return [
        Relative(repository, commit, direct, subject, session, files, record)
        for commit, repository, subject, session, files, record in rows
    ]


def _children(connection: Connection, commit: str) -> list[Relative]:
    rows = connection.execute(
        select(revision.c.id, origin)
        .join(origin, origin.c.revision == revision.c.id)
        .where(revision.c.parent == commit)
    )
    return [Relative(row.repository, row.id, False, row.subject, row.session, 0, row.record) for row in rows]


def _matching(sought: Sought) -> ColumnElement[bool]:
    where = [reading.c.repository == sought.repository]
    if sought.commit and not sought.digest:
        where.append(reading.c.revision == sought.commit)
    if sought.path and not sought.digest:
        where.append(reading.c.path == sought.path)
    if sought.digest:
        where.append(reading.c.digest == sought.digest)
    if sought.contributor:
        theirs = (
            changed_contents()
            .join(revision, revision.c.id == change.c.revision)
            .where(revision.c.repository == sought.repository, revision.c.author == sought.contributor)
            .subquery()
        )
        where.append(reading.c.digest.in_(select(theirs.c.digest).where(theirs.c.digest.is_not(None))))
    return and_(*where)


def keep_load(connection: Connection, commit: str, told: Load, record: int) -> None:
    """Note what a session reported to have loaded of a version; its last word counts."""
    row = {
        "subject": told.subject,
        "digest": told.digest,
        "verified": int(told.verified),
        "at": told.at,
        "record": record,
    }
    said = insert_or(load).values(revision=commit, session=told.session, **row)
    connection.execute(said.on_conflict_do_update(index_elements=["revision", "session"], set_=row))
