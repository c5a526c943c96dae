"""Embedders: what makes vectors of texts, here or at a server that is asked.

Rules: vectors of two embedders are not comparable, so each document says which one made its own. What is sent to a server goes
there as any prompt does: by an access of whoever searches or writes, decided with the label of the documents.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from nomoat.core.lineage import NOTHING, Label
from nomoat.core.retrieval import Index
from nomoat.stores.documents import Kept


class Embedder(Protocol):
    """Makes a vector of each text. `identity` says which embedder, with which weights: vectors of two are not comparable."""

    @property
    def identity(self) -> str:
        """What the vectors of this one are kept as."""
        ...

    async def dimensions(self) -> int:
        """How long a vector is. Raises `Corrupt`, `Unavailable`."""
        ...

    async def embed(self, texts: Sequence[str]) -> bytes:
        """The vectors of texts, one after the other: 32-bit floats in the order of x86. Raises `Corrupt`, `Unavailable`."""
        ...


class AskedModel(NamedTuple):
    """An embedder at a server: which endpoint is asked, which model has to answer, and how long a vector has to be."""

    endpoint: str
    model: str
    size: int

    @property
    def identity(self) -> str:
        """What its vectors are kept as."""
        return f"endpoint:{self.endpoint}:{self.size}:{self.model}"


Embedders: TypeAlias = Callable[[Index], Embedder | AskedModel | None]
"""The embedder of an index; None for one that is searched by keywords alone. Raises `Unavailable`."""


class Texts(NamedTuple):
    """What a model is to be asked vectors of: a query, or passages of `documents`, all of this label.

    Of none, it is only asked whether they who write may ask it.
    """

    model: AskedModel
    texts: Sequence[str]
    label: Label = NOTHING
    documents: tuple[str, ...] = ()


class Embedded(NamedTuple):
    """The vectors of texts, one after the other; `records` are those that allowed asking for them."""

    vectors: bytes
    records: tuple[int, ...] = ()

    @property
    def noted(self) -> Mapping[str, str]:
        """What the record of an access that needed them says of that."""
        return {"embedded_by": " ".join(map(str, self.records))} if self.records else {}


Ask: TypeAlias = Callable[[Texts], Awaitable[Embedded]]
"""Asks a model for vectors, for who searches or writes. Raises `Refused` where they may not have it asked, `Unavailable`."""


def identity_of(embedder: Embedder | AskedModel | None) -> str:
    """What vectors of an embedder are kept as; '' for none."""
    return "" if embedder is None else embedder.identity


async def size_of(embedder: Embedder | AskedModel | None) -> int:
    """How long a vector of an embedder is; 0 for none. Raises `Corrupt`, `Unavailable`."""
    if embedder is None:
        return 0
    return embedder.size if isinstance(embedder, AskedModel) else await embedder.dimensions()


async def embedded_query(embedder: Embedder | AskedModel, query: str, ask: Ask) -> Embedded:
    """The vector of a query. Raises `Refused`, `Corrupt`, `Unavailable`."""
    if isinstance(embedder, AskedModel):
        return await ask(Texts(embedder, (query,)))
    return Embedded(await embedder.embed([query]))


async def embedded_here(embedder: Embedder | None, kept: Sequence[Kept]) -> list[Kept]:
    """Documents with the vectors of an embedder of the gateway's own; of none, without any. Raises `Corrupt`, `Unavailable`."""
    if embedder is None:
        return [each._replace(embedder="", vectors=b"") for each in kept]
    texts = [text for each in kept for text in each.document.passages]
    vectors = await embedder.embed(texts) if texts else b""
    return _with(kept, vectors, embedder.identity, await embedder.dimensions())


async def embedded_documents(
    embedder: Embedder | AskedModel | None, kept: Sequence[Kept], ask: Ask
) -> tuple[list[Kept], Embedded]:
    """Documents with their vectors, in any order, and what was asked for; a model is asked of each label by itself.

    Raises `Refused` where one of them may not be sent, and then has none been kept; `Corrupt`, `Unavailable`.
    """
    if not isinstance(embedder, AskedModel):
        return await embedded_here(embedder, kept), Embedded(b"")
    if not kept:  # as who keeps a folder in an index asks whether they may write at all
        return [], await ask(Texts(embedder, ()))
    alike: dict[Label, list[Kept]] = {}
    for each in kept:
        alike.setdefault(each.document.access.label, []).append(each)
    made: list[Kept] = []
    records: tuple[int, ...] = ()
    for label, some in alike.items():
        texts = [text for each in some for text in each.document.passages]
        names = tuple(each.document.name for each in some)
        found = await ask(Texts(embedder, texts, label, names)) if texts else Embedded(b"")
        made += _with(some, found.vectors, embedder.identity, embedder.size)
        records += found.records
    return made, Embedded(b"", records)


def _with(kept: Sequence[Kept], vectors: bytes, identity: str, size: int) -> list[Kept]:
    """Documents, each with its share of the vectors of all their passages."""
    made: list[Kept] = []
    at = 0
    for each in kept:
        end = at + size * 4 * len(each.document.passages)
        made.append(each._replace(embedder=identity, vectors=vectors[at:end]))
        at = end
    return made
