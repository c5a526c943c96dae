"""Small documents in a small world, so that equal words, equal vectors and near misses are common."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from hypothesis import strategies as st

from nomoat.retrieval.documents import Entry, Passage
from nomoat.retrieval.index import Index
from nomoat.retrieval.scopes import PAIRS, Pair, Scope
from nomoat.retrieval.snapshot import Query, Snapshot

DIMENSIONS: Final = 4
WORDS: Final = ("alpha", "beta", "gamma", "delta", "epsilon")
NAMES: Final = tuple(f"d{number}" for number in range(8))
CLASSES: Final = ("open", "secret", "team")
PEOPLE: Final = ("person:ann", "person:bob", "group:staff")

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
vectors = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.0]), min_size=DIMENSIONS, max_size=DIMENSIONS)


@dataclass(frozen=True)
class Caller:
    """Who asks: what they are called, and which pairs of each class they may have."""

    subject: str
    subjects: frozenset[str]
    permitted: Mapping[str, frozenset[Pair]]

    def may(self, entry: Entry) -> bool:
        """The model: whether they may have a document."""
        pair = (entry.owner == self.subject, not entry.readers.isdisjoint(self.subjects))
        return pair in self.permitted.get(str(entry.access), frozenset())

    def scope(self, snapshot: Snapshot) -> Scope:
        """The same, as an index takes it."""
        numbers = {str(name): number for number, name in enumerate(snapshot.classes)}
        permitted = {numbers[name]: pairs for name, pairs in self.permitted.items() if name in numbers}
        return Scope(self.subject, self.subjects, permitted)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """A document."""
    passages = draw(st.lists(st.tuples(texts, vectors), min_size=0, max_size=3))
    return Entry(
        name=draw(st.sampled_from(NAMES)),
        version=draw(st.sampled_from(["1", "2"])),
        access=draw(st.sampled_from(CLASSES)),
        passages=[Passage(text, np.array(vector, np.float32)) for text, vector in passages],
        owner=draw(st.sampled_from(["", *PEOPLE[:2]])),
        readers=draw(st.frozensets(st.sampled_from(PEOPLE), max_size=2)),
        attributes=draw(st.dictionaries(st.sampled_from(["year", "kind"]), st.sampled_from([1, 2, "memo", True]))),
    )


callers = st.builds(
    Caller,
    subject=st.sampled_from(PEOPLE[:2]),
    subjects=st.frozensets(st.sampled_from(PEOPLE), max_size=2),
    permitted=st.dictionaries(st.sampled_from(CLASSES), st.frozensets(st.sampled_from(PAIRS))),
)

comparisons = st.builds(
    lambda kind, key, value: {"type": kind, "key": key, "value": value},
    st.sampled_from(["eq", "ne", "gt", "lte"]),
    st.sampled_from(["year", "kind"]),
    st.sampled_from([1, 2]),
)
filters = st.one_of(
    st.none(),
    comparisons,
    st.builds(
        lambda kind, parts: {"type": kind, "filters": parts},
        st.sampled_from(["and", "or"]),
        st.lists(comparisons, min_size=1, max_size=2),
    ),
)
queries = st.builds(
    Query,
    text=texts,
    vector=st.one_of(st.none(), vectors.map(lambda vector: np.array(vector, np.float32))),
    most=st.integers(1, 5),
    ranking=st.sampled_from(["hybrid", "keyword", "vector"]),
    filter=filters,
)


def index_of(documents: Iterable[Entry], dimensions: int = DIMENSIONS) -> Index:
    """A fresh index of some documents."""
    index = Index(dimensions)
    index.put(sorted(documents, key=lambda entry: entry.name))
    return index


def answers(snapshot: Snapshot, caller: Caller, asked: Sequence[Query]) -> tuple[object, ...]:
    """Everything that a caller can be told."""
    scope = caller.scope(snapshot)
    return snapshot.names(scope), snapshot.count(scope), [snapshot.search(query, scope) for query in asked]


def relabelled(entry: Entry, access: str) -> Entry:
    """The same document in another class."""
    return replace(entry, access=access)
