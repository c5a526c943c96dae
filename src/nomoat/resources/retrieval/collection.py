"""An index that is open: its documents in memory, grouped into the access classes of the policies in force.

Rules: what is searched is a snapshot, with the table of its classes; both are of one instant. INVARIANT (as stored): the event
loop changes a collection only after the state has the change. INVARIANT (as decided): documents share a class only if policies
in force cannot tell them apart, whoever asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, Final, NamedTuple, Protocol, cast, final

from nomoat.core.operation import AccessClasses, Target
from nomoat.core.principal import Principal
from nomoat.core.retrieval import Access, Index, Stated
from nomoat.policy.classes import Footprint, class_of
from nomoat.resources.retrieval.targets import document_target, subjects_of
from nomoat.retrieval.scopes import Pair, Scope
from nomoat.stores.documents import Kept

KEPT_SCOPES: Final = 512  # so that what follows from one is found again
_EITHER: Final = (False, True)


class Searched(Protocol):
    """A snapshot of an index (`nomoat.retrieval.snapshot`), of which the import takes numpy."""

    def search(self, query: Any, scope: Scope) -> Sequence[Any]:
        """The best passages of what a scope permits."""
        ...

    def names(self, scope: Scope) -> Sequence[str]:
        """The names of the documents that a scope permits, in their order."""
        ...


class Known(NamedTuple):
    """What is known of a document without its passages."""

    version: str
    access: Access
    title: str
    stated: Stated | None


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


@final
class Collection:
    """One index. Owned by the event loop; its snapshots may be searched in any thread.

    `embedder` is what its vectors are of, '' where it has none. `stale` are documents whose vectors are of another one: they are
    in it without. `embeds`: the embedder could be had when it was opened; else all of its documents are stale.
    """

    def __init__(self, index: Index, embedder: str, dimensions: int, *, embeds: bool = True) -> None:
        from nomoat.retrieval.index import Index as Engine  # noqa: PLC0415 - with numpy, for whom there is an index

        self.index = index
        self.embedder = embedder
        self.embeds = embeds
        self.stale: frozenset[str] = frozenset()
        self._dimensions = dimensions
        self.documents: dict[str, Known] = {}
        self._engine = Engine(dimensions)
        self._read: Footprint | None = None
        self._table: tuple[object, Table] | None = None

    def takes(self, kept: Kept) -> bool:
        """Whether the vectors of a document are of this index's embedder."""
        document, embedder, vectors = kept
        return embedder == self.embedder and len(vectors) == 4 * self._dimensions * len(document.passages)

    def put(self, kept: Sequence[Kept], removed: Sequence[str] = ()) -> None:
        """Take in documents in the place of those with their names, and let go of others."""
        from nomoat.retrieval.documents import Entry, Passage, vectors_of  # noqa: PLC0415 - as above

        entries: list[Entry] = []
        for each in kept:
            document = each.document
            ours = each.vectors if self.takes(each) else bytes(4 * self._dimensions * len(document.passages))
            rows = vectors_of(ours, len(document.passages))
            entries.append(
                Entry(
                    name=document.name,
                    version=document.version,
                    access=self._class(document.name, document.access),
                    owner=document.access.owner,
                    readers=document.access.readers or frozenset(),
                    attributes=document.attributes,
                    passages=[Passage(text, row) for text, row in zip(document.passages, rows, strict=True)],
                )
            )
        self._engine.remove([name for name in removed if name in self.documents])
        self._engine.put(entries)
        for name in removed:
            self.documents.pop(name, None)
        put = {document.name for document, _, _ in kept}
        stale = {each.document.name for each in kept if not self.takes(each)}
        self.stale = frozenset((self.stale - put).difference(removed) | stale)
        self.documents |= {
            document.name: Known(document.version, document.access, document.title, document.stated)
            for document, _, _ in kept
        }

    def at(self, read: Footprint) -> tuple[Searched, Table]:
        """The newest snapshot, with the classes of policies that have this footprint."""
        if read != self._read:
            self._read = read
            self._engine.rekey(lambda name: self._class(name, self.documents[name].access))
        snapshot = self._engine.snapshot
        classes = cast("tuple[Target, ...]", snapshot.classes)  # as `_class` made them
        sorts = (classes, snapshot.variants)
        if self._table is None or self._table[0] != sorts:
            self._table = sorts, _table(classes, snapshot.variants)
        return snapshot, self._table[1]

    def _class(self, name: str, access: Access) -> Target:
        target = document_target(self.index, name, "", access)
        return target if self._read is None else class_of(target, self._read)


def _table(classes: Sequence[Target], variants: Sequence[frozenset[Pair]]) -> Table:
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
