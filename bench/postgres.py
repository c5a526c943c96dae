"""Searching an index in PostgreSQL, beside the same documents embedded: 100,000 vectors of 256 dimensions, and words.

Both are exact. The server is one of its own on a socket; what it takes is wall time on whatever cores there are.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Sequence

import numpy as np

from bench.measure import Figure
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.retrieval import Access, Document, Index
from nomoat.policy.classes import Footprint
from nomoat.resources.retrieval.collection import Searched
from nomoat.resources.retrieval.postgres import PostgresCollection
from nomoat.retrieval.documents import Entry, Passage
from nomoat.retrieval.index import Index as Engine
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.snapshot import Query
from nomoat.stores.documents import Kept
from nomoat.stores.postgres import Database, PostgresDocuments
from tests.retrieval.postgres import server

VECTORS = int(os.environ.get("NOMOAT_BENCH_VECTORS", "100000"))
DIMENSIONS = 256
CLASSES = 100
BATCH = 10_000
TIMES = 15
READ = Footprint(frozenset({"labels"}), None, frozenset())


def measure() -> list[Figure]:
    """Milliseconds of wall time, and ratios."""
    chance = np.random.default_rng(1)
    rows = chance.standard_normal((VECTORS, DIMENSIONS)).astype(np.float32)
    texts = [" ".join(f"w{each}" for each in chance.zipf(1.3, 25) % 5_000) for _ in range(VECTORS)]
    figures: list[Figure] = []
    with server() as running:
        database = running.database()
        store = PostgresDocuments(Database(running.url(database)))
        begun = time.perf_counter()
        collection = asyncio.run(_filled(store, rows, texts))
        rate = VECTORS / (time.perf_counter() - begun)
        figures.append(Figure("passages kept in PostgreSQL a second", rate, "/s", "at least", 500))
        running.run(database, "ANALYZE")
        engine = Engine(DIMENSIONS)
        engine.put(
            [
                Entry(f"d{n:07d}", "1", n % CLASSES, [Passage(text, row)])
                for n, (text, row) in enumerate(zip(texts, rows, strict=True))
            ]
        )
        shown, _ = collection.at(READ)
        for share in (0.01, 0.1, 1.0):
            scope = Scope("", frozenset(), {n: frozenset(PAIRS) for n in range(int(share * CLASSES))})
            for ranking in ("vector", "keyword"):
                queries = [
                    Query(
                        " ".join(f"w{each}" for each in chance.integers(0, 200, 4)),
                        chance.standard_normal(DIMENSIONS).astype(np.float32),
                        10,
                        ranking,
                    )
                    for _ in range(TIMES)
                ]
                there, here = _median_ms(shown, queries, scope), _median_ms(engine.snapshot, queries, scope)
                told = f"{there / here:.0f} × the embedded index, {here:.2f} ms"
                # Nothing was asked of this back end; exact answers of this size are worth a third of a second.
                figures.append(
                    Figure(f"PostgreSQL, {ranking}, {share:.0%} of {VECTORS:,}", there, "ms", "at most", 300, told)
                )
        store.close()
    return figures


async def _filled(store: PostgresDocuments, rows: np.ndarray, texts: Sequence[str]) -> PostgresCollection:
    async def embed(kept: Sequence[Kept]) -> list[Kept]:
        return list(kept)

    collection = PostgresCollection(
        Index("bench", Classification.PUBLIC),
        store,
        Label(Classification.PUBLIC, _labels(range(CLASSES))),
        "bench",
        embed,
    )
    await collection.fit(READ)
    for begin in range(0, len(rows), BATCH):
        kept = [
            Kept(_document(n, texts[n]), "bench", rows[n].astype("<f4").tobytes())
            for n in range(begin, min(begin + BATCH, len(rows)))
        ]
        await collection.change(kept, (), lambda: None, lambda: None)
    return collection


def _document(number: int, text: str) -> Document:
    label = Label(Classification.PUBLIC, _labels([number % CLASSES]))
    return Document(f"d{number:07d}", "0" * 64, "", Access(label), {}, (text,))


def _labels(numbers: Sequence[int]) -> frozenset[str]:
    return frozenset(f"l{number:03d}" for number in numbers)


def _median_ms(searched: Searched, queries: Sequence[Query], scope: Scope) -> float:
    searched.search(queries[0], scope)
    took: list[float] = []
    for query in queries:
        begun = time.perf_counter()
        searched.search(query, scope)
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e3
