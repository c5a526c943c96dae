"""What a caller may not have does not exist for them: every answer is that of an index without it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nomoat.retrieval import segment as segments
from nomoat.retrieval.documents import Entry, Passage
from nomoat.retrieval.index import RATIO, Compaction, Index
from nomoat.retrieval.quantised import sought
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.snapshot import Query
from tests.retrieval.world import (
    CLASSES,
    DIMENSIONS,
    NAMES,
    Caller,
    answers,
    callers,
    entries,
    index_of,
    queries,
    relabelled,
)

AT_ONCE = 6  # so that most merging is left to compactions
EVERYTHING = Caller("person:ann", frozenset(), dict.fromkeys(CLASSES, frozenset(PAIRS)))


class Indexing(RuleBasedStateMachine):
    """An index through all that may happen to it, beside a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.index = Index(DIMENSIONS, AT_ONCE)
        self.documents: dict[str, Entry] = {}
        self.compaction: Compaction | None = None
        self.to = {name: name for name in CLASSES}
        self.apart: dict[str, str] = {}

    @rule(put=st.lists(entries(), min_size=1, max_size=4, unique_by=lambda entry: entry.name))
    def put(self, put: list[Entry]) -> None:
        self.index.put(put)
        self.documents |= {entry.name: entry for entry in put}

    @rule(names=st.sets(st.sampled_from(NAMES), max_size=3))
    def remove(self, names: set[str]) -> None:
        self.index.remove(names)
        for name in names:
            self.documents.pop(name, None)

    @rule(name=st.sampled_from(NAMES), access=st.sampled_from(CLASSES))
    def relabel(self, name: str, access: str) -> None:
        if name in self.documents:
            self.documents[name] = relabelled(self.documents[name], access)
            self.index.put([self.documents[name]])

    @rule(
        to=st.fixed_dictionaries({name: st.sampled_from(CLASSES) for name in CLASSES}),
        apart=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(CLASSES), max_size=2),
    )
    def rekey(self, to: dict[str, str], apart: dict[str, str]) -> None:
        """Policies in force read something else; some name a document."""
        self.to, self.apart = to, apart
        named = {name: (lambda _, access=access: access) for name, access in apart.items()}
        self.index.rekey(lambda access: to[str(access)], named)

    @rule()
    @precondition(lambda self: self.compaction is None)
    def begin_compaction(self) -> None:
        self.compaction = self.index.begin()

    @rule()
    @precondition(lambda self: self.compaction is not None)
    def finish_compaction(self) -> None:
        """What happened since it began is not lost, and in force before this, too."""
        assert self.compaction is not None
        self.index.finish(self.compaction, self.compaction.run())
        self.compaction = None

    @rule()
    @precondition(lambda self: self.compaction is not None)
    def abandon_compaction(self) -> None:
        assert self.compaction is not None
        self.index.abandon(self.compaction)
        self.compaction = None

    def classed(self) -> list[Entry]:
        """The documents, by the classes that they have now."""
        return [
            relabelled(entry, self.apart.get(name, self.to[str(entry.access)]))
            for name, entry in self.documents.items()
        ]

    @rule(caller=callers, asked=st.lists(queries, min_size=1, max_size=3))
    def ask(self, caller: Caller, asked: list[Query]) -> None:
        permitted = index_of(entry for entry in self.classed() if caller.may(entry))
        assert answers(self.index.snapshot, caller, asked) == answers(permitted.snapshot, EVERYTHING, asked)

    @invariant()
    def everything_is_there(self) -> None:
        assert self.index.snapshot.names(EVERYTHING.scope(self.index.snapshot)) == sorted(self.documents)


