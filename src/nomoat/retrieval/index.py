"""An index that changes: each change makes another snapshot.

Rules: a change takes time in proportion to what is changed. Small segments are made into larger ones as they come, each some times as
large as the next, so that what is put is moved a few times only; where much of a segment is gone, or its classes are others,
it is made anew. What is small is done at once; the rest is a `Compaction`, done in any thread and then put in the place
of what it was made of, less what is gone meanwhile. None of this is to be seen in an answer.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nomoat.retrieval.documents import Entry
from nomoat.retrieval.merging import merged
from nomoat.retrieval.places import Places
from nomoat.retrieval.scopes import PAIRS, Pair
from nomoat.retrieval.segment import Made, Segment, segment_of
from nomoat.retrieval.snapshot import Snapshot
from nomoat.retrieval.tokens import Vocabulary

Keying: TypeAlias = Callable[[Hashable], Hashable]
"""From what may be told apart of a document to its class."""

RATIO: Final = 4  # a segment is that many times as large as the next one, or they are made into one
LIVING: Final = 0.75  # the share of a segment below which it is made anew
AT_ONCE: Final = 2048
LOADED: Final = 512  # documents that are taken in together


def _as_it_is(access: Hashable) -> Hashable:
    return access


@final
@dataclass(frozen=True, slots=True, eq=False)
class Compaction:
    """Segments that are to be one, as they are now."""

    parts: Mapping[int, Segment]
    keyed: int

    def run(self) -> Segment:
        """Make that one; in any thread."""
        return merged(list(self.parts.values()), self.keyed)


@final
class Index:
    """Documents by name. Changed in one thread; its snapshots may be searched in any.

    `at_once` is how many documents and passages are made into one segment by who changes it.
    """

    def __init__(self, dimensions: int, at_once: int = AT_ONCE) -> None:
        self._dimensions = dimensions
        self._at_once = at_once
        self._vocabulary = Vocabulary()
        self._segments: dict[int, Segment] = {}  # the largest first
        self._made = 0
        self._places = Places()
        self._compacting: frozenset[int] = frozenset()
        self._keying: Keying = _as_it_is
        self._named: Mapping[str, Keying] = {}
        self._keyed = 0
        self._sorts: dict[Hashable, int] = {}
        self._class_of_sort: list[int] = []
        self._classes: dict[Hashable, int] = {}
        self._counts: Counter[tuple[int, int]] = Counter()  # living documents by class and code of their pair
        self._sort: tuple[tuple[Hashable, ...], tuple[frozenset[Pair], ...]] | None = None
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        """What is in it now."""
        if self._snapshot is None:
            if self._sort is None:
                self._sort = tuple(self._classes), self._variants()
            self._snapshot = Snapshot(*self._sort, tuple(self._segments.values()), self._vocabulary)
        return self._snapshot

    def make(self, entries: Sequence[Entry]) -> Made:
        """What documents are in an index, for `put`; in any thread. Raises `ValueError`."""
        newest = {entry.name: entry for entry in entries}
        return segment_of(list(newest.values()), self._vocabulary, self._dimensions)

    def put(self, documents: Sequence[Entry] | Made) -> None:
        """Take in documents in the place of those with their names. Raises `ValueError`, and then takes in none."""
        made = documents if isinstance(documents, Made) else self.make(documents)
        if not made.accesses:
            return
        segment, names = made.segment, [entry.name for entry in made.segment.entries]
        self._take_out(names)
        self._made += 1
        sorts = [self._sort_of(access) for access in made.accesses]
        classes = [
            self._class_of(self._named[name](access)) if name in self._named else self._class_of_sort[sort]
            for name, access, sort in zip(names, made.accesses, sorts, strict=True)
        ]
        self._segments[self._made] = segment.changed(
            ids=self._places.add(names, self._made),
            sorts=np.array(sorts, np.int32),
            classes=np.array(classes, np.int32),
            keyed=self._keyed,
        )
        self._count(zip(classes, segment.pairs.tolist(), strict=True), 1)
        self._settle()

    def load(self, entries: Iterable[Entry]) -> None:
        """Take in a great many documents; in the thread that changes it."""
        some: list[Entry] = []
        for entry in entries:
            some.append(entry)
            if len(some) == LOADED:
                self.put(some)
                some = []
        self.put(some)
        while (compaction := self.begin()) is not None:
            self.finish(compaction, compaction.run())

    def remove(self, names: Iterable[str]) -> None:
        """Let go of documents; of those that are not there, nothing is said."""
        self._take_out(names)
        self._settle()

    def rekey(self, keying: Keying, named: Mapping[str, Keying] | None = None) -> None:
        """Give every document another class: policies in force read something else of them. Some are `named` one by one."""
        self._keying, self._named = keying, named or {}
        self._keyed += 1
        self._classes = {}
        self._class_of_sort = [self._class_of(keying(access)) for access in self._sorts]
        self._counts.clear()
        for number, segment in self._segments.items():
            rekeyed = self._rekeyed(number, segment)
            self._segments[number] = rekeyed
            living = rekeyed.classes[rekeyed.alive].astype(np.int64) * len(PAIRS) + rekeyed.pairs[rekeyed.alive]
            found, often = np.unique(living, return_counts=True)
            for code, count in zip(found.tolist(), often.tolist(), strict=True):
                self._counts[divmod(code, len(PAIRS))] += count
        self._sort = self._snapshot = None

    # -- Compaction ----------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether something is to be made into one."""
        return not self._compacting and bool(self._cascade() or self._worn())

    def begin(self) -> Compaction | None:
        """What is to be made into one next; None where nothing is, or something is being made."""
        if self._compacting:
            return None
        chosen = self._cascade() or self._worn()
        if not chosen:
            return None
        self._compacting = frozenset(chosen)
        return Compaction({number: self._segments[number] for number in chosen}, self._keyed)

    def finish(self, compaction: Compaction, made: Segment) -> None:
        """Put what was made in the place of what it was made of."""
        self._replace(compaction, made)
        self._compacting = frozenset()
        self._settle()

    def abandon(self, compaction: Compaction) -> None:
        """Leave it as it was: nothing was made."""
        del compaction
        self._compacting = frozenset()

    def _replace(self, compaction: Compaction, made: Segment) -> None:
        self._made += 1
        still = self._places.move(made.ids, compaction.parts, self._made)
        for number in compaction.parts:
            self._segments.pop(number, None)
        if still.any():
            segment = made if still.all() else made.changed(alive=still)
            self._segments[self._made] = (
                segment if compaction.keyed == self._keyed else self._rekeyed(self._made, segment)
            )
        self._order()

    def _cascade(self, most: float = math.inf) -> list[int]:
        """The smallest segments that are to be one, which have `most` documents and passages together."""
        chosen: list[int] = []
        size = 0
        for number, segment in reversed(self._segments.items()):
            if number in self._compacting:
                continue
            if chosen and _size(segment) >= RATIO * size:
                if len(chosen) > 1:
                    break
                chosen, size = [], 0  # that one is small enough
            if size + _size(segment) > most:
                break
            chosen.append(number)
            size += _size(segment)
        return chosen if len(chosen) > 1 else []

    def _worn(self, most: float = math.inf) -> list[int]:
        """A segment of which much is gone; or, among large ones, whose rows are in another order than its classes."""
        for number, segment in self._segments.items():
            if number in self._compacting or _size(segment) > most:
                continue
            if _living(segment) < LIVING * len(segment.alive) or (math.isinf(most) and segment.keyed != self._keyed):
                return [number]
        return []

    def _settle(self) -> None:
        """Do at once what is small."""
        for number in [number for number, segment in self._segments.items() if not _living(segment)]:
            if number not in self._compacting:
                del self._segments[number]
        self._order()
        while chosen := self._cascade(self._at_once) or self._worn(self._at_once):
            small = Compaction({number: self._segments[number] for number in chosen}, self._keyed)
            self._replace(small, small.run())

    def _order(self) -> None:
        self._segments = dict(sorted(self._segments.items(), key=_size_of_item, reverse=True))
        self._snapshot = None

    # -- Documents -----------------------------------------------------------------------------------

    def _take_out(self, names: Iterable[str]) -> None:
        for number, places in self._places.take_out(names).items():
            segment = self._segments[number]
            gone = zip(segment.classes[places].tolist(), segment.pairs[places].tolist(), strict=True)
            self._count(gone, -1)
            self._segments[number] = segment.without(places)

    def _count(self, documents: Iterable[tuple[int, int]], by: int) -> None:
        for document in documents:
            was = self._counts[document]
            self._counts[document] = was + by
            if not was or not was + by:
                self._sort = None

    def _variants(self) -> tuple[frozenset[Pair], ...]:
        """Of each class, which documents there are."""
        found: list[set[Pair]] = [set() for _ in self._classes]
        for (number, pair), count in self._counts.items():
            if count:
                found[number].add(PAIRS[pair])
        return tuple(frozenset(each) for each in found)

    def _sort_of(self, access: Hashable) -> int:
        if access not in self._sorts:
            self._class_of_sort.append(self._class_of(self._keying(access)))
            self._sorts[access] = len(self._sorts)
        return self._sorts[access]

    def _class_of(self, access: Hashable) -> int:
        if access not in self._classes:
            self._classes[access] = len(self._classes)
            self._sort = None
        return self._classes[access]

    def _rekeyed(self, number: int, segment: Segment) -> Segment:
        """A segment with the classes that its documents have now."""
        classes: NDArray[np.int32] = np.array(self._class_of_sort, np.int32)[segment.sorts]
        accesses = list(self._sorts) if self._named else []
        for name, keying in self._named.items():
            place = self._places.find(name)
            if place is not None and place[0] == number:
                access = accesses[int(segment.sorts[place[1]])]
                classes[place[1]] = self._class_of(keying(access))
        return segment.changed(classes=classes)


def _size(segment: Segment) -> int:
    return len(segment.entries) + len(segment.document)


def _size_of_item(item: tuple[int, Segment]) -> int:
    return _size(item[1])


def _living(segment: Segment) -> int:
    return int(np.count_nonzero(segment.alive))
