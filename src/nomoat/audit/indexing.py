"""Indexing: following the durable log and keeping, beside it, which records have which terms.

Rules: reads the log and never writes to it; takes in only what it was told is durable. The index is made anew
when it is missing, damaged, of another edition or of another history than the log; nothing is ever proven with
it. Whoever runs this holds the keys that open the log's content. Records are taken in blocks; the newest
block is begun again after a restart.
"""

from array import array
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, cast, final

import orjson

from nomoat.audit.entries import Pseudonyms, SubjectKeys, open_box
from nomoat.audit.frames import Place, Segments, SegmentStart, frames_from
from nomoat.audit.reading import NAMELESS
from nomoat.audit.segments import Frame, FrameKind
from nomoat.audit.terms import Terms
from nomoat.audit.tree import leaf_hash
from nomoat.core.errors import Corrupt, NotFound
from nomoat.core.record import Json
from nomoat.stores.postings import BlockRow, Changes, Damaged, KnownRow, Postings

BLOCK: Final = 1 << 13
"""Records of a block; places in one fit two bytes."""
WHO: Final = 1
THING: Final = 2
_CACHED_KEYS: Final = 8192
_CACHED_TERMS: Final = 1 << 16


class _Block:
    """The block that is being filled."""

    def __init__(self, number: int, place: Place) -> None:
        self.number = number
        self.place = place
        self.last = b""
        self.offsets, self.outcomes = array("I"), array("H")
        self.times, self.who, self.thing = array("I"), array("I"), array("I")
        self.postings: dict[int, array[int]] = {}
        self.touched: set[int] = set()

    @property
    def first(self) -> int:
        return self.number * BLOCK

    def row(self) -> BlockRow:
        columns = (self.offsets, self.outcomes, self.times, self.who, self.thing)
        span = min(self.times), max(self.times)
        return BlockRow(self.number, *self.place, self.last, *span, *columns)


