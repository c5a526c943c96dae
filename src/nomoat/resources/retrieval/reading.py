"""From a file to a document: what it says in passages, and who may read it by the words of whom.

Rules: who may read a document is what whoever puts it in says; what the document says of itself, or whom a mail is from and to,
counts only where they ask for that. A document that says less than the index is as confidential as the index.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from nomoat.core.errors import Malformed
from nomoat.core.lineage import Label
from nomoat.core.names import parse_classification, parse_subject, parse_subject_name
from nomoat.core.retrieval import Access, Attribute, Document, Index, Stated
from nomoat.documents.passages import MOST, passages
from nomoat.documents.read import MOST_ATTRIBUTES, Read

ReadDocument: TypeAlias = Callable[[str, bytes], Awaitable[Read]]
"""Reads a document by its name and content, in a process apart; raises `Unreadable`."""


class Believed(StrEnum):
    """Whose word counts, beside that of who puts a document in."""

    FRONT_MATTER = "front-matter"
    MAIL = "mail"


@dataclass(frozen=True, slots=True)
class File:
    """A file that is to be a document: what is said of it beside its content; None where nothing is.

    `attributes` stand beside those that it has itself, and in the place of those of their names.
    """

    name: str
    content: bytes = field(repr=False)
    classification: str = ""
    labels: frozenset[str] = frozenset()
    owner: str = ""
    readers: frozenset[str] | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])


def document_of(file: File, read: Read, index: Index, believed: frozenset[Believed]) -> Document:
    """The document that a file is. Raises `Malformed` for one that names nobody, or is too long."""
    texts = passages(read.text)
    if len(texts) > MOST:
        raise Malformed(f"{file.name} has more than {MOST:,} passages")
    attributes = {**read.attributes, **file.attributes}
    if len(attributes) > MOST_ATTRIBUTES:
        raise Malformed(f"{file.name} would have more than {MOST_ATTRIBUTES} attributes, with those that it has itself")
    said, own = read.declared, Believed.FRONT_MATTER in believed
    level = file.classification or (said.classification if own else "")
    labels = file.labels | frozenset(map(parse_subject_name, said.labels if own else ()))
    readers = file.readers
    if readers is None and own and said.readers is not None:
        readers = frozenset(map(parse_subject, said.readers))
    if readers is None and Believed.MAIL in believed and file.name.lower().endswith(".eml"):
        readers = frozenset(f"person:{address}" for address in read.people)
    return Document(
        name=file.name,
        version=hashlib.sha256(file.content).hexdigest(),
        title=read.title,
        access=Access(
            Label(parse_classification(level) if level else index.classification, index.labels | labels),
            file.owner or (parse_subject(said.owner) if own and said.owner else ""),
            readers,
        ),
        attributes=attributes,
        passages=tuple(texts),
        stated=Stated(file.classification, file.labels, file.owner, file.readers, frozenset(believed)),
        hidden=read.hidden,
    )
