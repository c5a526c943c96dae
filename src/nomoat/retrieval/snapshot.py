"""Snapshots: an index at one instant, searched by anybody at any time after.

Rules: nothing that a scope does not permit has a part in an answer: the best are chosen among permitted rows alone, words are
counted in permitted passages alone, and equal scores are told apart by names. Scores are sums whose order does not depend on
which rows there are.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from nomoat.retrieval.documents import Attribute, Vector
from nomoat.retrieval.filters import Holds, parse_filter
from nomoat.retrieval.quantised import exact_products, sought
from nomoat.retrieval.scopes import Pair, Scope
from nomoat.retrieval.segment import Segment, Selection
from nomoat.retrieval.tokens import Vocabulary, words_of

PlaceT = TypeVar("PlaceT", bound=Hashable)
Ranking: TypeAlias = Literal["hybrid", "keyword", "vector"]

K1: Final = 1.2  # BM25 (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, section 3.4)
B: Final = 0.75
RRF: Final = 60  # reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)
FUSED: Final = 100  # of each list that are fused
MOST_WORDS: Final = 256  # different words of a query that are looked for


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: `most` passages, of a `vector` (None: by keywords alone), among those that a `filter` holds of."""

    text: str
    vector: Vector | None = None
    most: int = 10
    ranking: Ranking = "hybrid"
    filter: Mapping[str, object] | None = None
    at_least: float = -math.inf


class Hit(NamedTuple):
    """A passage that was found."""

    name: str
    version: str
    number: int
    text: str
    score: float
    attributes: Mapping[str, Attribute]


class Found(NamedTuple):
    """A row and its score."""

    score: float
    segment: int
    row: int