@final
class Indexer:
    """Keeps the index of one log's directory in `path`; one process, one thread."""

    def __init__(
        self, directory: Path, path: Path, key: bytes, origin: str, pseudonyms: Pseudonyms, keys: SubjectKeys
    ) -> None:
        self._segments = Segments(directory)
        self._path = path
        self._key = key
        self._origin = origin
        self._nameless = {pseudonyms.subject(kind): kind for kind in NAMELESS}
        self._find_key = lru_cache(maxsize=_CACHED_KEYS)(keys.find)
        self._terms = Terms(key)
        self._like: dict[object, tuple[list[int], int, int]] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._fresh: list[KnownRow] = []
        self._late: list[tuple[int, int]] = []
        self._block: _Block | None = None
        self._at: Place | None = None
        self.size = 0
        self._postings = self._open()

    def close(self) -> None:
        """Close the index."""
        self._postings.close()

    def follow(self, size: int, most: int = 4 * BLOCK) -> bool:
        """Take in durable records below `size`, at most about `most`; return whether there are more.

        Raises `Corrupt` when the log cannot be read, `Unavailable` when the keys cannot, `Damaged` when the
        index cannot be written: then a new `Indexer` is to be made.
        """
        until = min(size, self.size + most)
        while self.size < until:
            begun = self.size
            self._take(until)
            if self.size == begun:
                raise Corrupt("the log (a durable record cannot be found)")
        self._save()
        return self.size < size

    # -- Where it left off ----------------------------------------------------------------------------

    def _open(self) -> Postings:
        """Open the index if it is one of this log, or make a new one."""
        with suppress(Damaged):
            postings = Postings.open(self._path, self._key)
            try:
                self._resume(postings)
            except BaseException:
                postings.close()
                raise
            return postings
        self.size, self._known = 0, {}
        postings = Postings.create(self._path, self._key)
        postings.save(Changes({"origin": self._origin, "size": "0"}, (), (), (), ()))
        return postings

    def _resume(self, postings: Postings) -> None:
        """Go on after the last full block. Raises `Damaged` when it is not an index of this very log."""
        if postings.fact("origin") != self._origin:
            raise Damaged("it is of another log")
        full = 0
        for number in sorted(number for number, _, _ in postings.blocks()):
            block = postings.block(number)
            if block is None or number != full:
                raise Damaged("a block is missing")
            if len(block.offsets) < BLOCK:
                break
            last = number * BLOCK + BLOCK - 1
            try:
                place = Place(self._segments.of(last).ordinal, block.offsets[-1])
                (frame,) = self._segments.records(last, 1, place)
            except NotFound:
                raise Damaged("the log has fewer records than it") from None
            if leaf_hash(frame.entry) != block.last:
                raise Damaged("it is of another history of this log")
            full, self._at = number + 1, Place(place.ordinal, frame.end)
        postings.cut(full, full * BLOCK)
        postings.save(Changes({"size": str(full * BLOCK)}, (), (), (), ()))
        self._known = {(row.kind, row.term): row.id for row in postings.known()}
        self.size = full * BLOCK

    # -- Taking in ------------------------------------------------------------------------------------

    def _take(self, until: int) -> None:
        """Take in records up to number `until` that lie in the segment where the next one is."""
        start = self._start()
        offset = self._at.offset if self._at is not None and self._at.ordinal == start.ordinal else start.offset
        for frame in frames_from(start.path, offset):
            if frame.kind == FrameKind.RECORD:
                self._add(start.ordinal, frame)
                if self.size == until:
                    return

    def _start(self) -> SegmentStart:
        """The segment that the next record is in."""
        try:
            return self._segments.of(self.size)
        except NotFound:
            raise Corrupt("the log (its segments are not there)") from None

    def _add(self, ordinal: int, frame: Frame) -> None:
        fields = cast("dict[str, Json]", orjson.loads(frame.entry))
        number = fields["n"]
        if not isinstance(number, int) or number != self.size:
            if isinstance(number, int) and number < self.size:
                return  # the segment begins before what was taken in already
            raise Corrupt("the log (records are missing)")
        block = self._block
        if block is None:
            block = self._block = _Block(number // BLOCK, Place(ordinal, frame.start))
        place = number - block.first
        block.offsets.append(frame.start)
        block.outcomes.append(0)
        block.times.append(_seconds(str(fields["at"])[:19]))
        of = fields.get("of")
        if isinstance(of, int):
            block.who.append(0)
            block.thing.append(0)
            if of >= block.first:
                block.outcomes[of - block.first] = number - of
            else:
                self._late.append((of, number))
        else:
            self._describe(block, place, number, fields, frame.body)
        self.size += 1
        self._at = Place(ordinal, frame.end)
        if place == BLOCK - 1:
            block.last = leaf_hash(frame.entry)
            self._save()
            self._block = None

    def _describe(self, block: _Block, place: int, number: int, fields: Mapping[str, Json], box: bytes) -> None:
        terms, who, thing = self._words(fields, box)
        block.who.append(self._know(WHO, who, number))
        block.thing.append(self._know(THING, thing, number))
        postings = block.postings
        for term in terms:
            places = postings.get(term)
            if places is None:
                places = postings[term] = array("H")
            places.append(place)
        block.touched.update(terms)

    def _words(self, fields: Mapping[str, Json], box: bytes) -> tuple[list[int], int, int]:
        """The terms of a record, and those of who it was and what it was on. Most are like one before."""
        content = self._content(fields, box)
        likeness: tuple[object, ...] | None = None
        who, on = content.get("who"), content.get("on")
        if "all" not in content and isinstance(who, dict) and isinstance(on, dict):
            likeness = _alike(who, on, fields)
            if (known := self._like.get(likeness)) is not None:
                return known
        terms = self._terms
        found = (
            terms.of(str(fields["what"]), str(fields["decision"]), content),
            terms.who(content),
            terms.thing(content),
        )
        if likeness is not None:
            if len(self._like) >= _CACHED_TERMS:
                self._like.clear()
            self._like[likeness] = found
        return found

    def _content(self, fields: Mapping[str, Json], box: bytes) -> Mapping[str, Json]:
        """What a record says; of one that was erased or does not open, what is left."""
        pseudonym = str(fields["who"])
        if (key := self._find_key(pseudonym)) is not None:
            with suppress(Corrupt):
                content = open_box(self._origin, fields, box, key)
                return content if "who" in content else {**content, "who": self._nobody(pseudonym)}
        return {"who": self._nobody(pseudonym)}

    def _nobody(self, pseudonym: str) -> Json:
        return {"kind": self._nameless.get(pseudonym, "")}

    def _know(self, kind: int, term: int, number: int) -> int:
        if term == 0:
            return 0
        known = self._known.get((kind, term))
        if known is None:
            known = self._known[kind, term] = len(self._known) + 1
            self._fresh.append(KnownRow(known, kind, term, number))
        return known

    def _save(self) -> None:
        block = self._block
        rows = [block.row()] if block is not None else []
        touched = [(block.number, term, block.postings[term]) for term in block.touched] if block is not None else []
        at = self._at or Place(0, 0)
        facts = {"size": str(self.size), "ordinal": str(at.ordinal), "offset": str(at.offset)}
        self._postings.save(Changes(facts, rows, touched, self._late, self._fresh))
        if block is not None:
            block.touched.clear()
        self._late, self._fresh = [], []


def _alike(who: Mapping[str, Json], on: Mapping[str, Json], fields: Mapping[str, Json]) -> tuple[object, ...]:
    """What two records have in common that have the same terms."""
    labels = on.get("labels")
    said = who.get("kind"), who.get("name"), who.get("session"), on.get("name"), on.get("requested")
    return (*said, fields["what"], fields["decision"], *(labels if isinstance(labels, list) else ()))


@lru_cache(maxsize=64)
def _seconds(at: str) -> int:
    """Return the Unix seconds of a time without its fraction; most records come in the same second."""
    return int(datetime.fromisoformat(at + "+00:00").timestamp())
