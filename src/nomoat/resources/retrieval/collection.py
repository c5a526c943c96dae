"""An index that is open: its documents in memory, grouped into the access classes of the policies in force.

Rules: what is searched is a snapshot, with the table of its classes; both are of one instant. INVARIANT (as stored): the event
loop changes a collection only after the state has the change. INVARIANT (as decided): documents share a class only if policies
in force cannot tell them apart, whoever asks. What is large is made in a thread, and never waited for by who changes or searches.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast, final

from nomoat.core.lineage import Label
from nomoat.core.operation import AccessClasses, Target
from nomoat.core.principal import Principal
from nomoat.core.retrieval import Access, Attribute, Document, Index, Stated
from nomoat.policy.classes import Footprint, class_of
from nomoat.resources.retrieval.targets import document_target, named_in, subjects_of
from nomoat.retrieval.scopes import Pair, Scope
from nomoat.stores.documents import Destroyed, Kept, StoredDocuments

if TYPE_CHECKING:
    from nomoat.retrieval.documents import Entry
    from nomoat.retrieval.segment import Made

KEPT_SCOPES: Final = 512  # so that what follows from one is found again
_EITHER: Final = (False, True)
_log = logging.getLogger("nomoat")


class Searched(Protocol):
    """A snapshot of an index (`nomoat.retrieval.snapshot`), of which the import takes numpy."""

    def search(self, query: Any, scope: Scope) -> Sequence[Any]:
        """The best passages of what a scope permits."""
        ...

    def names(self, scope: Scope) -> Sequence[str]:
        """The names of the documents that a scope permits, in their order."""
        ...

    def whole(self, name: str, scope: Scope) -> Sequence[Any]:
        """The passages of a document, in their order; none where a scope does not permit it."""
        ...


class Known(NamedTuple):
    """What is known of a document without its passages."""

    version: str
    access: Access
    title: str
    stated: Stated | None
    attributes: Mapping[str, Attribute] = MappingProxyType({})


class Row(NamedTuple):
    """A class of a table: which one of the snapshot's, and for which callers."""

    number: int
    pair: Pair


