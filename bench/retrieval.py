"""Searching what a caller may read, beside other ways (`bench/vectors.py`); by words; what deciding and putting in takes."""

import asyncio
import statistics
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TypeVar, cast

import numpy as np

from bench import vectors
from bench.decision import principal
from bench.measure import Figure
from bench.vectors import VECTORS, scope_of
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
from nomoat.retrieval.snapshot import Query, Snapshot
from nomoat.stores.embedders import bundled

Asked = TypeVar("Asked")

DIMENSIONS = 256
CLASSES = 200
WORDS = 5_000
LENGTH = 20
TIMES = 30
TOP = 10


def measure() -> list[Figure]:
    """Milliseconds of wall time on one core, and ratios."""
    chance = np.random.default_rng(1)
    return [*vectors.measure(), *_by_words(chance), *_classes(), *_ingestion(), *_holds(chance)]


def _by_words(chance: np.random.Generator) -> list[Figure]:
    ranks = chance.zipf(1.3, VECTORS * LENGTH) % WORDS
    words = [f"w{each}" for each in ranks]
    texts = [" ".join(words[begin:end]) for begin, end in pairwise(range(0, VECTORS * LENGTH + 1, LENGTH))]
    none = np.zeros(0, np.float32)
    index = Index(0)
    index.put([Entry(f"d{n:07d}", "1", n % CLASSES, [Passage(text, none)]) for n, text in enumerate(texts)])
    figures: list[Figure] = []
    for share in (0.01, 0.1, 0.5, 1.0):
        scope = scope_of(index.snapshot, int(share * CLASSES))
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
    more = AccessClasses([*classes.targets, document_target(index, "d", "", Access(Label(Classification.PUBLIC)))])
    begun = time.perf_counter()
    permitted(policies, who, "ReadPassages", more, context)
    added = (time.perf_counter() - begun) * 1e3
    return [
        Figure("one class more ÷ all of them for the first time", added / cold, "×", "at most", 0.1, f"{added:.1f} ms"),
        Figure("1,000 classes decided for the first time", cold, "ms", "at most", 150, remark),
        Figure("the same again", warm, "µs", "at most", 50, remark),
    ]


def _ingestion() -> list[Figure]:
    """Passages a second, from text to what is found."""
    texts = [f"passage {n}: " + "the quick brown fox jumps over the lazy dog and runs away " * 12 for n in range(2_000)]
    embedder, index = bundled(), Index(DIMENSIONS)
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


def _holds(chance: np.random.Generator) -> list[Figure]:
    """How long whoever changes an index holds the event loop, in CPU time of its thread; compactions are run beside it."""
    of, rows = chance.integers(0, WORDS, (VECTORS, LENGTH)), chance.standard_normal((VECTORS, DIMENSIONS))
    entries = [
        Entry(f"d{n:07d}", "1", n % CLASSES, [Passage(" ".join(map(str, of[n])), row)])
        for n, row in enumerate(rows.astype(np.float32))
    ]
    index, writes, swaps, beside = Index(DIMENSIONS), list[float](), list[float](), list[float]()

    def timed(took: list[float], call: Callable[[], object]) -> None:
        begun = time.thread_time()
        call()
        took.append((time.thread_time() - begun) * 1e3)

    def change(call: Callable[[], None]) -> None:
        timed(writes, partial(_changed, index, call))
        while (compaction := index.begin()) is not None:
            begun = time.thread_time()
            made = compaction.run()
            beside.append((time.thread_time() - begun) * 1e3)
            timed(swaps, partial(_changed, index, partial(index.finish, compaction, made)))

    opened = list[float]()
    timed(opened, partial(index.load, entries))
    for entry in entries[: VECTORS // 20]:
        change(partial(index.put, [entry]))
    for begin in range(0, VECTORS // 2, 20):
        change(partial(index.remove, [entry.name for entry in entries[begin : begin + 20]]))
    put = max(writes)
    change(partial(index.rekey, _halved))
    anew = max(beside)
    remark = f"{len(writes):,} writes into {VECTORS:,}; opening it takes {opened[0]:,.0f} ms beside the loop, in steps"
    return [
        Figure("the longest hold of the loop by a write", put, "ms", "at most", 10, remark),
        Figure("the same by other policies", writes[-1], "ms", "at most", 10, f"{CLASSES} classes become half as many"),
        Figure(
            "the same by what was compacted", max(swaps), "ms", "at most", 10, f"which took {anew:,.0f} ms beside it"
        ),
        Figure("the longest hold ÷ making the largest segment anew", max(put, *swaps) / anew, "×", "at most", 0.1),
    ]


def _changed(index: Index, call: Callable[[], None]) -> Snapshot:
    call()
    return index.snapshot


def _halved(access: Hashable) -> Hashable:
    return int(cast("int", access)) // 2


def _median_ms(call: Callable[[Asked], object], each: Iterable[Asked]) -> float:
    took: list[float] = []
    for asked in each:
        begun = time.perf_counter()
        call(asked)
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e3