@final
@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """An index at one instant. `classes` has the access class of each number.

    `variants` tells of each class which documents there are: whether they have an owner, whether they have readers.
    """

    classes: tuple[Hashable, ...]
    variants: tuple[frozenset[Pair], ...]
    segments: tuple[Segment, ...]
    vocabulary: Vocabulary

    def names(self, scope: Scope) -> list[str]:
        """The names of the documents that a scope permits, in their order."""
        return sorted(
            segment.entries[place].name
            for segment in self.segments
            for place in np.flatnonzero(segment.select(scope).documents).tolist()
        )

    def count(self, scope: Scope) -> tuple[int, int]:
        """How many documents and how many passages a scope permits."""
        selected = [segment.select(scope) for segment in self.segments]
        return sum(int(each.documents.sum()) for each in selected), sum(each.count for each in selected)

    def whole(self, name: str, scope: Scope) -> list[Hit]:
        """The passages of a document, in their order; none where a scope does not permit it."""
        for segment in self.segments:
            for place in np.flatnonzero(segment.select(scope).documents).tolist():
                if (entry := segment.entries[place]).name == name:
                    texts = enumerate(entry.passages)
                    return [Hit(name, entry.version, number, text, 0.0, entry.attributes) for number, text in texts]
        return []

    def search(self, query: Query, scope: Scope) -> list[Hit]:
        """The best passages of what a scope permits. Raises `ValueError` for a filter or a vector that is none."""
        selected = [segment.select(scope) for segment in self.segments]
        chosen = selected
        if query.filter is not None:
            holds = parse_filter(query.filter)
            chosen = [_filtered(*each, holds) for each in zip(self.segments, selected, strict=True)]
        ranking = query.ranking if query.vector is not None else "keyword"
        most = FUSED if ranking == "hybrid" else query.most
        lists: list[list[Found]] = []
        if ranking != "vector":
            lists.append(self._by_words(query.text, selected, chosen, most))
        if ranking != "keyword" and query.vector is not None:
            lists.append(self._by_vector(query.vector, chosen, most))
        best = lists[0]
        if len(lists) > 1:
            scores = fused([[(each.segment, each.row) for each in ranked] for ranked in lists])
            best = self._best([Found(score, *place) for place, score in scores.items()], len(scores))
        return [self._hit(found) for found in best[: query.most] if found.score >= query.at_least]

    def _by_vector(self, vector: Vector, chosen: Sequence[Selection], most: int) -> list[Found]:
        query = sought(vector)
        products = [segment.products(query, each) for segment, each in zip(self.segments, chosen, strict=True)]
        every = np.concatenate(products) if len(products) > 1 else [*products, np.zeros(0, np.float32)][0]
        if not len(every):
            return []
        off = max(
            float(segment.form.off.max(initial=0.0))
            for segment, each in zip(self.segments, chosen, strict=True)
            if each.count
        )
        least = -np.inf
        if len(every) > most:
            reach = 2 * query.bound(off) / query.scale
            least = float(np.partition(every, len(every) - most)[len(every) - most]) - reach
        found: list[Found] = []
        for number, (segment, each) in enumerate(zip(self.segments, chosen, strict=True)):
            rows = each.rows[products[number] >= least]
            scores = exact_products(segment.vectors[rows], query.exact)
            found += [Found(score, number, row) for score, row in zip(scores.tolist(), rows.tolist(), strict=True)]
        return self._best(found, most)

    def _by_words(
        self, text: str, permitted: Sequence[Selection], chosen: Sequence[Selection], most: int
    ) -> list[Found]:
        """BM25, by what is permitted: a filter chooses among passages, and changes no score."""
        count, length = sum(each.count for each in permitted), sum(each.length for each in permitted)
        scores = [np.zeros(len(segment.document), np.float64) for segment in self.segments]
        if not count or not length:
            return []
        usual = length / count
        for word in list(dict.fromkeys(words_of(text)))[:MOST_WORDS]:
            if (number := self.vocabulary.get(word)) is None:
                continue
            having = [_permitted(segment, each, number) for segment, each in zip(self.segments, permitted, strict=True)]
            documents = sum(len(rows) for rows, _ in having)
            if not documents:
                continue
            weight = math.log(1 + (count - documents + 0.5) / (documents + 0.5))
            for segment, score, (rows, often) in zip(self.segments, scores, having, strict=True):
                norm = K1 * (1 - B + B * (segment.lengths[rows].astype(np.float64) / usual))
                score[rows] += weight * (often * (K1 + 1)) / (often + norm)
        found: list[Found] = []
        kept = [np.where(each.mask, score, 0.0) for each, score in zip(chosen, scores, strict=True)]
        every = np.concatenate([score[score > 0] for score in kept]) if kept else np.zeros(0)
        least = float(np.partition(every, len(every) - most)[len(every) - most]) if len(every) > most else 0.0
        for number, score in enumerate(kept):
            good = np.flatnonzero((score > 0) & (score >= least))
            found += [Found(each, number, row) for each, row in zip(score[good].tolist(), good.tolist(), strict=True)]
        return self._best(found, most)

    def _best(self, found: Sequence[Found], most: int) -> list[Found]:
        """The best by score, and among equal ones by the document's name and the passage's number."""

        def order(each: Found) -> tuple[float, str, int]:
            segment = self.segments[each.segment]
            return -each.score, segment.entries[int(segment.document[each.row])].name, int(segment.number[each.row])

        return sorted(found, key=order)[:most]

    def _hit(self, found: Found) -> Hit:
        segment = self.segments[found.segment]
        entry, number = segment.entries[int(segment.document[found.row])], int(segment.number[found.row])
        return Hit(entry.name, entry.version, number, entry.passages[number], found.score, entry.attributes)


def fused(lists: Sequence[Sequence[PlaceT]]) -> dict[PlaceT, float]:
    """The scores of what is in some lists, by its rank in each."""
    scores: dict[PlaceT, float] = {}
    for ranked in lists:
        for rank, place in enumerate(ranked, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (RRF + rank)
    return scores


def _permitted(segment: Segment, selected: Selection, word: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    rows, often = segment.with_word(word)
    kept = selected.mask[rows]
    return rows[kept], often[kept]


def _filtered(segment: Segment, selected: Selection, holds: Holds) -> Selection:
    documents = selected.documents.copy()
    for place in np.flatnonzero(documents).tolist():
        documents[place] = holds(segment.entries[place].attributes)
    mask = documents[segment.document]
    rows = np.flatnonzero(mask).astype(np.int32)
    return Selection(mask, documents, rows, (), selected.length)
