"""What operations on indexes resolve to, as it is when that is decided."""

from collections.abc import Mapping
from typing import NamedTuple

from nomoat.core.lineage import Label
from nomoat.core.retrieval import Index
from nomoat.resources.retrieval.collection import Known, Open, Searched, Table


class SearchPlace(NamedTuple):
    """What is searched: documents of one instant, which of them have no vectors yet, and the table of their classes."""

    collection: Open
    snapshot: Searched
    table: Table
    stale: frozenset[str]


class ListPlace(NamedTuple):
    """What is listed: the same, and what was known of each document then."""

    search: SearchPlace
    documents: Mapping[str, Known]


class DocumentsPlace(NamedTuple):
    """Documents by name, as they are known when it is decided about them; None where there is none."""

    collection: Open
    known: Mapping[str, Known | None]

    @property
    def label(self) -> Label:
        """How confidential they are together."""
        return Label.of(each.access.label for each in self.known.values() if each is not None)

    @property
    def stands(self) -> bool:
        """Whether they are still the same."""
        documents = self.collection.documents
        return all(documents.get(name) == each for name, each in self.known.items())


class Indexes(NamedTuple):
    """Every index that is declared, by name."""

    all: tuple[Index, ...]
