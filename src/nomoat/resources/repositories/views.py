"""Views of datasets: which files one is made of, and who gets its rows, each for a permit.

Rules: a view is decided on by its name, with the labels and the classification that were declared for it; whether it
is declared is said only to who may query it. The files go to a process that makes the view of them, under the permit
of whoever asked first; nobody's SQL comes near them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, final

from nomoat.core.directory import Directory
from nomoat.core.errors import NotFound, Unanswered
from nomoat.core.lineage import Label, Read
from nomoat.core.operation import Operation, QueryView, Resolved
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.core.view import FORMATS, View
from nomoat.resources.repositories.labels import as_inherited, matches, repository_target, version_of, view_target
from nomoat.resources.repositories.resolution import MISSING, Resolver, existing, place_in, require_kept
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import CreatedRepository
from nomoat.stores.objects import Objects
from nomoat.stores.revisions import Snapshot, StoredFile


class ViewPlace(NamedTuple):
    """A view of a revision, and its label; no `snapshot`: no such revision, no `view`: none is declared."""

    created: CreatedRepository
    snapshot: Snapshot | None
    view: View | None
    label: Label


class Source(NamedTuple):
    """A file that a view is made of: its format, its size in bytes, and its content while it is open."""

    format: str
    size: int
    open: Callable[[], AbstractContextManager[Iterator[bytes]]]


@dataclass(frozen=True, slots=True)
class Question:
    """`subject`'s SQL over a view of the commit `version` of a repository (by its id). `key` makes the view's pseudonyms."""

    subject: str
    repository: str
    version: str
    view: View
    key: bytes
    sources: Sequence[Source]
    sql: str


class Answer(NamedTuple):
    """Rows as an Arrow stream: how many, how many bytes, and these."""

    rows: int
    size: int
    parts: AsyncIterator[bytes]


class Engine(Protocol):
    """Runs a query where there is nothing but the view.

    Raises `Unanswered`, `TooLarge` or `Unavailable` on entering, before a byte of the answer.
    """

    def answer(self, question: Question, /) -> AbstractAsyncContextManager[Answer]:
        """Run the query; the answer is there for the time of the `async with`."""
        ...

    def forget(self, version: str, /) -> None:
        """Forget what was made of a version that is destroyed."""
        ...


@final
class Views:
    """What may be queried. `key_of` returns the key of a project's pseudonyms."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        catalog: Catalog,
        objects: Objects,
        engine: Engine,
        key_of: Callable[[str], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._catalog = catalog
        self._objects = objects
        self._engine = engine
        self._key_of = key_of
        self._clock = clock

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {QueryView: self.resolve_query}

    def resolve_query(self, who: Principal, operation: QueryView) -> Resolved[QueryView]:
        """Resolve a view of a revision. Raises `NotFound` when there is no such repository."""
        name = operation.repository
        declared, created = existing(self._directory, self._catalog, name)
        snapshot = self._catalog.snapshot(created, operation.revision)
        version = None
        if snapshot is not None:
            inherited = self._catalog.lineage.label(snapshot.revision.id)
            version = version_of(snapshot, who, inherited._replace(labels=inherited.labels - declared.labels))
        view = next((view for view in declared.views if view.name == operation.view), None)
        targets = as_inherited(view_target(declared, operation.view, view, version), version)
        place = ViewPlace(created, snapshot, view, Label(targets[0].classification, targets[0].labels))
        return Resolved(operation, targets, {"place": place}, repository_target(declared), MISSING)

    @asynccontextmanager
    async def query(self, permit: Permit[QueryView]) -> AsyncGenerator[Answer]:
        """Run the query, and have its answer for the time of the `async with`.

        Raises `NotFound` when there is no such revision or view, `Unanswered` when the query has no answer,
        `TooLarge` when the view would be made of too much.
        """
        resolved = permit.claim(QueryView)
        place, sql = place_in(resolved, ViewPlace), resolved.operation.sql
        if place.view is None:
            raise NotFound("View not found", kind="entry")
        snapshot = require_kept(place.snapshot)
        sources = self._sources(permit, place.created.id, snapshot, place.view)
        if not sources:
            raise Unanswered("this version has none of the files that the view is made of", ended="no files")
        await self._note(permit, place.created.id, snapshot, place.view, place.label)
        key = self._key_of(place.view.project)
        subject = permit.principal.subject
        question = Question(subject, place.created.id, snapshot.revision.id, place.view, key, sources, sql)
        async with self._engine.answer(question) as answer:
            permit.note(rows=str(answer.rows))
            yield answer._replace(parts=_checked(permit, answer.parts))

    async def _note(
        self, permit: Permit[QueryView], repository: str, snapshot: Snapshot, view: View, label: Label
    ) -> None:
        """Keep that the caller's session read these files, as far as the view shows them: what it publishes inherits that."""
        who, at, record = permit.principal, self._clock(), permit.receipt.index
        commit, files = snapshot.revision.id, snapshot.files
        reads = [
            Read(who.session, who.subject, repository, commit, path, files[path].digest, label, at, record)
            for path in _paths(snapshot, view)
        ]
        # At once: one transaction for each of many files would keep everybody else's waiting.
        await asyncio.gather(*map(self._catalog.lineage.note, reads))

    def _sources(self, permit: Permit[QueryView], repository: str, snapshot: Snapshot, view: View) -> Sequence[Source]:
        # By the end of the path, not by its suffix: `.csv` has none.
        files = [(FORMATS["." + path.rpartition(".")[2]], snapshot.files[path]) for path in _paths(snapshot, view)]
        return [Source(kind, file.size, partial(self._opened, permit, repository, file)) for kind, file in files]

    @contextmanager
    def _opened(self, permit: Permit[QueryView], repository: str, file: StoredFile) -> Generator[Iterator[bytes]]:
        with self._objects.open(file.blob, repository, file.digest) as blob:
            yield _while_permitted(permit, blob.segments(0, file.size - 1))


def _paths(snapshot: Snapshot, view: View) -> list[str]:
    return [path for path in snapshot.paths if any(matches(glob, path) for glob in view.files)]


def _while_permitted(permit: Permit[QueryView], parts: Iterator[bytes]) -> Iterator[bytes]:
    for part in parts:
        permit.check()
        yield part


async def _checked(permit: Permit[QueryView], parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for part in parts:
        permit.check()
        permit.note(bytes=len(part))
        yield part
