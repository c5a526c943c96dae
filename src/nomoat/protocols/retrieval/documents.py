"""Keeping documents in an index: JSON ↔ WriteDocuments, RemoveDocuments, ShredDocuments and ListDocuments, for `nomoat index`."""

import asyncio
import base64
from collections.abc import Mapping
from functools import partial
from typing import Final, cast, final

from nomoat.core.errors import Malformed
from nomoat.core.lineage import Label
from nomoat.core.names import (
    Classification,
    parse_classification,
    parse_digest,
    parse_document_name,
    parse_index_name,
    parse_subject_name,
)
from nomoat.core.operation import ListDocuments, RemoveDocuments, ShredDocuments, WriteDocuments
from nomoat.core.principal import Principal
from nomoat.core.retrieval import Access, Attribute, Document, Index
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text
from nomoat.protocols.http.routes import Route
from nomoat.protocols.retrieval.answers import document_json
from nomoat.protocols.retrieval.embedding import Embedding
from nomoat.resources.inference import Inference
from nomoat.resources.retrieval import Believed, File, Retrieval, parse_subject

LARGEST: Final = 32 << 20  # bytes of a request
MOST_DOCUMENTS: Final = 1_000  # in one request
MOST_PASSAGES: Final = 10_000  # of one document
LONGEST_PASSAGE: Final = 16_384  # characters
MOST_READERS: Final = 10_000
MOST_ATTRIBUTES: Final = 16
LONGEST_ATTRIBUTE: Final = 512
LONGEST_KEY: Final = 64  # characters
LONGEST_REASON: Final = 500


