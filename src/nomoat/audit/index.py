"""The index, as its readers use it: where records lie, and which ones may match.

Rules: a hint. Every record that a search returns was read from the log, opened and matched there; what the
index does not have yet is read from the log's end; without an index the log itself is searched. An index that
is damaged is as none, until it is made anew.
"""

import heapq
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Final, final

from nomoat.audit.frames import Place, Segments, frames_from
from nomoat.audit.indexing import BLOCK, ERASED, NEWEST_TERMS, TERMS
from nomoat.audit.query import Query
from nomoat.audit.reading import Reader, Search, parse_sealed
from nomoat.audit.segments import Frame, FrameKind
from nomoat.audit.terms import Terms
from nomoat.core.errors import Corrupt, NotFound
from nomoat.core.record import Json
from nomoat.stores.postings import BlockRow, Damaged, Postings

FARTHEST_BEHIND: Final = 8 * BLOCK
"""Records that a search reads at the log's end; with an index that lacks more, the log itself is searched."""
KEPT_BLOCKS: Final = 160
"""Of 80 KiB each, about those of the newest million records that were searched."""


@final
class Index:
    """The index of one log, which another process keeps in `path`; any thread may use it.

    `erased` gives the newest erasure or forgetting: an index that was made before it is as none.
    """

    def __init__(self, path: Path, key: bytes, directory: Path, reader: Reader, erased: Callable[[], int]) -> None:
        self._path = path
        self._key = key
        self._segments = Segments(directory)
        self._reader = reader
        self._erased = erased
        self._terms = Terms(key)
        self._lock = Lock()
        self._open: tuple[int, Postings] | None = None
        self._kept: OrderedDict[tuple[int, int], BlockRow] = OrderedDict()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._open is not None:
                self._open[1].close()
            self._open = None

    @property
    def size(self) -> int:
        """How many records it has; 0 without an index."""
        try:
            return int(self._postings().fact("size") or 0)
        except Damaged:
            return 0

    def place(self, number: int) -> Place | None:
        """Return where a record lies, None if that is not known."""
        try:
            return self._place(self._lines(self._postings(), number // BLOCK), number)
        except Damaged:
            return None

    # -- Searching ------------------------------------------------------------------------------------

    def search(self, query: Query, *, after: int, limit: int, size: int) -> list[dict[str, Json]]:
        """Return what `Reader.search` would, sooner."""
        try:
            postings = self._postings()
            indexed = min(int(postings.fact("size") or 0), size)
            if size - indexed <= FARTHEST_BEHIND:
                return self._search(postings, query, after, limit, (indexed, size))
        except (Damaged, NotFound):
            pass  # it is being made anew; or a log that lacks records, which is for the reader to say
        return self._reader.search(query, after=after, limit=limit, size=size)

    def _search(
        self, postings: Postings, query: Query, after: int, limit: int, sizes: tuple[int, int]
    ) -> list[dict[str, Json]]:
        indexed, size = sizes
        search = self._reader.begin(query, after=after, size=size)
        if query.record is not None:
            return self._one(postings, search, query.record, sizes)
        found = self._behind(search, indexed, size, limit)[::-1]
        ended = self._ended(postings, search, query, after, indexed)
        asked = self._sent(postings, search, query, self._candidates(postings, query, after, indexed))
        candidates = heapq.merge(ended, asked, key=_newest_first)
        number = size
        for block, place in candidates:
            if len(found) >= limit:
                break
            before, number = number, block.id * BLOCK + place
            if number != before and (record := self._look(postings, search, block, number)) is not None:
                found.append(record)
        return found[::-1]

    def _one(self, postings: Postings, search: Search, number: int, sizes: tuple[int, int]) -> list[dict[str, Json]]:
        """The one record that was asked for by number."""
        indexed, size = sizes
        if number >= size:
            return []
        if number >= indexed:
            return self._behind(search, min(number, indexed), size, 1)
        # Its outcome may be younger than the index.
        self._behind(search, indexed, size, 1)
        record = self._look(postings, search, self._lines(postings, number // BLOCK), number)
        return [] if record is None else [record]

    def _look(self, postings: Postings, search: Search, block: BlockRow, number: int) -> dict[str, Json] | None:
        """Read a record from the log; return it if it matches."""
        (frame,) = self._segments.records(number, 1, self._place(block, number))
        distance = block.outcomes[number - block.id * BLOCK]
        outcome = number + distance if distance else postings.outcome(number)
        if outcome is not None and number not in search.outcomes:
            where = self._place(block, outcome) if distance else self.place(outcome)
            (closing,) = self._segments.records(outcome, 1, where)
            search.outcomes[number] = parse_sealed(closing)
        return search.match(number, parse_sealed(frame))

    def _behind(self, search: Search, indexed: int, size: int, limit: int) -> list[dict[str, Json]]:
        """Search the records that the index does not have yet, oldest first."""
        if indexed >= size:
            return []
        frames = self._frames(indexed, size)
        return search.frames(frames, limit)

    def _frames(self, first: int, end: int) -> list[Frame]:
        return self._segments.records(first, end - first, self._after(first - 1))

    def _after(self, number: int) -> Place | None:
        """Where the record lies that is followed by what the index does not have."""
        place = self.place(number) if number >= 0 else None
        if place is None:
            return None
        start = self._segments.of(number)
        for frame in frames_from(start.path, place.offset, 1 << 12):
            if frame.kind == FrameKind.RECORD:
                return Place(place.ordinal, frame.end)
        return None

    def _candidates(self, postings: Postings, query: Query, after: int, indexed: int) -> Iterator[tuple[BlockRow, int]]:
        """Yield the block and place of every record that may match, newest first."""
        for number, places in self._matching(postings, query, after):
            block = self._lines(postings, number)
            times, until = block.times, query.until
            for place in reversed(places):
                if place >= len(times) or not after < number * BLOCK + place < indexed:
                    continue
                # A time is of the second: what lies in the same one is for the record to say.
                if times[place] + 1 >= query.since and (until is None or times[place] <= until):
                    yield block, place

    def _sent(
        self, postings: Postings, search: Search, query: Query, candidates: Iterator[tuple[BlockRow, int]]
    ) -> Iterator[tuple[BlockRow, int]]:
        """Leave out whose outcome has another server than the query says, if it says any; without reading the log."""
        terms = self._terms.sent(query)
        places: dict[tuple[int, int], frozenset[int]] = {}

        def has(outcome: int, term: int) -> bool:
            key = outcome // BLOCK, term
            if key not in places:
                places[key] = frozenset(postings.places(*key))
            return outcome % BLOCK in places[key]

        for block, place in candidates:
            number, distance = block.id * BLOCK + place, block.outcomes[place]
            outcome = number + distance if distance or not terms else postings.outcome(number)
            # What the index does not have yet was read from the log.
            if number in search.outcomes or (outcome is not None and all(has(outcome, term) for term in terms)):
                yield block, place

    def _ended(
        self, postings: Postings, search: Search, query: Query, after: int, indexed: int
    ) -> list[tuple[BlockRow, int]]:
        """The block and place of every record that may match by how it ended, newest first."""
        found = {of for of, outcome in search.outcomes.items() if outcome.fields["decision"] in query.decisions}
        for term in self._terms.ended(query):
            for number, _, latest in postings.blocks():
                if (number + 1) * BLOCK <= after + 1:
                    break
                if latest + 1 < query.since:
                    continue
                block = self._lines(postings, number)
                for place in postings.places(number, term):
                    if place < len(block.offsets):
                        found.add(self._opening(block, number * BLOCK + place))
        numbers = sorted((number for number in found if after < number < indexed), reverse=True)
        return [(self._lines(postings, number // BLOCK), number % BLOCK) for number in numbers]

    def _opening(self, block: BlockRow, number: int) -> int:
        """The number of what an outcome ends."""
        (frame,) = self._segments.records(number, 1, self._place(block, number))
        of = parse_sealed(frame).fields.get("of")
        return of if isinstance(of, int) else -1

    def _matching(self, postings: Postings, query: Query, after: int) -> Iterator[tuple[int, "array[int] | list[int]"]]:
        """Yield the blocks with the places that have all terms, newest first."""
        terms = self._terms.asked(query)
        for number, earliest, latest in postings.blocks():
            if (number + 1) * BLOCK <= after + 1:
                return
            if latest + 1 < query.since or (query.until is not None and earliest > query.until):
                continue
            columns = sorted((postings.places(number, term) for term in terms), key=len)
            if not columns[0]:
                continue
            if len(columns) == 1:
                yield number, columns[0]
                continue
            shared = set(columns[0]).intersection(*columns[1:])
            if shared:
                yield number, sorted(shared)

    def _lines(self, postings: Postings, number: int) -> BlockRow:
        """Where the records of a block lie. A full block never changes, so it is kept for the next search."""
        key = id(postings), number
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        block = postings.block(number)
        if block is None:
            raise Damaged("a block is missing")
        if len(block.offsets) == BLOCK:
            with self._lock:
                self._kept[key] = block
                if len(self._kept) > KEPT_BLOCKS:
                    self._kept.popitem(last=False)
        return block

    # -- The file -------------------------------------------------------------------------------------

    def _place(self, block: BlockRow, number: int) -> Place | None:
        place = number - block.id * BLOCK
        if not 0 <= place < len(block.offsets):
            return None
        try:
            return Place(self._segments.of(number).ordinal, block.offsets[place])
        except (NotFound, Corrupt):
            return None

    def _postings(self) -> Postings:
        """The file as it is now. Raises `Damaged` when there is none, or it knows what was erased since."""
        try:
            inode = self._path.stat().st_ino
        except OSError:
            raise Damaged("there is none") from None
        with self._lock:
            if self._open is None or self._open[0] != inode:
                if self._open is not None:
                    self._open[1].close()
                    self._open = None
                    self._kept.clear()
                self._open = inode, Postings.reader(self._path, self._key)
            postings = self._open[1]
        if postings.fact(ERASED) != str(self._erased()):
            raise Damaged("content was erased since it was made")
        if postings.fact(TERMS) != NEWEST_TERMS:
            raise Damaged("it was made by another version")
        return postings


def _newest_first(candidate: tuple[BlockRow, int]) -> int:
    return -(candidate[0].id * BLOCK + candidate[1])
