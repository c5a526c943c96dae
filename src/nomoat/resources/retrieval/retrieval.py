"""Searching documents: what a caller may not read does not exist for them, in no result, order, score or count.

Rules: which classes of documents a caller may read is decided before anything is looked for, and only those are looked in.
What was found is decided again, document by document, before its text is given out; the session of whoever reads it carries
its label from then on. Documents are in force, for everybody, once they are stored and before who wrote them is answered.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from nomoat.core.decision import Confine, Withhold, withheld_parts
from nomoat.core.directory import Directory
from nomoat.core.errors import Conflict, Malformed, NotPermitted, Unavailable
from nomoat.core.names import Classification
from nomoat.core.operation import (
    ListDocuments,
    ListIndexes,
    Operation,
    ReadPassages,
    RemoveDocuments,
    Resolved,
    SearchIndex,
    ShredDocuments,
    Target,
    WriteDocuments,
)
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.core.retrieval import Document, Index, Passage, PassageId, Ranking
from nomoat.documents.read import Unreadable
from nomoat.resources.identities import target_of
from nomoat.resources.repositories.resolution import Resolver, place_in
from nomoat.resources.retrieval.embedding import (
    Ask,
    Embedders,
    embedded_documents,
    embedded_query,
    identity_of,
)
from nomoat.resources.retrieval.opened import Opened
from nomoat.resources.retrieval.places import (
    CHANGED,
    OPENING,
    STALE,
    UNKNOWN,
    DocumentsPlace,
    Found,
    Indexes,
    Listed,
    ListPlace,
    SearchPlace,
    ShredPlace,
    counted,
    labelled,
    permitted_by,
)
from nomoat.resources.retrieval.reading import Believed, File, ReadDocument, document_of
from nomoat.resources.retrieval.targets import document_for, index_target
from nomoat.retrieval.filters import parse_filter
from nomoat.stores.documents import Destroyed, Kept
from nomoat.stores.session_labels import SessionLabels


@final
class Retrieval:
    """The indexes of a gateway; `indexes` are those that are open."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        indexes: Opened,
        embedders: Embedders,
        sessions: SessionLabels,
        read: ReadDocument,
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._embedders = embedders
        self._indexes = indexes
        self._sessions = sessions
        self._read = read
        self._clock = clock

    @property
    def generation(self) -> int:
        """What moves with every change of a document."""
        return self._indexes.generation

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {
            ListIndexes: self.resolve_list,
            SearchIndex: self.resolve_search,
            ReadPassages: self.resolve_read,
            WriteDocuments: self.resolve_write,
            RemoveDocuments: self.resolve_remove,
            ShredDocuments: self.resolve_shred,
            ListDocuments: self.resolve_documents,
        }

    def declared(self, name: str) -> Index | None:
        """An index as it is declared; for who parses a request, which is told to nobody."""
        return self._directory().indexes.get(name)

    def grid_ms(self, name: str) -> int:
        """On which grid an index answers, 0 for none."""
        index = self.declared(name)
        return index.grid_ms if index else 0

    async def read_file(self, file: File, index: str, believed: frozenset[Believed]) -> Document:
        """The document that a file is, for who puts it into an index. Raises `Malformed` where it cannot be read."""
        declared = self.declared(index) or Index(index, Classification.RESTRICTED)
        try:
            return document_of(file, await self._read(file.name, file.content), declared, believed)
        except Unreadable as unreadable:
            raise Malformed(f"{file.name}: {unreadable}") from None

    async def open(self, name: str) -> None:
        """Have an index in memory, if there is one of this name; the resolvers wait for nothing.

        One that cannot be had is shut, which is for those to hear who are let in.
        """
        await self._indexes.have(name)

    def close(self) -> None:
        """Let go of what is connected to."""
        self._indexes.close()

    # -- Resolving -----------------------------------------------------------------------------------

    def resolve_list(self, who: Principal, operation: ListIndexes) -> Resolved[ListIndexes]:
        """Resolve to the caller, who asks for itself; the parts are the indexes."""
        indexes = tuple(index for _, index in sorted(self._directory().indexes.items()))
        return Resolved(
            operation, (target_of(who),), {"place": Indexes(indexes)}, parts=tuple(map(index_target, indexes))
        )

    def resolve_search(self, who: Principal, operation: SearchIndex) -> Resolved[SearchIndex]:
        """Resolve an index to its documents now, by class. Raises `NotFound`, `Unavailable`."""
        del who
        collection = self._indexes.find(operation.index)
        place = self._indexes.place(collection)
        target = index_target(collection.index)
        return Resolved(operation, (target,), {"place": place}, target, UNKNOWN, classes=place.table.classes)

    def resolve_read(self, who: Principal, operation: ReadPassages) -> Resolved[ReadPassages]:
        """Resolve passages to their documents now. Raises `NotFound`, `Conflict` where one has changed since, `Unavailable`."""
        collection = self._indexes.find(operation.index)
        versions: dict[str, str] = {each.document: each.version for each in operation.passages}
        place = DocumentsPlace(collection, {name: collection.documents.get(name) for name in versions})
        if any(each is None or each.version != versions[name] for name, each in place.known.items()):
            raise Conflict(CHANGED)
        targets = tuple(_as_known(place, who))
        return Resolved(operation, targets, {"place": place}, index_target(collection.index), UNKNOWN)

    def resolve_write(self, who: Principal, operation: WriteDocuments) -> Resolved[WriteDocuments]:
        """Resolve to the index, each document as it would be, and as it is. Raises `NotFound`, `Unavailable`."""
        collection = self._indexes.find(operation.index)
        index, target = collection.index, index_target(collection.index)
        place = DocumentsPlace(
            collection, {each.name: collection.documents.get(each.name) for each in operation.documents}
        )
        targets = [document_for(index, each.name, each.version, each.access, who) for each in operation.documents]
        known = _as_known(place, who)
        return Resolved(operation, (target, *targets, *known), {"place": place}, target, UNKNOWN, found=bool(known))

    def resolve_remove(self, who: Principal, operation: RemoveDocuments) -> Resolved[RemoveDocuments]:
        """Resolve to the index, and each document that is there. Raises `NotFound`, `Unavailable`."""
        collection = self._indexes.find(operation.index)
        target = index_target(collection.index)
        place = DocumentsPlace(collection, {name: collection.documents.get(name) for name in operation.names})
        known = _as_known(place, who)
        return Resolved(operation, (target, *known), {"place": place}, target, UNKNOWN, found=bool(known))

    def resolve_documents(self, who: Principal, operation: ListDocuments) -> Resolved[ListDocuments]:
        """Resolve an index to its documents now, by class. Raises `NotFound`, `Unavailable`."""
        del who
        collection = self._indexes.find(operation.index)
        search, target = self._indexes.place(collection), index_target(collection.index)
        place = ListPlace(search, dict(collection.documents))
        return Resolved(operation, (target,), {"place": place}, target, UNKNOWN, classes=search.table.classes)

    def resolve_shred(self, who: Principal, operation: ShredDocuments) -> Resolved[ShredDocuments]:
        """Resolve an index to its documents now, by class. Raises `NotFound`, `Unavailable`."""
        del who
        collection = self._indexes.find(operation.index)
        target, search = index_target(collection.index), self._indexes.place(collection)
        place = ShredPlace(search, operation.label, labelled(collection, operation.label))
        return Resolved(operation, (target,), {"place": place}, target, UNKNOWN, classes=search.table.classes)

    # -- Serving -------------------------------------------------------------------------------------

    def list_indexes(self, permit: Permit[ListIndexes]) -> list[Index]:
        """The indexes that the caller may search."""
        resolved = permit.claim(ListIndexes, Withhold)
        withheld = withheld_parts(permit.allow.obligations)
        indexes = place_in(resolved, Indexes).all
        found = [index for number, index in enumerate(indexes) if number not in withheld]
        permit.note(shown=str(len(found)))
        return found

    async def search(self, permit: Permit[SearchIndex], ask: Ask) -> Found:
        """Find passages in what the caller may read; `ask` is who asks a model for the query's vector, where one is declared.

        Raises `Malformed` for a filter that is none, `Refused` where the query may not be sent to that model, `Unavailable`.
        """
        from nomoat.retrieval.documents import vectors_of  # noqa: PLC0415 - with numpy, for whom there is an index
        from nomoat.retrieval.snapshot import Query  # noqa: PLC0415 - as above

        resolved = permit.claim(SearchIndex, Confine)
        if resolved.operation.filter is not None:
            try:
                parse_filter(resolved.operation.filter)
            except ValueError as error:
                raise Malformed(str(error)) from None
        operation, place = resolved.operation, place_in(resolved, SearchPlace)
        place.collection.require(())
        scope = place.table.scope(permit.principal, permitted_by(permit))
        if operation.document:
            return self._found(
                permit, operation, await asyncio.to_thread(place.snapshot.whole, operation.document, scope)
            )
        embedder = self._embedders(place.collection.index)
        vector = None
        if operation.ranking is not Ranking.KEYWORD and embedder is not None:
            if place.collection.embeds and place.stale and not place.stale.isdisjoint(place.snapshot.names(scope)):
                raise Unavailable("index", STALE)
            found = await embedded_query(embedder, operation.query, ask)
            permit.check()
            if not place.collection.embeds:
                self._indexes.let_go(operation.index)  # its embedder is as it should be again
            if not place.collection.embeds or identity_of(embedder) != place.collection.embedder:
                raise Unavailable("index", OPENING)
            permit.outcome.update(found.noted)
            (vector,) = vectors_of(found.vectors, 1)
        least = -math.inf if operation.at_least is None else operation.at_least
        query = Query(operation.query, vector, operation.most, operation.ranking.value, operation.filter, least)
        return self._found(permit, operation, await asyncio.to_thread(place.snapshot.search, query, scope))

    @staticmethod
    def _found(permit: Permit[SearchIndex], operation: SearchIndex, hits: Sequence[Any]) -> Found:
        permit.check()
        permit.note(found=str(len(hits)))
        passages = tuple(
            Passage(PassageId(hit.name, hit.version, hit.number), hit.text, hit.score, hit.attributes) for hit in hits
        )
        return Found(operation, passages, permit.receipt.index)

    async def read(self, permit: Permit[ReadPassages], found: Found) -> Sequence[Passage]:
        """Give out what was found; the caller's session carries its label from now on.

        Raises `Conflict` when the permit is for other passages, or a document has changed since it was decided about;
        `Unavailable` when the label cannot be stored.
        """
        resolved = permit.claim(ReadPassages)
        if resolved.operation.passages != found.ids:
            raise Conflict(CHANGED)
        place = place_in(resolved, DocumentsPlace)
        await self._sessions.join(permit.principal.session, place.label, self._clock())
        if not await place.collection.is_fit(self._indexes.read_by_policies()):  # another gateway may have changed them
            raise Conflict(CHANGED)
        permit.check()  # storing the label takes a while: a change that was answered meanwhile is in force
        if not self._indexes.is_open(place.collection) or not place.stands:
            raise Conflict(CHANGED)
        permit.note(bytes=sum(len(each.text) for each in found.passages), passages=str(len(found.passages)))
        return found.passages

    async def write(self, permit: Permit[WriteDocuments], ask: Ask) -> int:
        """Put documents into an index, in force before this returns; return how many passages they have.

        `ask` is who asks a model for their vectors, where one is declared. Raises `Refused` where one of them may not be sent to
        that model, and then puts in none; `Unavailable`.
        """
        resolved = permit.claim(WriteDocuments)
        place, documents = place_in(resolved, DocumentsPlace), resolved.operation.documents
        place.collection.require(documents)
        embedder = self._embedders(place.collection.index)
        kept, asked = await embedded_documents(embedder, [Kept(each) for each in documents], ask)
        permit.outcome.update(asked.noted)
        await self._change(permit, place, kept, ())
        permit.outcome.update(counted(documents))
        return sum(len(each.passages) for each in documents)

    async def remove(self, permit: Permit[RemoveDocuments]) -> int:
        """Take documents out of an index; return how many there were. Raises `Unavailable`."""
        resolved = permit.claim(RemoveDocuments)
        place = place_in(resolved, DocumentsPlace)
        place.collection.require(())
        names = [name for name, known in place.known.items() if known is not None]
        await self._change(permit, place, (), names)
        permit.note(documents=str(len(names)))
        return len(names)

    async def shred(self, permit: Permit[ShredDocuments]) -> Destroyed:
        """Destroy the key of a label and its documents, durably; nothing of them is in memory then but what is being searched in.

        Raises `NotPermitted` for one that may not be destroyed, `NotFound` where the label has no key, `Malformed` where the index has
        none, `Conflict`, `Unavailable`.
        """
        resolved = permit.claim(ShredDocuments, Confine)
        (place, label, decided), index = place_in(resolved, ShredPlace), resolved.operation.index
        scope = place.table.scope(permit.principal, permitted_by(permit))
        if not decided.keys() <= set(await asyncio.to_thread(place.snapshot.names, scope)):
            raise NotPermitted(f"you may not destroy every document of {index} that is {label}; nothing was destroyed")

        collection, changed = place.collection, self._indexes.changed

        async def destroy() -> Destroyed:
            async with self._indexes.lock(index):
                if not self._indexes.is_open(collection) or labelled(collection, label) != decided:
                    raise Conflict("documents of this label came or went meanwhile; nothing was destroyed, try again")
                done = await collection.destroy(label, sorted(decided), permit.check, changed)
                # What is taken out stays among the rows that there were; what is opened anew never had it.
                await self._indexes.anew(collection)
                return done

        done = await asyncio.shield(asyncio.ensure_future(destroy()))
        permit.note(documents=str(done.documents), journal="emptied" if done.journal else "still in use")
        return done

    async def list_documents(self, permit: Permit[ListDocuments]) -> list[Listed]:
        """The documents of an index that the caller may write, by name."""
        resolved = permit.claim(ListDocuments, Confine)
        (_, snapshot, table, stale), documents = place_in(resolved, ListPlace)
        names = await asyncio.to_thread(snapshot.names, table.scope(permit.principal, permitted_by(permit)))
        permit.check()
        return [Listed(name, documents[name], name not in stale) for name in sorted(names)]

    async def _change(
        self,
        permit: Permit[WriteDocuments] | Permit[RemoveDocuments],
        place: DocumentsPlace,
        kept: Sequence[Kept],
        removed: Sequence[str],
    ) -> None:
        collection, changed = place.collection, self._indexes.changed

        async def change() -> None:
            async with self._indexes.lock(collection.index.name):
                if not self._indexes.is_open(collection):
                    raise Conflict("the index was opened anew meanwhile; try again")
                if not place.stands:  # what was decided about is not what would be replaced
                    raise Conflict("what is there has changed since; try again")
                await collection.change(kept, removed, permit.check, changed)

        changing = asyncio.get_running_loop().create_task(change())
        await asyncio.shield(changing)


def _as_known(place: DocumentsPlace, who: Principal) -> list[Target]:
    known = [(name, each) for name, each in place.known.items() if each is not None]
    return [document_for(place.collection.index, name, each.version, each.access, who) for name, each in known]
