"""What operations on indexes resolve to, as it is when that is decided; and what is found and listed."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from nomoat.core.decision import Confine
from nomoat.core.lineage import Label
from nomoat.core.operation import ListDocuments, SearchIndex, ShredDocuments
from nomoat.core.permit import Permit
from nomoat.core.retrieval import Document, Index, Passage, PassageId
from nomoat.resources.retrieval.collection import Known, Open, Searched, Table

UNKNOWN: Final = "there is no such index"
CHANGED: Final = "what was found has changed since; search again"
OPENING: Final = "it is being opened; try again"
STALE: Final = (
    "what is in it has vectors of the embedder before; until who keeps it has put it in again (nomoat index add), search it by "
    "keywords"
)


class SearchPlace(NamedTuple):
    """What is searched: documents of one instant, which of them have no vectors yet, and the table of their classes."""

    collection: Open
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


class ShredPlace(NamedTuple):
    """What is destroyed of an index: the documents of one label, by name, as they are known when it is decided about them."""

    search: SearchPlace
    label: Label
    known: Mapping[str, Known]


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


class Listed(NamedTuple):
    """A document in an index, without what it says: who may read it, as it was put in."""

    name: str
    known: Known
    embedded: bool = True


def labelled(collection: Open, label: Label) -> dict[str, Known]:
    """The documents of exactly a label, by name."""
    return {name: known for name, known in collection.documents.items() if known.access.label == label}


def counted(documents: Sequence[Document]) -> dict[str, str]:
    """What the record of documents that were put in says of them; `hidden` are characters that no reader sees, left out."""
    counts = {
        "documents": len(documents),
        "passages": sum(len(each.passages) for each in documents),
        "hidden": sum(each.hidden for each in documents),
    }
    return {name: str(count) for name, count in counts.items() if count or name != "hidden"}


def permitted_by(permit: Permit[SearchIndex] | Permit[ListDocuments] | Permit[ShredDocuments]) -> frozenset[int]:
    """The classes that an answer is confined to; none where nothing says so."""
    confined = [each.classes for each in permit.allow.obligations if isinstance(each, Confine)]
    return confined[0] if len(confined) == 1 else frozenset()