TestIndexing = Indexing.TestCase
TestIndexing.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 20))
def test_the_best_by_vector_are_those_of_a_search_through_all(seed: int, count: int, most: int) -> None:
    chance = np.random.default_rng(seed)
    rows = chance.standard_normal((count, 32)).astype(np.float32)
    rows[chance.integers(0, count, count // 3)] = rows[0]  # equal ones
    index = index_of([Entry(f"d{number:03d}", "1", "open", [Passage("x", row)]) for number, row in enumerate(rows)], 32)
    query = chance.standard_normal(32).astype(np.float32)
    found = index.snapshot.search(Query("x", query, most, "vector"), EVERYTHING.scope(index.snapshot))
    wide = rows.astype(np.float64)
    exact = (wide @ query.astype(np.float64)) / np.linalg.norm(wide, axis=1) / np.linalg.norm(query.astype(np.float64))
    assert np.allclose([hit.score for hit in found], np.sort(exact)[::-1][:most], atol=1e-6)
    assert [(-hit.score, hit.name) for hit in found] == sorted((-hit.score, hit.name) for hit in found)


def test_what_changes_while_a_large_index_is_compacted_is_in_force_before_and_after() -> None:
    index = Index(DIMENSIONS, 0)
    for number in range(40):
        index.put(notes(40, "open", f"plan {number}")[number : number + 1])
    compaction = index.begin()
    assert compaction is not None
    made = compaction.run()
    index.put([relabelled(each, "secret") for each in notes(1, "open", "raised plan")])
    index.remove(["open-1"])
    index.put([Entry("open-2", "2", "open", [Passage("rewritten", np.ones(DIMENSIONS, np.float32))])])

    def told() -> tuple[object, ...]:
        return answers(index.snapshot, READER, [Query("plan", None, 50), Query("raised"), Query("rewritten")])

    before = told()
    index.finish(compaction, made)
    assert told() == before
    names = before[0]
    assert names == sorted(f"open-{number}" for number in range(2, 40))
    assert index.snapshot.search(Query("1"), READER.scope(index.snapshot)) == []


def test_a_change_moves_only_what_is_small() -> None:
    """What is large is left for a compaction: whoever changes an index does not wait for it."""
    index = Index(DIMENSIONS)
    index.load(notes(5_000, "open"))
    large = index.snapshot.segments[0]
    for number in range(500):
        index.put(notes(501, "secret", "other")[number : number + 1])
        index.remove([f"open-{number}"])
    assert any(each.vectors is large.vectors for each in index.snapshot.segments), "the large one was not moved"
    index.rekey(lambda _: "all")
    assert any(each.vectors is large.vectors for each in index.snapshot.segments), "nor for other classes"
    while (compaction := index.begin()) is not None:
        index.finish(compaction, compaction.run())
    assert all(each.vectors is not large.vectors for each in index.snapshot.segments)
    assert len(index.snapshot.names(Caller("", frozenset(), {"all": frozenset(PAIRS)}).scope(index.snapshot))) == 5_000


@pytest.mark.parametrize("more", [0, 1, 128, 500])
def test_there_are_few_segments_each_much_larger_than_the_next(more: int) -> None:
    index = Index(0)
    none = np.zeros(0, np.float32)
    index.load(Entry(f"d{number:05d}", "1", "open", [Passage("x", none)]) for number in range(20 * 512 + more))
    assert len(index.snapshot.segments) <= 2
    for number in range(1, 700):
        index.put([Entry(f"n{number}", "1", "open", [Passage("x", none)] * (number % 5))])
        if number % 50 == 0:
            while (compaction := index.begin()) is not None:
                index.finish(compaction, compaction.run())
    sizes = sorted(len(each.entries) + len(each.document) for each in index.snapshot.segments)
    assert all(large >= RATIO * small for small, large in pairwise(sizes[-3:]))
    assert len(sizes) <= 8


def notes(count: int, access: str, text: str = "plan") -> list[Entry]:
    return [
        Entry(f"{access}-{number}", "1", access, [Passage(text, np.ones(DIMENSIONS, np.float32))])
        for number in range(count)
    ]


READER = Caller("person:ann", frozenset(), {"open": frozenset(PAIRS)})


@pytest.mark.parametrize("ranking", ["hybrid", "keyword", "vector"])
@pytest.mark.parametrize("hidden", [0, 1, 5, 50])
def test_attack_scores_tell_how_many_hidden_documents_have_a_word(ranking: str, hidden: int) -> None:
    index = index_of([*notes(1, "open", "plan of work"), *notes(hidden, "secret")])
    query = Query("plan", np.array([1, 0, 0, 0], np.float32), 10, ranking)  # type: ignore[arg-type]
    alone = index_of(notes(1, "open", "plan of work"))
    assert answers(index.snapshot, READER, [query]) == answers(alone.snapshot, READER, [query])


def test_attack_fewer_hits_than_asked_for_tell_that_there_are_hidden_ones() -> None:
    index = index_of([*notes(12, "open"), *notes(500, "secret")])
    found = index.snapshot.search(Query("plan", None, 10), READER.scope(index.snapshot))
    assert len(found) == 10


def test_attack_a_query_like_a_hidden_document_is_answered_as_without_it() -> None:
    near = Entry("secret-0", "1", "secret", [Passage("merger with globex", np.array([1, 2, 3, 4], np.float32))])
    query = Query("merger with globex", np.array([1, 2, 3, 4], np.float32))
    having, alone = index_of([*notes(3, "open"), near]), index_of(notes(3, "open"))
    assert answers(having.snapshot, READER, [query]) == answers(alone.snapshot, READER, [query])


def test_attack_a_filter_of_the_caller_s_permits_nothing() -> None:
    index = index_of([*notes(1, "open"), *notes(1, "secret")])
    wide = {"type": "or", "filters": [{"type": "ne", "key": "a", "value": 1}, {"type": "eq", "key": "a", "value": 1}]}
    found = index.snapshot.search(Query("plan", None, 10, filter=wide), READER.scope(index.snapshot))
    assert [hit.name for hit in found] == ["open-0"]


def test_a_snapshot_stays_as_it_was() -> None:
    index = index_of(notes(3, "open"))
    before = index.snapshot
    told = answers(before, READER, [Query("plan")])
    index.remove(["open-1"])
    index.put(notes(5, "open", "other plan"))
    assert answers(before, READER, [Query("plan")]) == told


@pytest.mark.parametrize("vector", [[np.nan, 0, 0, 0], [np.inf, 0, 0, 0], [1, 2, 3]])
def test_a_vector_that_is_none_is_refused_and_changes_nothing(vector: list[float]) -> None:
    index = index_of(notes(1, "open"))
    with pytest.raises(ValueError, match=r"number|dimensions"):
        index.put([Entry("open-0", "2", "open", [Passage("x", np.array(vector, np.float32))])])
    assert index.snapshot.names(READER.scope(index.snapshot)) == ["open-0"]


def test_words_without_number_and_texts_without_words_end() -> None:
    index = index_of([Entry("empty", "1", "open", [Passage("", np.zeros(DIMENSIONS, np.float32))])])
    scope = READER.scope(index.snapshot)
    long = " ".join(f"w{number}" for number in range(100_000))
    assert index.snapshot.search(Query(long), scope) == []
    (found,) = index.snapshot.search(Query("x", np.zeros(DIMENSIONS, np.float32), 10, "vector"), scope)
    assert found.score == 0.0


def test_attack_somebody_else_s_large_search_takes_what_was_kept_for_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two searches at once, whose rows together are more than are kept: neither of them fails."""
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((300, 8)).astype(np.float32)
    index = Index(8)
    index.put([Entry(f"d{n:03d}", "v", n, [Passage("word", row)]) for n, row in enumerate(vectors)])
    (segment,) = index.snapshot.segments
    monkeypatch.setattr(segments, "KEPT_BYTES", 8 * 120)
    mine, others = (
        Scope("", frozenset(), {number: frozenset(PAIRS) for number in range(first, 200, 2)}) for first in (0, 1)
    )
    query = sought(vectors[0])
    selected, theirs = segment.select(mine), segment.select(others)
    expected = segment.products(query, segment.select(mine))
    selected.packed = None
    segment.select(others)
    segment.products(query, theirs)
    assert segment.products(query, selected).tolist() == expected.tolist()
