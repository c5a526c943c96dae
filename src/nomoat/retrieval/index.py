"""An index that changes: each change makes another snapshot.

Rules: small segments are made into larger ones as they come, each some times as large as the next, so that what is put is
moved a few times only; where much of a segment is gone, it is made anew. None of this is to be seen in an answer.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Final, final

import numpy as np

from nomoat.retrieval.documents import Entry
from nomoat.retrieval.segment import Segment, segment_of
from nomoat.retrieval.snapshot import Snapshot, variants_of

RATIO: Final = 4  # a segment is that many times as large as the next one, or they are made into one
LIVING: Final = 0.75  # the share of a segment below which it is made anew


@final
class Index:
    """Documents by name. Changed in one thread; its snapshots may be searched in any."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._vocabulary: dict[str, int] = {}
        self._classes: dict[Hashable, int] = {}
        self._segments: list[Segment] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        """What is in it now."""
        if self._snapshot is None:
            segments = tuple(self._segments)
            variants = variants_of(segments, len(self._classes))
            self._snapshot = Snapshot(tuple(self._classes), variants, segments, self._vocabulary)
        return self._snapshot

    def put(self, entries: Sequence[Entry]) -> None:
        """Take in documents in the place of those with their names. Raises `ValueError`, and then takes in none."""
        if not entries:
            return
        for entry in entries:
            self._classes.setdefault(entry.access, len(self._classes))
        made = segment_of(entries, self._classes, self._vocabulary, self._dimensions)
        self._take_out(entry.name for entry in entries)
        self._segments.append(made)
        self._settle()

    def remove(self, names: Iterable[str]) -> None:
        """Let go of documents; of those that are not there, nothing is said."""
        self._take_out(names)
        self._settle()

    def rekey(self, access: Callable[[str], Hashable]) -> None:
        """Give every document another access class, by name: policies in force read something else of them."""
        self._classes = {}
        living = [replace(entry, access=access(entry.name)) for entry in self._living()]
        for entry in living:
            self._classes.setdefault(entry.access, len(self._classes))
        made = segment_of(living, self._classes, self._vocabulary, self._dimensions) if living else None
        self._segments = [made] if made is not None else []
        self._settle()

    def _take_out(self, names: Iterable[str]) -> None:
        gone: dict[int, list[int]] = {}
        for name in names:
            place = self._places.pop(name, None)
            if place is not None:
                gone.setdefault(place[0], []).append(place[1])
        for number, places in gone.items():
            self._segments[number] = self._segments[number].without(places)

    def _living(self) -> list[Entry]:
        return [entry for segment in self._segments for entry in _living(segment)]

    def _settle(self) -> None:
        """Make segments larger where it is time to, and know where each document is."""
        settled: list[Segment] = []
        for segment in self._segments:
            current = segment
            while settled and len(settled[-1].document) < RATIO * len(current.document):
                current = self._made([*_living(settled.pop()), *_living(current)])
            if current.alive.mean() < LIVING if len(current.alive) else True:
                current = self._made(_living(current))
            if len(current.alive):
                settled.append(current)
        self._segments = settled
        self._places = {
            segment.entries[place].name: (number, place)
            for number, segment in enumerate(settled)
            for place in np.flatnonzero(segment.alive).tolist()
        }
        self._snapshot = None

    def _made(self, entries: Sequence[Entry]) -> Segment:
        return segment_of(entries, self._classes, self._vocabulary, self._dimensions)


def _living(segment: Segment) -> list[Entry]:
    return [segment.entries[place] for place in np.flatnonzero(segment.alive).tolist()]