@final
@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The classes of a snapshot, as the guard decides them; `rows` says what each stands for."""

    classes: AccessClasses
    rows: tuple[Row, ...]

    def scope(self, who: Principal, permitted: frozenset[int]) -> Scope:
        """What a caller may read, who is permitted these classes; the same one for as long as it is kept."""
        return _scope(self, who.subject, subjects_of(who), permitted)


@lru_cache(maxsize=KEPT_SCOPES)
def _scope(table: Table, subject: str, subjects: frozenset[str], permitted: frozenset[int]) -> Scope:
    pairs: dict[int, set[Pair]] = {}
    for number in permitted:
        row = table.rows[number]
        pairs.setdefault(row.number, set()).add(row.pair)
    return Scope(subject, subjects, {number: frozenset(each) for number, each in pairs.items()})


class Open(Protocol):
    """An index that is open, wherever its documents are."""

    @property
    def index(self) -> Index:
        """The index as it was declared when this was opened."""
        ...

    @property
    def documents(self) -> Mapping[str, Known]:
        """Every document, by name."""
        ...

    @property
    def embedder(self) -> str:
        """What its vectors are of, '' where it has none."""
        ...

    @property
    def embeds(self) -> bool:
        """Whether its embedder could be had when it was opened."""
        ...

    @property
    def stale(self) -> frozenset[str]:
        """Documents whose vectors are of another embedder: they are in it without."""
        ...

    async def is_fit(self, read: Footprint) -> bool:
        """Whether `at` has what is newest, for policies that have this footprint. Raises `Unavailable`."""
        ...

    async def fit(self, read: Footprint) -> None:
        """Have it so. Called by one task at a time. Raises `Unavailable`."""
        ...

    def at(self, read: Footprint) -> tuple[Searched, Table]:
        """What is searched now, with the classes of policies that have this footprint. Raises `Unavailable` where it is not fit."""
        ...

    def require(self, documents: Sequence[Document]) -> None:
        """Raise `Malformed` for documents that may not be kept where these are, `Unavailable` where there is none to be had."""
        ...

    async def change(
        self, kept: Sequence[Kept], removed: Sequence[str], still: Callable[[], None], then: Callable[[], None]
    ) -> None:
        """Keep documents in the place of those with their names, and remove others; in force before this returns.

        `still` raises when that is not permitted any more, `then` is called in the event loop once it is durable. Raises
        `Malformed`, `Conflict`, `Unavailable`.
        """
        ...

    async def destroy(
        self, label: Label, names: Sequence[str], still: Callable[[], None], then: Callable[[], None]
    ) -> Destroyed:
        """Destroy the key of a label, and the documents of that label, which have these names; as of `change`.

        Raises `Malformed` where there are no keys, `NotFound` where the label has none, `Unavailable`.
        """
        ...


@final
class Collection:
    """One index. Owned by the event loop; its snapshots may be searched in any thread.

    `embedder` is what its vectors are of, '' where it has none. `stale` are documents whose vectors are of another one: they are
    in it without. `embeds`: the embedder could be had when it was opened; else all of its documents are stale.
    """

    def __init__(
        self, index: Index, store: StoredDocuments, embedder: str, dimensions: int, *, embeds: bool = True
    ) -> None:
        from nomoat.retrieval.index import Index as Engine  # noqa: PLC0415 - with numpy, for whom there is an index

        self.index = index
        self._store = store
        self.embedder = embedder
        self.embeds = embeds
        self.stale: frozenset[str] = frozenset()
        self._dimensions = dimensions
        self.documents: dict[str, Known] = {}
        self._engine = Engine(dimensions)
        self._read: Footprint | None = None
        self._table: tuple[object, Table] | None = None
        self._compacting: asyncio.Task[None] | None = None

    def takes(self, kept: Kept) -> bool:
        """Whether the vectors of a document are of this index's embedder."""
        document, embedder, vectors = kept
        return embedder == self.embedder and len(vectors) == 4 * self._dimensions * len(document.passages)

    def load(self, kept: Sequence[Kept]) -> None:
        """Take in all that there is, in any thread, before anybody else has this."""
        self._engine.load(self._entry(each) for each in kept)
        self._know(kept)

    def prepare(self, kept: Sequence[Kept]) -> object:
        """What documents are in here, for `put`; in any thread."""
        return self._engine.make([self._entry(each) for each in kept])

    def put(self, kept: Sequence[Kept], removed: Sequence[str] = (), prepared: object = None) -> None:
        """Take in documents in the place of those with their names, and let go of others; `prepared` is what `prepare` made."""
        self._engine.remove([name for name in removed if name in self.documents])
        self._engine.put(cast("Made", self.prepare(kept) if prepared is None else prepared))
        for name in removed:
            self.documents.pop(name, None)
        self.stale = self.stale.difference(removed)
        self._know(kept)
        self._compact()

    async def is_fit(self, read: Footprint) -> bool:
        """It always is: what it does for a footprint waits for nothing."""
        del read
        return True

    async def fit(self, read: Footprint) -> None:
        """Nothing is left to do."""

    def require(self, documents: Sequence[Document]) -> None:
        """Every document may be kept here: each is sealed."""

    async def change(
        self, kept: Sequence[Kept], removed: Sequence[str], still: Callable[[], None], then: Callable[[], None]
    ) -> None:
        """Change the state, and then this. Raises `Unavailable`."""
        prepared = await asyncio.to_thread(self.prepare, kept)

        def changed() -> None:
            self.put(kept, removed, prepared)
            then()

        await self._store.change(self.index.name, kept, removed, still, changed)

    async def destroy(
        self, label: Label, names: Sequence[str], still: Callable[[], None], then: Callable[[], None]
    ) -> Destroyed:
        """Destroy it in the state, and then here. Raises `NotFound`, `Unavailable`."""

        def destroyed() -> None:
            self.put((), names)
            then()

        return await self._store.destroy(self.index.name, label, still, destroyed)

    def at(self, read: Footprint) -> tuple[Searched, Table]:
        """The newest snapshot, with the classes of policies that have this footprint."""
        if read != self._read:
            self._read = read
            named = {
                name: partial(_class, read=read, id=f"{self.index.name}:{name}")
                for name in named_in(self.index, read.ids)
            }
            self._engine.rekey(partial(_class, read=read._replace(ids=frozenset())), named)
            self._compact()
        snapshot = self._engine.snapshot
        classes = cast("tuple[Target, ...]", snapshot.classes)  # as `_class` made them
        sorts = (classes, snapshot.variants)
        if self._table is None or self._table[0] != sorts:
            self._table = sorts, table_of(classes, snapshot.variants)
        return snapshot, self._table[1]

    def _know(self, kept: Sequence[Kept]) -> None:
        self.documents.update(
            (each.name, Known(each.version, each.access, each.title, each.stated, each.attributes))
            for each, _, _ in kept
        )
        fresh = {each.document.name for each in kept if self.takes(each)}
        self.stale = (self.stale - fresh).union(each.document.name for each in kept if not self.takes(each))

    def _entry(self, kept: Kept) -> "Entry":
        from nomoat.retrieval.documents import Entry, Passage, vectors_of  # noqa: PLC0415 - as above

        document, access = kept.document, kept.document.access
        ours = kept.vectors if self.takes(kept) else bytes(4 * self._dimensions * len(document.passages))
        rows = vectors_of(ours, len(document.passages))
        return Entry(
            name=document.name,
            version=document.version,
            access=document_target(self.index, "", "", access),
            owner=access.owner,
            readers=access.readers or frozenset(),
            attributes=document.attributes,
            passages=[Passage(text, row) for text, row in zip(document.passages, rows, strict=True)],
        )

    def _compact(self) -> None:
        """Have larger segments made where it is time to; it changes no answer, and what fails is tried again after a change."""
        if self._compacting is None and self._engine.is_due:
            self._compacting = asyncio.get_running_loop().create_task(self._compaction())

    async def _compaction(self) -> None:
        try:
            while (compaction := self._engine.begin()) is not None:
                try:
                    made = await asyncio.to_thread(compaction.run)
                except BaseException:
                    self._engine.abandon(compaction)
                    raise
                self._engine.finish(compaction, made)
        except MemoryError:
            _log.warning("the index %s could not be compacted: there is too little memory", self.index.name)
        finally:
            self._compacting = None


def _class(access: object, read: Footprint, id: str = "") -> Target:
    """The class of what may be told apart of a document, or of the one that policies name."""
    return class_of(cast("Target", access)._replace(id=id), read)


def table_of(classes: Sequence[Target], variants: Sequence[frozenset[Pair]]) -> Table:
    """The classes, once for each way in which a caller may stand to a document of theirs."""
    rows: list[Row] = []
    targets: list[Target] = []
    for number, (target, occurring) in enumerate(zip(classes, variants, strict=True)):
        owned = _EITHER if any(has_owner for has_owner, _ in occurring) else (False,)
        shared = _EITHER if any(has_list for _, has_list in occurring) else (False,)
        for pair in product(owned, shared):
            facts: Mapping[str, str | int | bool] = {**dict(target.facts), "owned": pair[0], "shared": pair[1]}
            rows.append(Row(number, pair))
            targets.append(target._replace(facts=tuple(facts.items())))
    return Table(AccessClasses(targets), tuple(rows))
