"""The indexes that are in memory: had, found, and changed one at a time.

Rules: an index is as it is declared now, with vectors of the embedder that it has now, or it is not found. One that cannot be had is
shut, which is for those to hear who are let in.
"""

import asyncio
from collections.abc import Callable
from functools import reduce
from typing import final

from nomoat.core.directory import Directory
from nomoat.core.errors import Corrupt, NotFound, Unavailable
from nomoat.core.operation import ListDocuments, SearchIndex, ShredDocuments
from nomoat.core.retrieval import Index
from nomoat.policy.classes import Footprint, footprint
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.resources.retrieval.collection import Open
from nomoat.resources.retrieval.embedding import AskedModel, Embedders, identity_of
from nomoat.resources.retrieval.opening import Opening, Plaintext
from nomoat.resources.retrieval.places import OPENING, UNKNOWN, SearchPlace
from nomoat.resources.retrieval.shut import Shut, shut
from nomoat.stores.documents import StoredDocuments


@final
class Opened:
    """The indexes of a gateway, as they are open; `generation` moves with every change of a document."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        policies: Callable[[], PolicySnapshot],
        store: StoredDocuments,
        embedders: Embedders,
        postgres: Plaintext | None,
    ) -> None:
        self._directory = directory
        self._policies = policies
        self._embedders = embedders
        self._opening = Opening(store, embedders, postgres)
        self._open: dict[str, Open] = {}
        self._shut: dict[str, Shut] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.generation = 0

    async def have(self, name: str) -> None:
        """Have an index in memory, if one of this name is declared."""
        index = self._directory().indexes.get(name)
        if index is None:
            return
        try:
            await self._have(index)
        except (Corrupt, Unavailable) as failure:
            self._shut[name] = shut(index, failure)
        else:
            self._shut.pop(name, None)

    async def _have(self, index: Index) -> None:
        """Raises `Corrupt`, `Unavailable`."""
        opened, read = self._opened(index), self.read_by_policies()
        if opened is not None and await opened.is_fit(read):
            return
        async with self.lock(index.name):
            opened = self._opened(index) or await self._opening.open(index, read)
            await opened.fit(read)
            self._open[index.name] = opened
            self.changed()

    def find(self, name: str) -> Open:
        """An index that is open, or shut. Raises `NotFound`, `Unavailable`."""
        index = self._directory().indexes.get(name)
        if index is None:
            raise NotFound(UNKNOWN, kind="index")
        if (closed := self._shut.get(name)) is not None and closed.index == index:
            return closed
        try:
            opened = self._opened(index)
        except Unavailable as failure:
            return shut(index, failure)
        if opened is None:  # it was declared anew since: what was begun before ends
            raise Unavailable("index", OPENING)
        return opened

    def place(self, collection: Open) -> SearchPlace:
        """The documents by what policies read of them, for reading and for writing: one order serves both."""
        try:
            return SearchPlace(collection, *collection.at(self.read_by_policies()), collection.stale)
        except Unavailable as failure:
            return self.place(shut(collection.index, failure))

    def read_by_policies(self) -> Footprint:
        """What policies in force read of a document."""
        policies = self._policies()
        reading, *others = [
            footprint(policies, each.part, "Document") for each in (SearchIndex, ListDocuments, ShredDocuments)
        ]
        return reduce(Footprint.join, others, reading)

    def is_open(self, collection: Open) -> bool:
        """Whether an index is still the one that is open under its name."""
        return self._open.get(collection.index.name) is collection

    async def anew(self, collection: Open) -> None:
        """Open an index from what is stored, in the place of one that is let go of. Its lock is held."""
        name = collection.index.name
        try:
            self._open[name] = await self._opening.open(collection.index, self.read_by_policies())
        except (Corrupt, Unavailable):
            del self._open[name]

    def let_go(self, name: str) -> None:
        """Have an index opened anew by whoever needs it next."""
        self._open.pop(name, None)

    def changed(self) -> None:
        """Say that documents are others than before."""
        self.generation += 1

    def lock(self, name: str) -> asyncio.Lock:
        """What is held by who opens or changes an index: an opening reads what is stored before a change, or after."""
        return self._locks.setdefault(name, asyncio.Lock())

    def close(self) -> None:
        """Let go of what is connected to."""
        self._opening.close()

    def _opened(self, index: Index) -> Open | None:
        found, embedder = self._open.get(index.name), self._embedders(index)
        if found is None or found.index != index or found.embedder != identity_of(embedder):
            return None
        return None if found.stale and found.embeds and not isinstance(embedder, AskedModel) else found
