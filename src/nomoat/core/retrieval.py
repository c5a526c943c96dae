"""Retrieval: indexes as they are declared, and documents as the guard sees them.

Rules: a document has a classification, labels, an owner and perhaps a list of who may read it; every passage of it has these
and no others. What is found is a passage: a document, its version, and a number in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from nomoat.core.lineage import Label
from nomoat.core.names import Classification

MOST_HITS: Final = 50
WORDLLAMA: Final = "wordllama"
EMBEDDED: Final = "embedded"
POSTGRES: Final = "postgres"


class ModelDirectory(NamedTuple):
    """An embedder in a directory of the gateway's machine; `sha256` (hex) is that of the list of its files' digests."""

    path: str
    sha256: str


class EmbeddingEndpoint(NamedTuple):
    """An embedder that is asked: an endpoint, and how many dimensions its vectors have."""

    endpoint: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Index:
    """A declared index. Documents that do not say otherwise have its classification and labels.

    `embedder` makes vectors of texts: `wordllama`, `none` (keywords alone), a directory or an endpoint. `grid_ms`: answers
    leave on a grid of so many milliseconds, 0 for as soon as they are there. `back_end` is where documents are: `embedded` in the
    gateway's state, or `postgres`.
    """

    name: str
    classification: Classification
    labels: frozenset[str] = frozenset()
    owner_group: str = ""
    owner_person: str = ""
    embedder: str | ModelDirectory | EmbeddingEndpoint = WORDLLAMA
    grid_ms: int = 0
    back_end: str = EMBEDDED


class Access(NamedTuple):
    """Who may read a document, as far as it says so itself.

    `owner` is a subject (`person:NAME`), '' for nobody; `readers` are subjects (`person:NAME`, `workload:NAME`, `group:NAME`),
    None where there is no list: then classification and labels alone decide.
    """

    label: Label
    owner: str = ""
    readers: frozenset[str] | None = None


class Stated(NamedTuple):
    """What was said of a document beside its content, as it was said, and whose word counted: what it is compared by later."""

    classification: str = ""
    labels: frozenset[str] = frozenset()
    owner: str = ""
    readers: frozenset[str] | None = None
    believe: frozenset[str] = frozenset()


Attribute = str | float | bool


@dataclass(frozen=True, slots=True)
class Document:
    """A document to be indexed: its passages' texts, and what every one of them inherits.

    `version` is the SHA-256 (hex) of what it was read from. `attributes` may be filtered by, never decided on; nor is anything
    by what was `stated`, None where it is not known. `hidden` is how many characters were left out that no reader sees: for who puts
    it in, and not kept.
    """

    name: str
    version: str
    title: str
    access: Access
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    passages: tuple[str, ...] = field(default=(), repr=False)
    stated: Stated | None = None
    hidden: int = 0


class PassageId(NamedTuple):
    """A passage that was found."""

    document: str
    version: str
    number: int

    def __str__(self) -> str:
        return f"{self.document}#{self.number}@{self.version[:12]}"


class Passage(NamedTuple):
    """A passage that was found, as it is given out. Scores of two searches are not comparable."""

    id: PassageId
    text: str = ""
    score: float = 0.0
    attributes: Mapping[str, Attribute] = MappingProxyType({})


class Ranking(StrEnum):
    """What passages are ranked by."""

    HYBRID = "hybrid"
    KEYWORD = "keyword"
    VECTOR = "vector"


Filter = Mapping[str, object]
"""A filter in the words of OpenAI's vector stores: `{"type": "eq", "key": …, "value": …}`, or `and`/`or` of `filters`."""