@final
class DocumentEndpoints:
    """The enforcement point for what is in indexes."""

    def __init__(self, guard: Guard, retrieval: Retrieval, inference: Inference) -> None:
        self._guard = guard
        self._retrieval = retrieval
        self._embedding = Embedding(guard, inference)

    async def _write(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_index_name(named["name"])

        async def parse(_: Principal) -> WriteDocuments:
            body = await exchange.json(LARGEST)
            await self._retrieval.open(name)
            require_only(body, "documents", "believe")
            listed = body.get("documents")
            if not isinstance(listed, list) or len(cast("list[object]", listed)) > MOST_DOCUMENTS:
                raise Malformed(f"documents is a list of at most {MOST_DOCUMENTS:,}")
            index, believed = self._retrieval.declared(name), _believed(body.get("believe", []))
            documents = tuple(
                [await self._document(each, index, name, believed) for each in cast("list[object]", listed)]
            )
            if len({each.name for each in documents}) < len(documents):
                raise Malformed("a document stands in the list twice")
            hidden.update({each.name: each.hidden for each in documents if each.hidden})
            return WriteDocuments(name, documents)

        hidden: dict[str, int] = {}
        async with self._guard.admit(exchange.presented, parse) as permit:
            ask = partial(self._embedding.asker(exchange), permit.principal)
            told: dict[str, object] = {"hidden": hidden} if hidden else {}
            await exchange.answer_json(200, {"passages": await self._retrieval.write(permit, ask), **told})

    async def _document(self, said: object, index: Index | None, name: str, believed: frozenset[Believed]) -> Document:
        """A document as it is said to be, or as a file that is read here says."""
        table = cast("dict[str, object]", said) if isinstance(said, dict) else None
        if table is None or "content" not in table:
            return parse_document(table, index)
        return await self._retrieval.read_file(parse_file(table), name, believed)

    async def _remove(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_index_name(named["name"])

        async def parse(_: Principal) -> RemoveDocuments:
            body = await exchange.json(LARGEST)
            await self._retrieval.open(name)
            require_only(body, "names")
            listed = body.get("names")
            if not isinstance(listed, list) or not all(isinstance(each, str) for each in cast("list[object]", listed)):
                raise Malformed("names is a list of documents' names")
            return RemoveDocuments(
                name, tuple(sorted({parse_document_name(each) for each in cast("list[str]", listed)}))
            )

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, {"removed": await self._retrieval.remove(permit)})

    async def _list(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_index_name(named["name"])

        async def parse(_: Principal) -> ListDocuments:
            await self._retrieval.open(name)
            return ListDocuments(name)

        async with self._guard.admit(exchange.presented, parse) as permit:
            listed = await self._retrieval.list_documents(permit)
            documents = await asyncio.to_thread(lambda: [document_json(each) for each in listed])
            await exchange.answer_json(200, {"documents": documents})

    async def _shred(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_index_name(named["name"])

        async def parse(_: Principal) -> ShredDocuments:
            body = await exchange.json()
            await self._retrieval.open(name)
            require_only(body, "classification", "labels", "reason")
            labels = _texts(body.get("labels", []), "labels", 64)
            label = Label(
                parse_classification(text(body, "classification")), frozenset(map(parse_subject_name, labels))
            )
            return ShredDocuments(name, label, text(body, "reason", longest=LONGEST_REASON))

        async with self._guard.admit(exchange.presented, parse) as permit:
            done = await self._retrieval.shred(permit)
            await exchange.answer_json(200, {"documents": done.documents, "journal_emptied": done.journal})

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        path = "/v1/indexes/{name}/documents"
        return [
            Route("GET", path, "admin", ListDocuments, self._list),
            Route("PUT", path, "admin", WriteDocuments, self._write),
            Route("POST", f"{path}/removals", "admin", RemoveDocuments, self._remove),
            Route("POST", "/v1/indexes/{name}/shred", "admin", ShredDocuments, self._shred),
        ]


def parse_document(table: Mapping[str, object] | None, index: Index | None) -> Document:
    """A document; what it does not say of its confidentiality is the index's. Raises `Malformed`."""
    if table is None:
        raise Malformed("a document is an object")
    require_only(
        table, "name", "version", "title", "classification", "labels", "owner", "readers", "attributes", "passages"
    )
    usual = Label(index.classification, index.labels) if index else Label(Classification.RESTRICTED)
    level = text(table, "classification", "")
    labels = _texts(table.get("labels", []), "labels", 64)
    return Document(
        name=parse_document_name(text(table, "name")),
        version=parse_digest(text(table, "version")),
        title=text(table, "title", "", longest=512),
        access=Access(
            Label(
                parse_classification(level) if level else usual.classification,
                usual.labels | frozenset(map(parse_subject_name, labels)),
            ),
            parse_subject(text(table, "owner")) if table.get("owner") else "",
            _readers(table.get("readers")),
        ),
        attributes=parse_attributes(table.get("attributes", {})),
        passages=tuple(_texts(table.get("passages"), "passages", MOST_PASSAGES, longest=LONGEST_PASSAGE)),
    )


def parse_file(table: Mapping[str, object]) -> File:
    """A file that is to be read here. Raises `Malformed`."""
    require_only(table, "name", "content", "classification", "labels", "owner", "readers")
    try:
        content = base64.b64decode(text(table, "content", longest=LARGEST), validate=True)
    except ValueError:  # also of a text that is not ASCII
        raise Malformed("content is base64") from None
    return File(
        parse_document_name(text(table, "name")),
        content,
        text(table, "classification", ""),
        frozenset(map(parse_subject_name, _texts(table.get("labels", []), "labels", 64))),
        parse_subject(text(table, "owner")) if table.get("owner") else "",
        _readers(table.get("readers")),
    )


def _believed(said: object) -> frozenset[Believed]:
    words = _texts(said, "believe", len(Believed))
    if unknown := set(words) - set(Believed):
        raise Malformed(f"{min(unknown)!r:.80} cannot be believed; there are {', '.join(Believed)}")
    return frozenset(map(Believed, words))


def _readers(said: object) -> frozenset[str] | None:
    """Who may read it; None for whoever is cleared."""
    return None if said is None else frozenset(map(parse_subject, _texts(said, "readers", MOST_READERS)))


def parse_attributes(said: object) -> Mapping[str, Attribute]:
    """What a document may be filtered by, as OpenAI's vector stores have it. Raises `Malformed`."""
    given = cast("dict[str, object]", said) if isinstance(said, dict) else None
    if given is None or len(given) > MOST_ATTRIBUTES:
        raise Malformed(f"attributes is an object of at most {MOST_ATTRIBUTES}")
    for name, value in given.items():
        if len(name) > LONGEST_KEY:
            raise Malformed(f"the attribute {name!r:.80} has a longer name than {LONGEST_KEY} characters")
        if not isinstance(value, (str, int, float)) or (isinstance(value, str) and len(value) > LONGEST_ATTRIBUTE):
            raise Malformed(
                f"the attribute {name!r:.80} is a number, true or false, or a text of at most {LONGEST_ATTRIBUTE}"
            )
    return cast("dict[str, Attribute]", given)


def _texts(said: object, what: str, most: int, *, longest: int = 512) -> list[str]:
    listed = cast("list[object]", said) if isinstance(said, list) else None
    if listed is None or len(listed) > most:
        raise Malformed(f"{what} is a list of at most {most:,} texts")
    texts = [each for each in listed if isinstance(each, str) and len(each) <= longest]
    if len(texts) < len(listed):
        raise Malformed(f"{what} has something that is no text of at most {longest:,} characters")
    return texts
