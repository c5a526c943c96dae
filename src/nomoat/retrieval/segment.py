"""Segments: passages that were put into an index together, with what finds them.

Rules: a segment does not change; one of which documents are gone is another segment over the same arrays. Rows of documents that
cannot be told apart lie together. What follows from a scope is kept beside the segment it follows from, so it is never that of
another state.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, final

import numpy as np
import simsimd
from numpy.typing import NDArray

from nomoat.retrieval.documents import Entry, Held
from nomoat.retrieval.quantised import Floats, Quantised, Sought, normalised, quantised
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.tokens import Vocabulary, words_of

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]

MOST_RUNS: Final = 64  # slabs of one scope that are gone through one by one
KEPT_SCOPES: Final = 64  # of one segment
KEPT_BYTES: Final = 64 << 20  # of rows that are kept together for scopes of one segment
DENSE: Final = 0.5  # share of a segment from which on all of it is gone through


class Postings(NamedTuple):
    """Which rows have which words: those of word `words[i]` are `rows[starts[i]:starts[i+1]]`, as often as `often` says."""

    words: Ints
    starts: Ints
    rows: Ints
    often: Ints


@final
@dataclass(slots=True, eq=False)
class Selection:
    """What a scope permits of a segment. `runs` are ranges of rows, empty where there are too many; `length` in words."""

    mask: Bools
    documents: Bools
    rows: Ints
    runs: tuple[tuple[int, int], ...]
    length: int
    packed: NDArray[np.int8] | None = None

    @property
    def count(self) -> int:
        """How many passages."""
        return len(self.rows)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Passages by row; `document` has the place of each one's document in `entries`, `number` its place there, `lengths` words.

    By document: its number in the index (`ids`), what may be told apart of it (`sorts`), its class now, whether it is still
    there, and whether it has an owner or readers (`pairs`, codes of `PAIRS`). `keyed` counts the tables of classes up to the one
    that rows were ordered by.
    """

    entries: tuple[Held, ...]
    ids: Ints
    sorts: Ints
    classes: Ints
    alive: Bools
    pairs: NDArray[np.int8]
    document: Ints
    number: Ints
    lengths: Ints
    vectors: Floats
    form: Quantised
    postings: Postings
    owners: Mapping[str, Ints]
    readers: Mapping[str, Ints]
    keyed: int
    kept: OrderedDict[int, tuple[Scope, Selection]] = field(
        default_factory=OrderedDict[int, tuple[Scope, Selection]], repr=False
    )
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def without(self, gone: Sequence[int]) -> "Segment":
        """The same, and of some documents nothing."""
        alive = self.alive.copy()
        alive[list(gone)] = False
        return self.changed(alive=alive)

    def changed(
        self,
        *,
        ids: Ints | None = None,
        sorts: Ints | None = None,
        classes: Ints | None = None,
        alive: Bools | None = None,
        keyed: int | None = None,
    ) -> "Segment":
        """The same passages, of which something else is known; rows of a class need not lie together any more."""
        return replace(
            self,
            ids=self.ids if ids is None else ids,
            sorts=self.sorts if sorts is None else sorts,
            classes=self.classes if classes is None else classes,
            alive=self.alive if alive is None else alive,
            keyed=self.keyed if keyed is None else keyed,
            kept=OrderedDict(),
            lock=threading.Lock(),
        )

    def select(self, scope: Scope) -> Selection:
        """What a scope permits; kept for when it is asked for again."""
        with self.lock:
            known = self.kept.get(id(scope))
            if known is not None:
                self.kept.move_to_end(id(scope))
                return known[1]
        made = self._selection(scope)
        with self.lock:
            self.kept[id(scope)] = scope, made
            # Each takes some six bytes a passage.
            most = max(2, min(KEPT_SCOPES, KEPT_BYTES // (6 * len(self.document) + 1)))
            while len(self.kept) > most:
                self.kept.popitem(last=False)
        return made

    def _selection(self, scope: Scope) -> Selection:
        code = np.zeros(len(self.entries), np.int8)
        if (owned := self.owners.get(scope.subject)) is not None:
            code[owned] |= 1
        for subject in scope.subjects:
            if (shared := self.readers.get(subject)) is not None:
                code[shared] |= 2
        most = int(self.classes.max(initial=-1)) + 1
        allowed = np.zeros((most, len(PAIRS)), np.bool_)
        for number, pairs in scope.permitted.items():
            if number < most:
                allowed[number] = [pair in pairs for pair in PAIRS]
        documents = allowed[self.classes, code] & self.alive if most else self.alive
        mask = documents[self.document]
        rows = np.flatnonzero(mask).astype(np.int32)
        return Selection(mask, documents, rows, _runs(rows), int(self.lengths[rows].sum()))

    def products(self, query: Sought, selected: Selection) -> NDArray[np.float32]:
        """The approximate products of the rows that were selected, in their order and in units of the query's `scale`."""
        if not selected.count:
            return np.zeros(0, np.float32)
        rows, scale = self.form.rows, self.form.scale
        if selected.runs:
            slabs = [_dot(query.rows, rows[begin:end]) for begin, end in selected.runs]
            found = np.concatenate(slabs) if len(slabs) > 1 else slabs[0]
        elif (packed := selected.packed) is not None:  # read once: other searches let go of it
            found = _dot(query.rows, packed)
        elif selected.count > DENSE * len(rows) or selected.count * rows.shape[1] > KEPT_BYTES:
            found = _dot(query.rows, rows)[selected.rows]
        else:
            packed = selected.packed = rows[selected.rows]
            self._bound_kept()
            found = _dot(query.rows, packed)
        found *= scale if selected.count == len(rows) else scale[selected.rows]
        return found

    def _bound_kept(self) -> None:
        """Let go of the rows that were kept together longest ago, where they are too many."""
        with self.lock:
            size = 0
            for _, selection in reversed(self.kept.values()):
                size += selection.packed.nbytes if selection.packed is not None else 0
                if size > KEPT_BYTES:
                    selection.packed = None

    def with_word(self, word: int) -> tuple[Ints, Ints]:
        """The rows that have a word, and how often."""
        at = int(np.searchsorted(self.postings.words, word))
        if at == len(self.postings.words) or self.postings.words[at] != word:
            return _NONE, _NONE
        begin, end = self.postings.starts[at : at + 2]
        return self.postings.rows[begin:end], self.postings.often[begin:end]


_NONE: Final = np.zeros(0, np.int32)


class Made(NamedTuple):
    """A segment that is in no index yet, and what may be told apart of each of its documents."""

    segment: Segment
    accesses: tuple[Hashable, ...]


def segment_of(entries: Sequence[Entry], vocabulary: Vocabulary, dimensions: int) -> Made:
    """A segment of documents; words that are new join the vocabulary. Raises `ValueError` for vectors of another length."""
    first: dict[Hashable, int] = {}
    for entry in entries:
        first.setdefault(entry.access, len(first))
    ordered = sorted(entries, key=lambda entry: first[entry.access])
    count = sum(len(entry.passages) for entry in ordered)
    document: list[int] = []
    number: list[int] = []
    texts: list[str] = []
    rows = np.zeros((count, dimensions), np.float32)
    for place, entry in enumerate(ordered):
        document += [place] * len(entry.passages)
        number += range(len(entry.passages))
        for passage in entry.passages:
            if passage.vector.shape != (dimensions,):
                raise ValueError(f"a vector of {entry.name} has not {dimensions} dimensions")
            rows[len(texts)] = passage.vector
            texts.append(passage.text)
    unit = normalised(rows) if dimensions else rows
    lengths, postings = _postings(texts, vocabulary)
    none = np.zeros(len(ordered), np.int32)
    segment = Segment(
        entries=tuple([_held(entry) for entry in ordered]),
        ids=none,
        sorts=none,
        classes=none,
        alive=np.ones(len(ordered), np.bool_),
        pairs=np.array([bool(entry.owner) | bool(entry.readers) << 1 for entry in ordered], np.int8),
        document=np.array(document, np.int32),
        number=np.array(number, np.int32),
        lengths=lengths,
        vectors=unit,
        form=quantised(unit),
        postings=postings,
        owners=_places([[entry.owner] if entry.owner else [] for entry in ordered]),
        readers=_places([entry.readers for entry in ordered]),
        keyed=0,
    )
    return Made(segment, tuple([entry.access for entry in ordered]))


def _held(entry: Entry) -> Held:
    return Held(entry.name, entry.version, entry.attributes, tuple([passage.text for passage in entry.passages]))


def _places(subjects: Sequence[Sequence[str] | frozenset[str]]) -> Mapping[str, Ints]:
    found: dict[str, list[int]] = {}
    for place, named in enumerate(subjects):
        for subject in named:
            found.setdefault(subject, []).append(place)
    return {subject: np.array(places, np.int32) for subject, places in found.items()}


def _postings(texts: Sequence[str], vocabulary: Vocabulary) -> tuple[Ints, Postings]:
    words: list[int] = []
    rows: list[int] = []
    often: list[int] = []
    lengths: list[int] = []
    for row, text in enumerate(texts):
        said = words_of(text)
        lengths.append(len(said))
        counted = Counter(said)
        words += vocabulary.numbers(counted)
        often += counted.values()
        rows += [row] * len(counted)
    order = np.lexsort((np.array(rows, np.int32), np.array(words, np.int32))) if words else np.zeros(0, np.int64)
    by_word = np.array(words, np.int32)[order]
    distinct, starts = np.unique(by_word, return_index=True)
    ends = np.append(starts, len(by_word)).astype(np.int32)
    return np.array(lengths, np.int32), Postings(
        distinct.astype(np.int32), ends, np.array(rows, np.int32)[order], np.array(often, np.int32)[order]
    )


def _runs(rows: Ints) -> tuple[tuple[int, int], ...]:
    """The ranges that rows make up; none where those are too many."""
    if not len(rows):
        return ()
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    if len(breaks) >= MOST_RUNS:
        return ()
    begins, ends = [0, *breaks], [*breaks, len(rows)]
    return tuple((int(rows[begin]), int(rows[end - 1]) + 1) for begin, end in zip(begins, ends, strict=True))


def _dot(query: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.float32]:
    """Products of whole numbers: exact in 32-bit floats up to 1,040 dimensions, and summed in integers before that."""
    found: NDArray[np.float32] = np.asarray(simsimd.cdist(query, rows, "dot", out_dtype="float32"))[0]
    return found
