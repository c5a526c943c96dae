"""How good what is found is: nDCG@10 and recall@10 by words, by vectors, by both, beside bm25s on the same texts.

Figures do not depend on the machine. Documents are cut into passages as they are when they are put in; a document is as good as its
best passage. `NOMOAT_BENCH_COLLECTION` names a folder with another collection (`corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`).
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Final

from bench.beside import beside
from bench.judged import Collection, collections
from bench.measure import Figure
from nomoat.documents.passages import passages
from nomoat.retrieval.documents import Entry, Passage, vectors_of
from nomoat.retrieval.index import Index
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.snapshot import K1, B, Query, Ranking, Snapshot
from nomoat.stores.embedders import bundled

Found = Mapping[str, Sequence[str]]

TOP: Final = 10
PASSAGES: Final = 50  # of a query, as many as a client may ask for
BATCH: Final = 500
RANKINGS: Final[tuple[Ranking, ...]] = ("keyword", "vector", "hybrid")
FLOORS: Final[Mapping[str, Mapping[str, float]]] = {
    "news, judged by people": {"keyword": 0.58, "vector": 0.68, "hybrid": 0.68},
    "documentation, known texts": {"keyword": 0.50, "vector": 0.36, "hybrid": 0.47},
}
EVERYTHING: Final = Scope("person:a", frozenset(), {0: frozenset(PAIRS)})


def measure() -> list[Figure]:
    """Of each collection; a floor is what it was when it was measured, rounded down."""
    figures: list[Figure] = []
    for each in collections():
        figures += _of(each)
    return figures


def _of(collection: Collection) -> list[Figure]:
    told = f"{len(collection.documents):,} documents, {len(collection.relevant):,} queries"
    figures: list[Figure] = []
    ours = searched(collection)
    for ranking, found in ours.items():
        floor = FLOORS.get(collection.name, {}).get(ranking, 0.0)
        value = ndcg(found, collection.relevant)
        remark = f"{value:.3f}, recall@{TOP} {recall(found, collection.relevant):.3f}; {told}"
        figures.append(Figure(f"{collection.name}: {ranking}, nDCG@{TOP}", value, "", "at least", floor, remark))
    words = ndcg(ours["keyword"], collection.relevant)
    plain = ndcg(_by_bm25s(collection), collection.relevant)
    stems = ndcg(_by_bm25s(collection, stems=True), collection.relevant)
    figures.append(
        Figure(
            f"{collection.name}: keyword ÷ bm25s",
            words / plain,
            "×",
            "at least",
            0.98,
            f"bm25s {plain:.3f}, of the same passages; with English stems and without stop words {stems:.3f}",
        )
    )
    return figures


def ndcg(found: Found, relevant: Mapping[str, Mapping[str, float]]) -> float:
    """The mean over queries of the discounted gain of what was found, by that of the best order (Järvelin, Kekäläinen, 2002)."""

    def gain(judged: Sequence[float]) -> float:
        return sum(each / math.log2(place + 2) for place, each in enumerate(judged[:TOP]))

    return mean(
        gain([of.get(name, 0.0) for name in found[query]]) / gain(sorted(of.values(), reverse=True))
        for query, of in relevant.items()
    )


def recall(found: Found, relevant: Mapping[str, Mapping[str, float]]) -> float:
    """The mean over queries of the share of relevant documents that are among the first ten."""
    return mean(len(of.keys() & set(found[query][:TOP])) / len(of) for query, of in relevant.items())


def searched(collection: Collection, rankings: Sequence[Ranking] = RANKINGS) -> Mapping[Ranking, Found]:
    """The first documents of each query, by each ranking."""
    snapshot = _indexed(collection.documents)
    return {ranking: _found(snapshot, collection, ranking) for ranking in rankings}


def _indexed(documents: Mapping[str, str]) -> Snapshot:
    pieces = _pieces(documents)
    put: dict[str, list[Passage]] = {name: [] for name in documents}
    embedder = bundled()
    for begin in range(0, len(pieces), BATCH):
        some = pieces[begin : begin + BATCH]
        rows = vectors_of(asyncio.run(embedder.embed([piece for _, piece in some])), len(some))
        for (name, piece), row in zip(some, rows, strict=True):
            put[name].append(Passage(piece, row))
    index = Index(asyncio.run(embedder.dimensions()))
    index.put([Entry(name, "1", 0, each) for name, each in put.items()])
    return index.snapshot


def _pieces(documents: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, piece) for name, text in documents.items() for piece in passages(text)]


def _found(snapshot: Snapshot, collection: Collection, ranking: Ranking) -> Found:
    """The first documents of each query, but for the one that asks."""
    embedder, found = bundled(), dict[str, list[str]]()
    for query in collection.relevant:
        text = collection.queries[query]
        vector = vectors_of(asyncio.run(embedder.embed([text])), 1)[0]
        hits = snapshot.search(Query(text, vector, PASSAGES, ranking), EVERYTHING)
        found[query] = _others(query, [hit.name for hit in hits], collection)
    return found


def _others(query: str, names: Sequence[str], collection: Collection) -> list[str]:
    """Each document once."""
    return [name for name in dict.fromkeys(names) if not collection.alike or name != query][:TOP]


def _by_bm25s(collection: Collection, *, stems: bool = False) -> Found:
    """The same passages, and the same parameters of BM25; words of two letters and more, as it cuts them."""
    library, pieces = beside("bm25s"), _pieces(collection.documents)
    kept = {"stopwords": "en", "stemmer": beside("Stemmer").Stemmer("english")} if stems else {"stopwords": None}
    model = library.BM25(k1=K1, b=B)
    texts = library.tokenize([piece for _, piece in pieces], show_progress=False, **kept)
    model.index(texts, show_progress=False)
    found = dict[str, list[str]]()
    for query in collection.relevant:
        words = library.tokenize([collection.queries[query]], return_ids=False, show_progress=False, **kept)
        rows, _ = model.retrieve(words, k=min(PASSAGES, len(pieces)), show_progress=False)
        found[query] = _others(query, [pieces[int(row)][0] for row in rows[0]], collection)
    return found
