"""OpenAI's files and the files of its vector stores → uploads that are held, and the documents of an index.

Rules: a file's id is its name, which is the name of its document in an index, too. What somebody uploads is their session's own
until they put it into an index; there it is a document as any other. What is asked for and not served is refused by name.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final, cast, final

from nomoat.core.errors import Malformed, NotFound
from nomoat.core.names import parse_document_name, parse_index_name
from nomoat.core.operation import (
    ListDocuments,
    ListUploads,
    RemoveDocuments,
    RemoveUpload,
    SearchIndex,
    UploadFile,
    WriteDocuments,
)
from nomoat.core.principal import Principal
from nomoat.core.retrieval import Document
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text, whole
from nomoat.protocols.http.routes import Route
from nomoat.protocols.retrieval.answers import file_json, passage_texts_json, upload_json
from nomoat.protocols.retrieval.documents import parse_attributes
from nomoat.protocols.retrieval.forms import Form, parse_form
from nomoat.protocols.retrieval.searching import Searching
from nomoat.resources.inference import Inference
from nomoat.resources.retrieval import File, Listed, Retrieval, Upload, Uploads

LARGEST: Final = (16 << 20) + 65_536  # bytes of a form with a file
PURPOSE: Final = "assistants"
USUAL: Final = 20  # of a list
MOST: Final = 100
ABSENT: Final = "there is no such document in this index, or none with a text"


@final
class FileEndpoints(Searching):
    """The enforcement point for files, before and after they are documents."""

    def __init__(self, guard: Guard, retrieval: Retrieval, inference: Inference, uploads: Uploads) -> None:
        super().__init__(guard, retrieval, inference)
        self._uploads = uploads

    # -- Files that are in no index yet ----------------------------------------------------------------

    async def _upload(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> UploadFile:
            kind, body = exchange.header("content-type") or "", await exchange.body(LARGEST)
            return _uploaded(await asyncio.to_thread(parse_form, kind, body))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, upload_json(self._uploads.hold(permit)))

    async def _uploads_listed(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ListUploads:
            _page(exchange, "purpose", "order")
            return ListUploads()

        async with self._guard.admit(exchange.presented, parse) as permit:
            after, most = _page(exchange, "purpose", "order")
            held = {each.name: upload_json(each) for each in self._uploads.list_uploads(permit)}
            await exchange.answer_json(200, _listing(held, after, most))

    async def _upload_told(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ListUploads(parse_document_name(named["file"]))) as permit:
            (upload,) = self._uploads.list_uploads(permit)
            await exchange.answer_json(200, upload_json(upload))

    async def _upload_removed(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_document_name(named["file"])
        async with self._guard.admit(exchange.presented, RemoveUpload(name)) as permit:
            self._uploads.remove(permit)
            await exchange.answer_json(200, {"id": name, "object": "file", "deleted": True})

    # -- Files that are documents ----------------------------------------------------------------------

    async def _write(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_index_name(named["name"])
        taken: list[tuple[Upload, Document]] = []

        async def parse(who: Principal) -> WriteDocuments:
            body = await exchange.json()
            await self._retrieval.open(name)
            require_only(body, "file_id", "attributes", "chunking_strategy")
            _require_usual_chunks(body.get("chunking_strategy"))
            attributes = parse_attributes(body.get("attributes") or {})
            upload = self._uploads.of(who, parse_document_name(text(body, "file_id")))
            file = File(upload.name, upload.content, attributes=attributes)
            taken.append((upload, await self._retrieval.read_file(file, name, frozenset())))
            return WriteDocuments(name, (taken[0][1],))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await self._retrieval.write(permit, partial(self._embedding.asker(exchange), permit.principal))
            ((upload, document),) = taken
            upload.used = True
            told = file_json(name, document.name, document.attributes)
            await exchange.answer_json(200, {**told, "hidden_characters": document.hidden})

    async def _listed(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_index_name(named["name"])

        async def parse(_: Principal) -> ListDocuments:
            _page(exchange)
            await self._retrieval.open(name)
            return ListDocuments(name)

        async with self._guard.admit(exchange.presented, parse) as permit:
            after, most = _page(exchange)
            found = {each.name: _told(name, each) for each in await self._retrieval.list_documents(permit)}
            await exchange.answer_json(200, _listing(found, after, most))

    async def _retrieve(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name, file = parse_index_name(named["name"]), parse_document_name(named["file"])

        async def parse(_: Principal) -> ListDocuments:
            await self._retrieval.open(name)
            return ListDocuments(name)

        async with self._guard.admit(exchange.presented, parse) as permit:
            found = [each for each in await self._retrieval.list_documents(permit) if each.name == file]
            if not found:
                raise NotFound(ABSENT, kind="document")
            await exchange.answer_json(200, _told(name, found[0]))

    async def _content(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name, file = parse_index_name(named["name"]), parse_document_name(named["file"])

        async def parse(_: Principal) -> SearchIndex:
            await self._retrieval.open(name)
            return SearchIndex(name, "", document=file)

        _, passages = await self.found(exchange, parse)
        if not passages:
            raise NotFound(ABSENT, kind="document")
        await exchange.answer_json(200, passage_texts_json(passages))

    async def _remove(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name, file = parse_index_name(named["name"]), parse_document_name(named["file"])

        async def parse(_: Principal) -> RemoveDocuments:
            await self._retrieval.open(name)
            return RemoveDocuments(name, (file,))

        async with self._guard.admit(exchange.presented, parse) as permit:
            if not await self._retrieval.remove(permit):
                raise NotFound(ABSENT, kind="document")
            await exchange.answer_json(200, {"id": file, "object": "vector_store.file.deleted", "deleted": True})

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        files, one = "/v1/vector_stores/{name}/files", "/v1/vector_stores/{name}/files/{+file}"
        return [
            Route("POST", "/v1/files", "openai", UploadFile, self._upload),
            Route("GET", "/v1/files", "openai", ListUploads, self._uploads_listed),
            Route("GET", "/v1/files/{+file}", "openai", ListUploads, self._upload_told),
            Route("DELETE", "/v1/files/{+file}", "openai", RemoveUpload, self._upload_removed),
            Route("POST", files, "openai", WriteDocuments, self._write),
            Route("GET", files, "openai", ListDocuments, self._listed),
            Route("GET", one, "openai", ListDocuments, self._retrieve),
            Route("DELETE", one, "openai", RemoveDocuments, self._remove),
            Route("GET", f"{one}/content", "openai", SearchIndex, self._content),
        ]


def _uploaded(form: Form) -> UploadFile:
    """What a form uploads. Raises `Malformed`."""
    fields, files = form
    require_only({**fields, **files}, "file", "purpose")
    if fields.get("purpose") != PURPOSE:
        raise Malformed(f"files are uploaded here for indexes alone: purpose is {PURPOSE!r}")
    if "file" not in files:
        raise Malformed("file is a file, with its name")
    name, content = files["file"]
    return UploadFile(parse_document_name(name), content)


def _require_usual_chunks(said: object) -> None:
    if said is not None and (not isinstance(said, dict) or cast("dict[str, object]", said) != {"type": "auto"}):
        raise Malformed("documents are divided here as they are: leave chunking_strategy out, or have its type be auto")


def _page(exchange: Exchange, *others: str) -> tuple[str, int]:
    """After which name a list is to begin, and how long it may be. Raises `Malformed`."""
    query = exchange.query()
    require_only(query, "after", "limit", *others)
    if query.get("purpose", PURPOSE) != PURPOSE:
        raise Malformed(f"files have the purpose {PURPOSE!r} here")
    if query.get("order", "asc") != "asc":
        raise Malformed("a list is in the order of names: order is asc")
    limit = query.get("limit", str(USUAL))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 5):
        raise Malformed("limit is a whole number")
    return query.get("after", ""), whole({"limit": int(limit)}, "limit", USUAL, least=1, most=MOST)


def _listing(found: Mapping[str, Mapping[str, object]], after: str, most: int) -> dict[str, object]:
    names = [name for name in sorted(found) if name > after]
    shown = names[:most]
    return {
        "object": "list",
        "data": [found[name] for name in shown],
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
        "has_more": len(names) > len(shown),
    }


def _told(index: str, listed: Listed) -> dict[str, object]:
    return file_json(index, listed.name, listed.known.attributes)
