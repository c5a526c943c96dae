"""Vectors of what a caller may read, beside other ways to find them: by topic and across topics, of a thousandth to all of it.

Numpy through what is permitted, all of it in eight bits without a right asked for, and a graph with a filter. A million with
`NOMOAT_BENCH_VECTORS=1000000`, which takes 15 GB for 384 dimensions, and its time, for the graph has to be built;
`NOMOAT_BENCH_DIMENSIONS=384` measures one size alone.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import simsimd
from numpy.typing import NDArray

from bench.hnsw import FilteredGraph
from bench.measure import Figure
from nomoat.retrieval.documents import Entry, Passage
from nomoat.retrieval.index import Index
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.snapshot import Query, Snapshot

Answer = TypeVar("Answer")

VECTORS = int(os.environ.get("NOMOAT_BENCH_VECTORS", "100000"))
DIMENSIONS = [int(each) for each in os.environ.get("NOMOAT_BENCH_DIMENSIONS", "256,384").split(",")]
CLASSES = 1_000
SHARES = ((0.001, 0.5), (0.01, 0.5), (0.1, 1.5), (0.5, 0.0), (1.0, 0.0))  # and how many milliseconds each may take
FEW = 100_000  # the vectors for which that holds
TIMES = 30
TOP = 10


def measure() -> list[Figure]:
    """Milliseconds of wall time on one core, and ratios."""
    chance = np.random.default_rng(1)
    figures: list[Figure] = []
    for dimensions in DIMENSIONS:
        for topical in (False, True):
            figures += _by_vector(chance, dimensions, topical=topical)
    return figures


def _by_vector(chance: np.random.Generator, dimensions: int, *, topical: bool) -> list[Figure]:
    """Of made vectors, one class of documents in a thousand a topic; or topics that say nothing of classes."""
    topics = chance.standard_normal((CLASSES, dimensions)).astype(np.float32)
    of = chance.integers(0, CLASSES, VECTORS)
    rows = chance.standard_normal((VECTORS, dimensions)).astype(np.float32)
    rows *= np.float32(0.8)
    rows += topics[of] if topical else topics[chance.integers(0, CLASSES, VECTORS)]
    index = Index(dimensions)
    index.put([Entry(f"d{n:07d}", "1", int(each), [Passage("x", rows[n])]) for n, each in enumerate(of)])
    del rows
    snapshot = index.snapshot
    told = f"{dimensions} dimensions, permission {'follows topic' if topical else 'across topics'}"
    queries = [
        chance.standard_normal(dimensions).astype(np.float32) + topics[chance.integers(0, CLASSES)]
        for _ in range(TIMES)
    ]
    graph = FilteredGraph(snapshot.segments[0].vectors)
    figures: list[Figure] = []
    for share, most in SHARES:
        figures += _at(share, most, told, _compared(snapshot, scope_of(snapshot, int(share * CLASSES)), queries, graph))
    segment = snapshot.segments[0]
    size = sum(part.nbytes for part in segment.form) / VECTORS / dimensions
    exact = segment.vectors.nbytes / VECTORS / dimensions
    remark = f"beside {exact:.0f} of the exact ones, resident; {dimensions} dimensions"
    return [*figures, Figure("eight bits: a dimension and vector", size, "bytes", "at most", 1.4, remark)]


def _at(share: float, most: float, told: str, found: "Compared") -> list[Figure]:
    """The figures of one share of what there is."""
    remark = (
        f"{told}; {found.ours / found.brute:.2f} × numpy through what is permitted ({found.brute:.2f} ms), "
        f"{found.ours / found.graph:.2f} × HNSW with a filter ({found.graph:.2f} ms, recall@{TOP} {found.graph_recall:.2f})"
    )
    figures = [
        Figure(f"recall@{TOP} at {share:.1%}, {told}", found.recall, "", "at least", 1.0, remark),
        Figure(f"{share:.1%} ÷ all of it in eight bits, {told}", found.ours / found.scan, "×", "at most", 1.5, remark),
    ]
    if most and VECTORS <= FEW:
        name = f"top {TOP} of {share:.1%} of {VECTORS:,}, {told}"
        figures.append(Figure(name, found.ours, "ms", "at most", most, f"all of it in eight bits {found.scan:.2f} ms"))
    return figures


def scope_of(snapshot: Snapshot, classes: int) -> Scope:
    """Somebody who may read the first classes."""
    numbers = [snapshot.classes.index(each) for each in range(max(1, classes))]
    return Scope("person:a", frozenset(), {number: frozenset(PAIRS) for number in numbers})


class Compared(NamedTuple):
    """Median milliseconds: of ours, of a scan of everything in eight bits, of numpy through what is permitted, of HNSW; and recalls."""

    ours: float
    scan: float
    brute: float
    graph: float
    recall: float
    graph_recall: float


def _compared(
    snapshot: Snapshot, scope: Scope, queries: Sequence[NDArray[np.float32]], graph: FilteredGraph
) -> Compared:
    """Ours and the scan in turn, so that each finds the caches as the other leaves them; the others after them."""
    segment = snapshot.segments[0]
    selected = segment.select(scope)
    times: dict[str, list[float]] = {"ours": [], "scan": [], "brute": [], "graph": []}
    units = [(query / np.linalg.norm(query)).astype(np.float32) for query in queries]
    found: list[set[str]] = []
    snapshot.search(Query("x", queries[0], TOP, "vector"), scope)
    for query in queries:
        hits = _timed(times["ours"], partial(snapshot.search, Query("x", query, TOP, "vector"), scope))
        _timed(times["scan"], partial(_scan, snapshot, query))
        found.append({hit.name for hit in hits})
    chosen = graph.filter(selected.mask)
    about = [set(_timed(times["graph"], partial(graph.search, unit, TOP, chosen))) for unit in units]
    exact = [set(_timed(times["brute"], partial(_brute, segment.vectors, selected.rows, unit))) for unit in units]
    names = [{segment.entries[int(segment.document[row])].name for row in best} for best in exact]
    recall = statistics.mean(len(best & each) / len(best) for best, each in zip(names, found, strict=True))
    graph_recall = statistics.mean(len(best & each) / len(best) for best, each in zip(exact, about, strict=True))
    took = {name: statistics.median(each) * 1e3 for name, each in times.items()}
    return Compared(**took, recall=recall, graph_recall=graph_recall)


def _brute(vectors: NDArray[np.float32], rows: NDArray[np.int32], unit: NDArray[np.float32]) -> list[int]:
    products = vectors[rows] @ unit
    best = np.argpartition(-products, min(TOP, len(products)) - 1)[:TOP]
    return [int(rows[each]) for each in best]


def _timed(times: list[float], call: Callable[[], Answer]) -> Answer:
    begun = time.perf_counter()
    answer = call()
    times.append(time.perf_counter() - begun)
    return answer


def _scan(snapshot: Snapshot, query: NDArray[np.float32]) -> None:
    """The best of all rows in eight bits, without any right asked for."""
    form = snapshot.segments[0].form
    short = np.rint(query / np.abs(query).max() * 127).astype(np.int8)[None]
    products = np.asarray(simsimd.cdist(short, form.rows, "dot", out_dtype="float32"))[0] * form.scale
    np.argpartition(-products, TOP - 1)[:TOP]
