"""Searching what a caller may read, beside other ways: 100,000 vectors, by topic and across topics; and words.

A million with `NOMOAT_BENCH_VECTORS=1000000`, some 10 GB and most of an hour, for what is compared with has to be built;
`NOMOAT_BENCH_DIMENSIONS=384` measures one size alone.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import simsimd
from numpy.typing import NDArray

from bench.decision import principal
from bench.hnsw import FilteredGraph
from bench.measure import Figure
from nomoat.core.decision import Context
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import AccessClasses
from nomoat.core.principal import Binding
from nomoat.core.retrieval import Access
from nomoat.core.retrieval import Index as Declared
from nomoat.policy import compile_policies, starter_policies
from nomoat.policy.classes import permitted
from nomoat.resources.retrieval.targets import document_target
from nomoat.retrieval.documents import Entry, Passage
from nomoat.retrieval.index import Index
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.snapshot import Query, Snapshot
from nomoat.stores.embedders import bundled

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

VECTORS = int(os.environ.get("NOMOAT_BENCH_VECTORS", "100000"))
DIMENSIONS = [int(each) for each in os.environ.get("NOMOAT_BENCH_DIMENSIONS", "256,384").split(",")]
CLASSES = 1_000
SHARES = ((0.001, 0.5), (0.01, 0.5), (0.1, 1.5), (0.5, 0.0), (1.0, 0.0))  # and how many milliseconds each may take
FEW = 0.01  # the share up to which the exact search is to be no slower than the approximate one
WORDS = 5_000
LENGTH = 20
TIMES = 30
TOP = 10


def measure() -> list[Figure]:
    """Milliseconds of wall time on one core, and ratios."""
    chance = np.random.default_rng(1)
    figures: list[Figure] = []
    for dimensions in DIMENSIONS:
        for topical in (False, True):
            figures += _by_vector(chance, dimensions, topical=topical)
    return [*figures, *_by_words(chance), *_classes(), *_ingestion()]


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
        figures += _at(share, most, told, _compared(snapshot, _scope(snapshot, int(share * CLASSES)), queries, graph))
    segment = snapshot.segments[0]
    size = sum(part.nbytes for part in segment.form) / VECTORS / dimensions
    exact = segment.vectors.nbytes / VECTORS / dimensions
    remark = f"beside {exact:.0f} of the exact ones, resident; {dimensions} dimensions"
    return [*figures, Figure("eight bits: a dimension and vector", size, "bytes", "at most", 1.4, remark)]


def _at(share: float, most: float, told: str, found: "Compared") -> list[Figure]:
    """The figures of one share of what there is."""
    remark = (
        f"{told}; numpy through what is permitted {found.brute:.2f} ms, all of it in eight bits {found.scan:.2f} ms, "
        f"HNSW with a filter {found.graph:.2f} ms with recall@{TOP} {found.graph_recall:.2f}"
    )
    figures = [
        Figure(f"recall@{TOP} at {share:.1%}, {told}", found.recall, "", "at least", 1.0, remark),
        Figure(f"{share:.1%} ÷ all of it in eight bits, {told}", found.ours / found.scan, "×", "at most", 1.5, remark),
    ]
    if most:
        name = f"top {TOP} of {share:.1%} of {VECTORS:,}, {told}"
        figures.append(Figure(name, found.ours, "ms", "at most", most, remark))
    if share <= FEW:
        name = f"{share:.1%} ÷ HNSW with a filter, {told}"
        figures.append(Figure(name, found.ours / found.graph, "×", "at most", 1.0, remark))
    return figures


def _scope(snapshot: Snapshot, classes: int) -> Scope:
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


def _by_words(chance: np.random.Generator) -> list[Figure]:
    ranks = chance.zipf(1.3, VECTORS * LENGTH) % WORDS
    words = [f"w{each}" for each in ranks]
    texts = [" ".join(words[begin:end]) for begin, end in pairwise(range(0, VECTORS * LENGTH + 1, LENGTH))]
    none = np.zeros(0, np.float32)
    index = Index(0)
    index.put([Entry(f"d{n:07d}", "1", n % CLASSES, [Passage(text, none)]) for n, text in enumerate(texts)])
    figures: list[Figure] = []
    for share in (0.01, 0.1, 0.5, 1.0):
        scope = _scope(index.snapshot, int(share * CLASSES))
        queries = [Query(" ".join(f"w{each}" for each in chance.integers(0, 200, 4))) for _ in range(TIMES)]
        index.snapshot.search(queries[0], scope)
        took = _median_ms(partial(index.snapshot.search, scope=scope), queries)
        figures.append(Figure(f"BM25 of {share:.0%} of {VECTORS:,}", took, "ms", "at most", 10, "four words"))
    return figures


def _classes() -> list[Figure]:
    """Which of 1,000 classes a caller may read."""
    policies, index = compile_policies(starter_policies()), Declared("handbook", Classification.INTERNAL)
    labels = [Label(Classification(n % 4), frozenset({f"project-{n}"})) for n in range(1_000)]
    classes = AccessClasses([document_target(index, f"d{n}", "", Access(label)) for n, label in enumerate(labels)])
    who = replace(principal(), groups=frozenset({"index-readers"}), clearance=Classification.CONFIDENTIAL)
    context = Context(0, Binding.DPOP, Binding.DPOP, 0, "127.0.0.1", "s")
    begun = time.perf_counter()
    first = permitted(policies, who, "ReadPassages", classes, context)
    cold = (time.perf_counter() - begun) * 1e3
    warm = _median_ms(lambda _: permitted(policies, who, "ReadPassages", classes, context), range(TIMES)) * 1e3
    remark = f"{len(first)} permitted, starter policies"
    return [
        Figure("1,000 classes decided for the first time", cold, "ms", "at most", 150, remark),
        Figure("the same again", warm, "µs", "at most", 50, remark),
    ]


def _ingestion() -> list[Figure]:
    """Passages a second, from text to what is found."""
    texts = [f"passage {n}: " + "the quick brown fox jumps over the lazy dog and runs away " * 12 for n in range(2_000)]
    embedder = bundled()
    index = Index(embedder.dimensions)
    asyncio.run(embedder.embed(texts[:1]))
    begun = time.perf_counter()
    for begin in range(0, len(texts), 100):
        some = texts[begin : begin + 100]
        rows = np.frombuffer(asyncio.run(embedder.embed(some)), "<f4").reshape(len(some), -1)
        index.put([Entry(f"d{begin + n}", "1", 0, [Passage(text, rows[n])]) for n, text in enumerate(some)])
    took = time.perf_counter() - begun
    return [
        Figure("passages embedded and indexed", len(texts) / took, "a second", "at least", 500, "700 characters each")
    ]


def _median_ms(call: Callable[[Asked], object], each: Iterable[Asked]) -> float:
    took: list[float] = []
    for asked in each:
        begun = time.perf_counter()
        call(asked)
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e3
