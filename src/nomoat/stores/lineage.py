"""Lineage in the state: what sessions read, the run that published each version, and the label that it inherits.

Rules: that a session reads a file is stored before its first byte leaves, once a day and label, and in the same transaction
joined to what the session carries. INVARIANT (join): in the
transaction that makes a version, it inherits the label of the version before it and of everything that its run has
read, but for what it read in the same repository and writes there under a declaration as strict. INVARIANT (second person): what a version inherits is lowered in the transaction that finds the one who lowers it
among nobody who wrote it, or what it came of.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, final

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from nomoat.core.errors import Conflict, NotFound, NotPermitted
from nomoat.core.lineage import NOTHING, RUN_S, Label, Load, Lowered, Origin, Read, Run, Source
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.stores.labels import columns_of, label_of
from nomoat.stores.loads import Loads
from nomoat.stores.revisions import Revision
from nomoat.stores.session_labels import Grown, SessionLabels, grow
from nomoat.stores.stages import BY_ITSELF
from nomoat.stores.state import State
from nomoat.stores.state.schema import label, origin, reading, repository, revision

KNOWN: Final = 200_000
"""Readings that are known to be stored, in memory; about 300 bytes each."""
DAY_S: Final = 86_400

Describe: TypeAlias = Callable[[Origin], bytes]
Still: TypeAlias = Callable[[], None]
_Key: TypeAlias = tuple[str, str, str, int, Label]


@final
class Lineage:
    """What is kept of what went into what.

    Labels of versions are in memory whole: most versions inherit nothing, and have none. They follow the state in the
    order of its commits. `known` bounds how many readings are remembered: one that is forgotten is stored again, which
    changes nothing. `sessions` has what each session carries, which what it reads is joined to.
    """

    def __init__(self, state: State, known: int = KNOWN) -> None:
        self._state = state
        self._labels = state.read(_labels)
        self._most = known
        self._known: dict[_Key, None] = {}  # the oldest first
        self._pending: dict[_Key, Read] = {}
        self._turn = asyncio.Lock()
        self._changed = 0
        self.loads = Loads(state)
        self.sessions = SessionLabels(state)

    @property
    def generation(self) -> int:
        """A number that moves when a version's label is lowered or loaded, and when one that a session carries grows."""
        return self._changed + self.sessions.generation

    def label(self, commit: str) -> Label:
        """What a version inherits."""
        return self._labels.get(commit, NOTHING)

    def learn(self, commit: str, inherited: Label) -> None:
        """Follow a version to what it inherits now."""
        if inherited == NOTHING:
            self._labels.pop(commit, None)
        else:
            self._labels[commit] = inherited

    def learn_load(self, commit: str, repository: str, told: Load) -> None:
        """Follow a workload to the version that it says it loaded."""
        self.loads.learn(commit, repository, told)
        self._changed += 1

    async def note(self, read: Read) -> None:
        """Return when it is stored that a session reads a file. Raises `Unavailable` when it cannot be.

        What many read at once is stored at once.
        """
        key = (read.session, read.commit, read.path, int(read.at // DAY_S), read.label)
        if key in self._known:
            return
        self._pending[key] = read
        try:
            async with self._turn:
                if key in self._known:  # stored with what others read
                    return
                batch = {**self._pending, key: read}
                # Prompts are decided on what sessions carry; on readings only in a later transaction, which is followed.
                followed = self.sessions.grows(_joined(batch))
                await self._state.write(partial(_note, batch), partial(self._noted, batch), followed=followed)
        finally:
            if self._pending.get(key) is read:  # and not that of a request for the same file
                del self._pending[key]

    def _noted(self, batch: Mapping[_Key, Read], grown: Grown) -> None:
        self.sessions.follow(grown)
        for key in batch:
            self._pending.pop(key, None)
            self._known[key] = None
        while len(self._known) > self._most:
            del self._known[next(iter(self._known))]

    async def lower(self, of: Revision, lowered: Lowered, record: int, still: Still) -> None:
        """Let a version inherit a weaker label.

        Raises `Conflict` when it is no weaker one, `NotPermitted` when who says so wrote the version or what it came of.
        """

        def change(connection: Connection) -> None:
            still()
            if lowered.subject in writers(connection, of.id):
                raise NotPermitted(
                    "who wrote a version, or what it came of, does not lower its label; another person has to"
                )
            before = inherited(connection, of.id)
            if before == lowered.label or not before.covers(lowered.label):
                raise Conflict("this label is no weaker than the one that the version inherits")
            _set(connection, of.id, lowered, record)

        def follow(_: None) -> None:
            self.learn(of.id, lowered.label)
            self._changed += 1

        await self._state.write(change, follow)


# -- Inside a transaction ---------------------------------------------------------------------------


def derive(connection: Connection, made: Revision, run: Run, describe: Describe) -> Label:
    """Note what a new version came of, and return what it inherits. `describe` makes the statement that is kept of it."""
    newest = connection.scalar(select(func.coalesce(func.max(reading.c.number), 0)))
    row = {"revision": made.id, "repository": made.repository, "subject": run.subject, "session": run.session}
    since = (made.at - RUN_S) // DAY_S * DAY_S  # the first reading of a day stands for all of that day
    bounds = {"since": since, "upto": newest, "record": run.record}
    connection.execute(insert(origin).values(**row, **bounds, at=made.at, statement=b""))
    found = sources(connection, made.id)
    own = named(connection, [made.repository])[made.repository]
    # What was read here and is written where the same declaration is as strict needs no join: the declaration governs both.
    read = [each.label for each in found if each.name != own or not run.keeps(each.label)]
    joined = Label.of([inherited(connection, made.parent), *read])
    if joined != NOTHING:
        _set(connection, made.id, Lowered(joined, BY_ITSELF, made.at, ""), run.record)
    if statement := describe(Origin(made.id, run, made.at, found)):
        connection.execute(update(origin).where(origin.c.revision == made.id).values(statement=statement))
    return joined


def of_run() -> ColumnElement[bool]:
    """Which readings a run is taken to have made its version of: a condition on `reading` and `origin`."""
    lately = or_(reading.c.session == origin.c.session, reading.c.at >= origin.c.since)
    return (reading.c.subject == origin.c.subject) & (reading.c.number <= origin.c.upto) & lately


def sources(connection: Connection, commit: str) -> tuple[Source, ...]:
    """The versions that the run of a version had read, by their first record."""
    rows = connection.execute(
        select(reading).join(origin, of_run()).where(origin.c.revision == commit).order_by(reading.c.number)
    )
    read: dict[str, list[Row[Any]]] = {}
    for row in rows:
        read.setdefault(row.revision, []).append(row)
    names = named(connection, {of[0].repository for of in read.values()})
    return tuple(
        Source(
            name=names.get(of[0].repository),
            commit=commit_read,
            label=Label.of({label_of(row.classification, row.labels) for row in of}),
            at=of[0].at,
            record=of[0].record,
            digests=tuple(dict.fromkeys((row.path, row.digest) for row in of)),
        )
        for commit_read, of in read.items()
    )


def named(connection: Connection, ids: Collection[str]) -> dict[str, RepositoryName]:
    """What repositories are called, by id; those that were deleted are missing."""
    rows = connection.execute(select(repository).where(repository.c.id.in_(ids)))
    return {row.id: RepositoryName(RepositoryKind(row.kind), row.namespace, row.name) for row in rows}


def inherited(connection: Connection, commit: str) -> Label:
    """What a version inherits."""
    row = connection.execute(
        select(label).where(label.c.revision == commit).order_by(label.c.number.desc()).limit(1)
    ).one_or_none()
    return label_of(row.classification, row.labels) if row else NOTHING


def lowered(connection: Connection, commit: str) -> Lowered | None:
    """By whose word a version inherits what it does; None when by nobody's."""
    row = connection.execute(
        select(label).where(label.c.revision == commit).order_by(label.c.number.desc()).limit(1)
    ).one_or_none()
    if row is None or row.subject == BY_ITSELF:
        return None
    return Lowered(label_of(row.classification, row.labels), row.subject, row.at, row.reason)


def statement_of(connection: Connection, commit: str) -> bytes:
    """What is kept of how a version came to be; b"" when nothing is."""
    return connection.scalar(select(origin.c.statement).where(origin.c.revision == commit)) or b""


def writers(connection: Connection, commit: str) -> frozenset[str]:
    """Who wrote a version, in whatever commit up to it, and who wrote what it has its label from.

    Of a repository that was deleted it is not known any more which version came before which: whoever published in it.
    """
    found, seen, left = set[str](), set[str](), {commit}
    while left:
        seen |= left
        first = select(revision.c.id, revision.c.parent).where(revision.c.id.in_(left)).cte(recursive=True)
        chain = first.union(select(revision.c.id, revision.c.parent).join(first, revision.c.id == first.c.parent))
        there = select(repository.c.id)
        gone = select(reading.c.repository).where(reading.c.revision.in_(left), reading.c.repository.not_in(there))
        found.update(connection.scalars(select(revision.c.author).join(chain, chain.c.id == revision.c.id).distinct()))
        found.update(connection.scalars(select(origin.c.subject).where(origin.c.repository.in_(gone)).distinct()))
        read = (
            select(reading.c.revision)
            .join(origin, of_run())
            .where(or_(origin.c.revision.in_(select(chain.c.id)), origin.c.repository.in_(gone)))
            .where(or_(reading.c.classification > NOTHING.classification.value, reading.c.labels != "[]"))
            .distinct()
        )
        left = set(connection.scalars(read)) - seen
    return frozenset(found)


def _set(connection: Connection, commit: str, now: Lowered, record: int) -> None:
    if connection.scalar(select(revision.c.id).where(revision.c.id == commit)) is None:
        raise NotFound("Revision not found", kind="revision", detail="deleted meanwhile")
    row = {"subject": now.subject, "at": now.at, "reason": now.reason, "record": record}
    connection.execute(insert(label).values(revision=commit, **row, **columns_of(now.label)))


def _joined(batch: Mapping[_Key, Read]) -> list[tuple[str, Label]]:
    """What the sessions of some readings carry by them."""
    return [(read.session, read.label) for read in batch.values()]


def _note(batch: Mapping[_Key, Read], connection: Connection) -> Grown:
    rows = [
        {
            "session": read.session,
            "day": day,
            "revision": read.commit,
            "path": read.path,
            "subject": read.subject,
            "repository": read.repository,
            "digest": read.digest,
            "at": read.at,
            "record": read.record,
            **columns_of(read.label),
        }
        for (_, _, _, day, _), read in batch.items()
    ]
    connection.execute(insert_or(reading).on_conflict_do_nothing(), rows)
    return grow(connection, _joined(batch), max(read.at for read in batch.values()))


def _labels(connection: Connection) -> dict[str, Label]:
    rows = connection.execute(select(label).order_by(label.c.number))
    newest = {row.revision: label_of(row.classification, row.labels) for row in rows}
    return {commit: found for commit, found in newest.items() if found != NOTHING}
