"""Opening an index: from where its documents are to what is searched, with vectors of the embedder that it has now.

Rules: what an embedder of the gateway's own makes is made anew where it is another one; a model that is asked is asked for nobody,
so that its vectors stay as they are until somebody who may have it asked puts the documents in again.
"""

import asyncio
from functools import partial
from typing import Final, NamedTuple, final

from nomoat.core.errors import Corrupt, Unavailable
from nomoat.core.lineage import Label
from nomoat.core.retrieval import POSTGRES, Index
from nomoat.policy.classes import Footprint
from nomoat.resources.retrieval.collection import Collection, Open
from nomoat.resources.retrieval.embedding import AskedModel, Embedder, Embedders, embedded_here, identity_of, size_of
from nomoat.resources.retrieval.postgres import PostgresCollection
from nomoat.stores.documents import Kept, StoredDocuments
from nomoat.stores.postgres.documents import PostgresDocuments

INSTALLED: Final = "in the gateway's environment: pip install 'nomoat[retrieval]'"


class Plaintext(NamedTuple):
    """Where documents lie in plaintext, and how confidential those are at most."""

    store: PostgresDocuments
    highest: Label


@final
class Opening:
    """What opens indexes. `postgres` is where those are that say so, None for nowhere."""

    def __init__(self, store: StoredDocuments, embedders: Embedders, postgres: Plaintext | None) -> None:
        self._store = store
        self._embedders = embedders
        self._postgres = postgres

    async def open(self, index: Index, read: Footprint) -> Open:
        """An index as it is stored, for policies that have this footprint. Raises `Unavailable`."""
        try:
            return await self._made(index, read)
        except ModuleNotFoundError as error:
            raise Unavailable("index", f"{error.name} is not installed; {INSTALLED}") from None

    async def _made(self, index: Index, read: Footprint) -> Open:
        embedder = self._embedders(index)
        if index.back_end != POSTGRES:
            return await self._embedded(index, embedder, read)
        if self._postgres is None:
            raise Unavailable("index", f"{index.name} is kept in PostgreSQL, and nomoat.toml has no [postgres]")
        anew = None
        try:
            await size_of(embedder)
            if not isinstance(embedder, AskedModel):
                anew = partial(embedded_here, embedder)
            embeds = True
        except (Corrupt, Unavailable):  # as below
            embeds = False
        return PostgresCollection(index, *self._postgres, identity_of(embedder), anew, embeds=embeds)

    async def _embedded(self, index: Index, embedder: Embedder | AskedModel | None, read: Footprint) -> Collection:
        kept = await asyncio.to_thread(self._store.all, index.name)
        anew: dict[str, Kept] = {}
        try:
            collection = Collection(index, self._store, identity_of(embedder), await size_of(embedder))
            if not isinstance(embedder, AskedModel):  # nobody's permission to send documents anywhere is at hand
                stale = [each for each in kept if not collection.takes(each)]
                anew = {each.document.name: each for each in await embedded_here(embedder, stale)}
        except (Corrupt, Unavailable):  # who searches is told so, and nobody else that there is an index
            collection = Collection(index, self._store, identity_of(embedder), 0, embeds=False)
        collection.at(read)  # so that documents come in as they will be told apart
        await asyncio.to_thread(collection.load, [anew.get(each.document.name, each) for each in kept])
        return collection

    def close(self) -> None:
        """Let go of what is connected to."""
        if self._postgres is not None:
            self._postgres.store.close()
