"""What operations on indexes resolve to, as it is when that is decided; and what is found and listed."""

from typing import NamedTuple

from nomoat.core.operation import SearchIndex
from nomoat.core.retrieval import Index, Passage, PassageId
from nomoat.resources.retrieval.collection import Collection, Known, Searched, Table


class SearchPlace(NamedTuple):
    """What is searched: documents of one instant, which of them have no vectors yet, and the table of their classes."""

    collection: Collection
    snapshot: Searched
    table: Table
    stale: frozenset[str]


class Found(NamedTuple):
    """What a search found, for `read` to give out. `record` is the one that allowed it."""

    operation: SearchIndex
    passages: tuple[Passage, ...]
    record: int

    @property
    def ids(self) -> tuple[PassageId, ...]:
        """Which passages those are."""
        return tuple([each.id for each in self.passages])


class Indexes(NamedTuple):
    """Every index that is declared, by name."""

    all: tuple[Index, ...]


class Listed(NamedTuple):
    """A document in an index, without what it says: who may read it, as it was put in."""

    name: str
    known: Known
    embedded: bool = True
