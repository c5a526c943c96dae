"""Retrieval: finding passages, being given what was found, and keeping documents in an index."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from nomoat.core.lineage import Label
from nomoat.core.operation.base import Operation
from nomoat.core.retrieval import MOST_HITS, Document, Filter, PassageId, Ranking


@dataclass(frozen=True, slots=True)
class ListIndexes(Operation):
    """See the indexes that the caller may search."""

    part: ClassVar[str] = "SearchIndex"


@dataclass(frozen=True, slots=True)
class SearchIndex(Operation):
    """Find passages of the documents that the caller may read, as if there were no others.

    `digest` is the SHA-256 (hex) of the query. With `document`, all of its passages are what is found, in their order, and
    nothing is ranked. What is found is given out by `ReadPassages`.
    """

    part: ClassVar[str] = "ReadPassages"
    discover: ClassVar[str] = "SearchIndex"

    index: str
    query: str = field(repr=False)
    digest: str = ""
    most: int = MOST_HITS
    ranking: Ranking = Ranking.HYBRID
    filter: Filter | None = field(default=None, repr=False)
    at_least: float | None = None
    document: str = ""

    @property
    def requested(self) -> str:
        return self.index

    @property
    def asked(self) -> Mapping[str, str]:
        if self.document:
            return {"document": self.document}
        return {"query": self.digest, "ranking": self.ranking.value, "most": str(self.most)}


@dataclass(frozen=True, slots=True)
class ReadPassages(Operation):
    """Be given passages that were found; `record` is the one that allowed looking for them."""

    discover: ClassVar[str] = "SearchIndex"

    index: str
    passages: tuple[PassageId, ...]
    record: int

    @property
    def requested(self) -> str:
        return self.index

    @property
    def asked(self) -> Mapping[str, str]:
        return {"found_by": str(self.record), "passages": " ".join(str(each) for each in self.passages)}


@dataclass(frozen=True, slots=True)
class WriteDocuments(Operation):
    """Put documents into an index, in the place of those that have their names."""

    discover: ClassVar[str] = "SearchIndex"

    index: str
    documents: tuple[Document, ...] = field(repr=False)

    @property
    def requested(self) -> str:
        return self.index


@dataclass(frozen=True, slots=True)
class RemoveDocuments(Operation):
    """Take documents out of an index."""

    discover: ClassVar[str] = "SearchIndex"

    index: str
    names: tuple[str, ...]

    @property
    def requested(self) -> str:
        return self.index


@dataclass(frozen=True, slots=True)
class ShredDocuments(Operation):
    """Destroy the key of a label of an index for good, and every document of exactly that label with it."""

    part: ClassVar[str] = "ShredDocuments"
    discover: ClassVar[str] = "SearchIndex"

    index: str
    label: Label
    reason: str

    @property
    def requested(self) -> str:
        return self.index

    @property
    def asked(self) -> Mapping[str, str]:
        return {"label": str(self.label), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class ListDocuments(Operation):
    """See which versions of which documents are in an index: of those that the caller may write."""

    part: ClassVar[str] = "WriteDocuments"
    discover: ClassVar[str] = "SearchIndex"

    index: str

    @property
    def requested(self) -> str:
        return self.index


@dataclass(frozen=True, slots=True)
class UploadFile(Operation):
    """Have a file held for the caller's session, until it is put into an index."""

    part: ClassVar[str] = "WriteDocuments"

    name: str
    content: bytes = field(repr=False)

    @property
    def requested(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListUploads(Operation):
    """See the files that are held for the caller's session, or the one with a name."""

    name: str = ""

    @property
    def requested(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RemoveUpload(Operation):
    """Have a file held no more."""

    name: str

    @property
    def requested(self) -> str:
        return self.name
