"""An index that is kept in PostgreSQL: here is what is decided on, there is what is found.

Rules: a search is of the generation that was decided on, or it is made again. Groups of documents that nothing tells apart are
numbered there; which of them are permitted is said to the database for one transaction, and it shows no other.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from nomoat.core.errors import Conflict, Malformed, Unavailable
from nomoat.core.lineage import Label
from nomoat.core.operation import Target
from nomoat.core.retrieval import Document, Index
from nomoat.policy.classes import Footprint, class_of
from nomoat.resources.retrieval.collection import Known, Searched, Table, table_of
from nomoat.resources.retrieval.targets import document_target, named_in
from nomoat.retrieval.scopes import Pair, Scope
from nomoat.retrieval.tokens import words_of
from nomoat.stores.documents import Destroyed, Kept
from nomoat.stores.postgres.documents import Changed, Group, Head, Heads, Line, PostgresDocuments, Written
from nomoat.stores.postgres.searching import Nearest, Reading, Said, Stale, Statistics

if TYPE_CHECKING:
    from nomoat.retrieval.documents import Vector
    from nomoat.retrieval.snapshot import Hit, Query

CHANGED: Final = "the index has changed meanwhile; try again"
KEPT_SCOPES: Final = 64
NOTHING: Final = Footprint(frozenset(), frozenset(), frozenset())
UNSEEN: Final = -2  # no generation; -1 is that of an index which is not there


class Embed(Protocol):
    """Documents with the vectors of their passages."""

    async def __call__(self, kept: Sequence[Kept]) -> list[Kept]:
        """The same documents, with vectors. Raises `Unavailable`."""
        ...


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """An index at one generation, searched by anybody at any time after, as long as it is that of the database."""

    store: PostgresDocuments
    index: str
    generation: int
    groups: Mapping[int, tuple[int, str, frozenset[str]]]  # of each group: its class, owner and readers
    documents: Mapping[str, Head]
    counted: Mapping[int, tuple[int, int]]  # of each group: passages and words
    kept: OrderedDict[int, tuple[Scope, list[int]]] = field(default_factory=OrderedDict[int, tuple[Scope, list[int]]])

    def permitted(self, scope: Scope) -> list[int]:
        """The groups that a scope permits."""
        known = self.kept.get(id(scope))
        if known is not None:
            return known[1]
        made = sorted(
            number
            for number, (sort, owner, readers) in self.groups.items()
            if (bool(owner) and owner == scope.subject, not readers.isdisjoint(scope.subjects))
            in scope.permitted.get(sort, frozenset[Pair]())
        )
        self.kept[id(scope)] = scope, made
        while len(self.kept) > KEPT_SCOPES:
            self.kept.popitem(last=False)
        return made

    def names(self, scope: Scope) -> list[str]:
        """The names of the documents that a scope permits, in their order."""
        permitted = frozenset(self.permitted(scope))
        return sorted(name for name, head in self.documents.items() if head.group in permitted)

    def search(self, query: Any, scope: Scope) -> Sequence[Any]:
        """The best passages of what a scope permits. Raises `ValueError` for a filter that is none, `Conflict`, `Unavailable`."""
        from nomoat.retrieval.filters import parse_filter  # noqa: PLC0415 - with numpy, for whom there is an index

        permitted, chosen = self.permitted(scope), None
        if query.filter is not None:
            holds = parse_filter(query.filter)
            chosen = [name for name in self.names(scope) if holds(self.documents[name].attributes)]
        if not permitted:
            return []
        try:
            with self.store.reading(self.index, self.generation, permitted, chosen) as reading:
                return self._found(query, reading, permitted)
        except Stale:
            raise Conflict(CHANGED) from None

    def whole(self, name: str, scope: Scope) -> "Sequence[Hit]":
        """The passages of a document, in their order; none where a scope does not permit it. Raises `Conflict`, `Unavailable`."""
        permitted = self.permitted(scope)
        if not permitted:
            return []
        try:
            with self.store.reading(self.index, self.generation, permitted, [name]) as reading:
                found = reading.whole()
                texts = reading.texts([each.passage for each in found])
        except Stale:
            raise Conflict(CHANGED) from None
        return _hits(found, texts)

    def _found(self, query: "Query", reading: Reading, permitted: Sequence[int]) -> "list[Hit]":
        from nomoat.retrieval.snapshot import FUSED, K1, MOST_WORDS, B, fused  # noqa: PLC0415 - as above

        ranking = query.ranking if query.vector is not None else "keyword"
        most = FUSED if ranking == "hybrid" else query.most
        lists: list[list[Nearest]] = []
        if ranking != "vector":
            passages = sum(self.counted[number][0] for number in permitted)
            words = sum(self.counted[number][1] for number in permitted)
            asked = list(dict.fromkeys(words_of(query.text)))[:MOST_WORDS]
            statistics = Statistics(passages, words / passages) if passages and words else None
            lists.append(reading.by_words(asked, statistics, K1, B, most) if statistics else [])
        if ranking != "keyword" and query.vector is not None:
            lists.append(reading.by_vector(_said(query.vector.reshape(1, -1))[0], most))
        best = lists[0]
        if len(lists) > 1:
            places = {each.passage: each for ranked in lists for each in ranked}
            scores = fused([[each.passage for each in ranked] for ranked in lists])
            best = sorted(
                (each._replace(score=scores[each.passage]) for each in places.values()),
                key=lambda each: (-each.score, each.name, each.number),
            )
        best = [each for each in best[: query.most] if each.score >= query.at_least]
        return _hits(best, reading.texts([each.passage for each in best]))


def _hits(found: Sequence[Nearest], texts: Mapping[int, Said]) -> "list[Hit]":
    """Passages with what they say."""
    from nomoat.retrieval.snapshot import Hit  # noqa: PLC0415 - with numpy, for whom there is an index

    told = [(each, texts[each.passage]) for each in found]
    return [Hit(each.name, said.version, each.number, said.text, each.score, said.attributes) for each, said in told]


@final
class PostgresCollection:
    """One index. Owned by the event loop, which waits for the database in threads; what is shown may be searched in any.

    `embedder`, `embeds` and `stale` are as of a `Collection`. `anew` makes vectors of documents that have those of another
    embedder, None where nobody may be asked for them.
    """

    def __init__(
        self,
        index: Index,
        store: PostgresDocuments,
        highest: Label,
        embedder: str,
        anew: Embed | None,
        *,
        embeds: bool = True,
    ) -> None:
        self.index = index
        self.documents: dict[str, Known] = {}
        self.embedder = embedder
        self.embeds = embeds
        self.stale: frozenset[str] = frozenset()
        self._store = store
        self._highest = highest
        self._anew = anew
        self._read: Footprint | None = None
        self._generation = UNSEEN
        self._groups: dict[int, Group] = {}
        self._heads: dict[str, Head] = {}
        self._shown: tuple[_Shown, Table] | None = None

    async def is_fit(self, read: Footprint) -> bool:
        """Whether it is of the database's newest generation, and of policies of this footprint. Raises `Unavailable`."""
        if read != self._read:
            return False
        return await asyncio.to_thread(self._store.generation, self.index.name) == self._generation

    async def fit(self, read: Footprint) -> None:
        """Be so. Called by one task at a time. Raises `Unavailable`."""
        name = self.index.name
        try:
            if await asyncio.to_thread(self._store.generation, name) != self._generation:
                heads = await asyncio.to_thread(self._store.heads, name)
                self._require(self._groups_of(heads))
                if self._anew is not None and (stale := self._stale_of(heads.documents)):
                    heads = await self._embedded_anew(heads, stale, self._anew)
                self._take_all(heads)
            await self._regroup(read)
        except Stale:
            raise Unavailable("index", CHANGED) from None
        self._read, self._shown = read, None

    def at(self, read: Footprint) -> tuple[Searched, Table]:
        """What is shown now, with the classes of policies that have this footprint. Raises `Unavailable` where it is not fit."""
        if read != self._read:
            raise Unavailable("index", CHANGED)
        if self._shown is None:
            self._shown = self._show(read)
        return self._shown

    def require(self, documents: Sequence[Document]) -> None:
        """Raise `Malformed` for documents that may not lie in plaintext."""
        for each in documents:
            label = each.access.label
            if not self._highest.covers(label):
                raise Malformed(
                    f"{each.name} is {label}, and the index {self.index.name} lies in a database in plaintext, which is for what is "
                    f"{self._highest} at most: put it into another index"
                )

    async def change(
        self, kept: Sequence[Kept], removed: Sequence[str], still: Callable[[], None], then: Callable[[], None]
    ) -> None:
        """Keep documents in the place of those with their names, and remove others; in force before this returns.

        `still` raises when that is not permitted any more, `then` is called in the event loop once it is durable. Raises `Malformed`,
        `Conflict`, `Unavailable`.
        """
        self.require([each.document for each in kept])
        read = self._read
        if read is None:
            raise Unavailable("index", CHANGED)
        written = await asyncio.to_thread(self._written, kept, read)
        change = self._store.change
        try:
            changed = await asyncio.to_thread(change, self.index.name, self._generation, written, removed, still)
        except Stale:
            raise Conflict(CHANGED) from None
        self._take(changed, removed)
        then()

    async def destroy(
        self, label: Label, names: Sequence[str], still: Callable[[], None], then: Callable[[], None]
    ) -> Destroyed:
        """There is no key to destroy. Raises `Malformed`."""
        del label, names, still, then
        raise Malformed(
            f"the documents of {self.index.name} lie in a database in plaintext, under no key that could be destroyed: take them out "
            "(nomoat index remove), and see to the database's own copies"
        )

    def _written(self, kept: Sequence[Kept], read: Footprint) -> list[Written]:
        written: list[Written] = []
        named = named_in(self.index, read.ids)
        for document, embedder, vectors in kept:
            rows = _vectors(vectors, len(document.passages))
            lines = [
                Line(text, Counter(words_of(text)), row) for text, row in zip(document.passages, rows, strict=True)
            ]
            group = Group(document.access, document.name if document.name in named else "")
            written.append(Written(document, group, embedder, lines))
        return written

    async def _embedded_anew(self, heads: Heads, stale: frozenset[str], anew: Embed) -> Heads:
        """The same documents, with vectors of the embedder that the index has now."""
        name, change = self.index.name, self._store.change
        kept = await anew(await asyncio.to_thread(self._store.some, name, heads, sorted(stale)))
        written = await asyncio.to_thread(self._written, kept, NOTHING)
        named = [replace(each, group=heads.groups[heads.documents[each.document.name].group]) for each in written]
        await asyncio.to_thread(change, name, heads.generation, named, (), lambda: None)
        return await asyncio.to_thread(self._store.heads, name)

    def _stale_of(self, heads: Mapping[str, Head]) -> frozenset[str]:
        return frozenset(name for name, head in heads.items() if head.embedder != self.embedder)

    async def _regroup(self, read: Footprint) -> None:
        """Have documents apart that policies name."""
        moved: dict[Group, list[str]] = {}
        named = named_in(self.index, read.ids)
        for name, head in self._heads.items():
            group, wanted = self._groups[head.group], name if name in named else ""
            if wanted != group.named:
                moved.setdefault(group._replace(named=wanted), []).append(name)
        if not moved:
            return
        regroup = self._store.regroup
        generation, numbers = await asyncio.to_thread(regroup, self.index.name, self._generation, moved)
        self._generation = generation
        self._groups |= {number: group for group, number in numbers.items()}
        for group, names in moved.items():
            self._heads |= {name: self._heads[name]._replace(group=numbers[group]) for name in names}

    def _groups_of(self, heads: Heads) -> list[Group]:
        return [heads.groups[number] for number in {head.group for head in heads.documents.values()}]

    def _require(self, groups: Sequence[Group]) -> None:
        if any(not self._highest.covers(group.access.label) for group in groups):
            raise Unavailable(
                "index",
                f"{self.index.name} has documents in a database in plaintext that are more than {self._highest}: raise [postgres] "
                "highest, or have somebody take them out",
            )

    def _take_all(self, heads: Heads) -> None:
        self._generation = heads.generation
        self._groups, self._heads = dict(heads.groups), dict(heads.documents)
        self.documents = {name: self._known(head) for name, head in self._heads.items()}
        self.stale = self._stale_of(self._heads)
        self._shown = None

    def _take(self, changed: Changed, removed: Sequence[str]) -> None:
        self._generation = changed.generation
        self._groups |= changed.groups
        for name in removed:
            self._heads.pop(name, None)
            self.documents.pop(name, None)
        self._heads |= changed.documents
        self.documents |= {name: self._known(head) for name, head in changed.documents.items()}
        self.stale = self.stale.difference(removed, changed.documents) | self._stale_of(changed.documents)
        self._shown = None

    def _known(self, head: Head) -> Known:
        return Known(head.version, self._groups[head.group].access, head.title, head.stated, head.attributes)

    def _show(self, read: Footprint) -> tuple[_Shown, Table]:
        counted: dict[int, tuple[int, int]] = {}
        for head in self._heads.values():
            passages, words = counted.get(head.group, (0, 0))
            counted[head.group] = passages + head.passages, words + head.words
        sorts: dict[Target, int] = {}
        variants: list[set[Pair]] = []
        groups: dict[int, tuple[int, str, frozenset[str]]] = {}
        for number in sorted(counted):
            access, named = self._groups[number]
            target = document_target(self.index, named, "", access)
            sort = class_of(target if named else target._replace(id=read.other), read)
            place = sorts.setdefault(sort, len(sorts))
            if place == len(variants):
                variants.append(set())
            readers = access.readers or frozenset()
            variants[place].add((bool(access.owner), bool(readers)))
            groups[number] = place, access.owner, readers
        shown = _Shown(self._store, self.index.name, self._generation, groups, dict(self._heads), counted)
        return shown, table_of(tuple(sorts), tuple(map(frozenset, variants)))


def _vectors(content: bytes, passages: int) -> list[str | None]:
    """Vectors as pgvector writes them, of length 1; none where there are none."""
    from nomoat.retrieval.documents import vectors_of  # noqa: PLC0415 - with numpy, for whom there is an index

    rows = vectors_of(content, passages)
    return [None] * passages if rows.shape[1] == 0 else list(_said(rows))


def _said(rows: "Vector") -> list[str]:
    from nomoat.retrieval.quantised import normalised  # noqa: PLC0415 - as above

    return ["[" + ",".join(map(repr, row)) + "]" for row in normalised(rows).tolist()]
