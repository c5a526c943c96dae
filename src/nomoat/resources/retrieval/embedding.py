"""Embedders: what makes vectors of texts."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from nomoat.core.retrieval import Index


class Embedder(Protocol):
    """Makes a vector of each text. `identity` says which embedder, with which weights: vectors of two are not comparable."""

    @property
    def identity(self) -> str:
        """What the vectors of this one are kept as."""
        ...

    @property
    def dimensions(self) -> int:
        """How long a vector is."""
        ...

    async def embed(self, texts: Sequence[str]) -> bytes:
        """The vectors of texts, one after the other: 32-bit floats in the order of x86. Raises `Unavailable`."""
        ...


Embedders: TypeAlias = Callable[[Index], Embedder | None]
"""The embedder of an index; None for one that is searched by keywords alone. Raises `Unavailable`."""
