"""Documents as they are indexed."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
Attribute: TypeAlias = str | float | bool


class Passage(NamedTuple):
    """A text, and its vector; one of no dimensions where it is found by keywords alone."""

    text: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class Entry:
    """A document; `owner` and `readers` are subjects, '' and none where nobody is named.

    `access` is all that may be told apart of who may have it, but for its name: its class, until an index is told of coarser ones.
    Hits name a passage by the document's `name` and a number, so names are what ties are broken by.
    """

    name: str
    version: str
    access: Hashable
    passages: Sequence[Passage] = field(repr=False)
    owner: str = ""
    readers: frozenset[str] = frozenset()
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])


@dataclass(frozen=True, slots=True)
class Held:
    """What an index keeps of a document beside what finds it; `passages` are texts."""

    name: str
    version: str
    attributes: Mapping[str, Attribute]
    passages: tuple[str, ...] = field(repr=False)


def vectors_of(content: bytes, count: int) -> Vector:
    """Vectors that lie one after the other, as rows: 32-bit floats in the order of x86. Raises `ValueError`."""
    found = np.frombuffer(content, dtype="<f4")
    if count == 0 or found.size == 0:
        return np.zeros((count, 0), np.float32)
    return found.reshape(count, -1)
