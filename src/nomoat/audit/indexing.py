"""Indexing: following the durable log and keeping, beside it, which records have which terms.

Rules: reads the log and never writes to it; takes in only what it was told is durable. The index is made anew
when it is missing, damaged, of another edition or of another history than the log, or older than the newest
erasure or forgetting: keys and terms in memory go with it. Nothing is ever proven with it. Whoever runs this holds the keys
that open the log's content. Records are taken in blocks; the newest block is begun again after a restart.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, cast, final

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nomoat.audit.checkpoint import VerifierKey
from nomoat.audit.entries import Pseudonyms, SubjectKeys, decrypt_box
from nomoat.audit.forgotten import Forgotten, trusted_forgotten
from nomoat.audit.frames import Place, Segments, SegmentStart, frames_from
from nomoat.audit.query import SENDS, upstream_of
from nomoat.audit.readable import nameless
from nomoat.audit.segments import Frame, FrameKind
from nomoat.audit.terms import Terms
from nomoat.audit.tree import leaf_hash
from nomoat.core.errors import Corrupt, NotFound
from nomoat.core.record import Json
from nomoat.stores.postings import BlockRow, Changes, Damaged, Postings

BLOCK: Final = 1 << 13
"""Records of a block; places in one fit two bytes."""
ERASED: Final = "erased"
"""The fact that says which erasure or forgetting was the newest when the index was begun."""
TERMS: Final = "terms"
"""The fact that says which terms records have in it; an index of an earlier version has fewer."""
NEWEST_TERMS: Final = "3"
_CACHED_KEYS: Final = 8192
_NOBODY: Final[dict[str, Json]] = {}


class _Block:
    """The block that is being filled."""

    def __init__(self, number: int, place: Place) -> None:
        self.number = number
        self.place = place
        self.last = b""
        self.offsets, self.outcomes = array("I"), array("H")
        self.times = array("I")
        self.postings: dict[int, array[int]] = {}
        self.like: dict[object, list[array[int]]] = {}
        self._saved: dict[int, int] = {}

    @property
    def first(self) -> int:
        return self.number * BLOCK

    def columns(self, terms: Iterable[int]) -> "list[array[int]]":
        """Where the places of records with these terms go."""
        return [self.postings.setdefault(term, array("H")) for term in terms]

    def unsaved(self) -> list[tuple[int, int, "array[int]"]]:
        """The postings that grew since they were asked for last."""
        grown = [
            (self.number, term, places)
            for term, places in self.postings.items()
            if len(places) != self._saved.get(term)
        ]
        self._saved.update((term, len(places)) for _, term, places in grown)
        return grown

    def row(self) -> BlockRow:
        span = min(self.times), max(self.times)
        return BlockRow(self.number, *self.place, self.last, *span, self.offsets, self.outcomes, self.times)


@final
class Indexer:
    """Keeps the index of one log's directory in `path`, under `key`; one process, one thread.

    `log` verifies what the log signed, `erased` gives the number of the newest record that erased or forgot content
    (-1: none).
    """

    size: int
    _erased: int
    _forgotten: Forgotten
    _ciphers: dict[str, AESGCM | None]
    _terms: Terms
    _late: list[tuple[int, int]]
    _block: _Block | None
    _at: Place | None
    _postings: Postings

    def __init__(
        self,
        directory: Path,
        path: Path,
        key: bytes,
        log: VerifierKey,
        pseudonyms: Pseudonyms,
        keys: SubjectKeys,
        erased: Callable[[], int],
    ) -> None:
        self._segments = Segments(directory)
        self._path = path
        self._key = key
        self._origin = log.name
        self._read_forgotten = partial(trusted_forgotten, directory, log)
        self._nameless = nameless(pseudonyms)
        self._keys = keys
        self._read_erased = erased
        self._begin()

    def close(self) -> None:
        """Close the index."""
        self._postings.close()

    def follow(self, size: int, most: int = BLOCK // 2) -> bool:
        """Take in durable records below `size`, at most `most`; return whether there are more.

        Raises `Corrupt` when the log cannot be read, `Unavailable` when the keys cannot, `Damaged` when the
        index cannot be written: then a new `Indexer` is to be made.
        """
        if self._read_erased() != self._erased:
            self._postings.close()
            self._begin()
        # Who had no key may be back: the key of every durable record was made before that.
        self._ciphers = {pseudonym: cipher for pseudonym, cipher in self._ciphers.items() if cipher is not None}
        until = min(size, self.size + most)
        while self.size < until:
            begun = self.size
            self._take(until)
            if self.size == begun:
                raise Corrupt("the log (a durable record cannot be found)")
        self._save()
        return self.size < size

    # -- Where it left off ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Open the index, with no key and no term in memory that an erasure destroyed."""
        self._terms = Terms(self._key)
        self._erased = self._read_erased()  # before any key: what is erased from now on is noticed
        self._forgotten = self._read_forgotten()  # after that: a newer statement is noticed as well
        self._ciphers, self._late = {}, []
        self._block = self._at = None
        self.size = 0
        self._postings = self._open()

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
        postings = Postings.create(self._path, self._key)
        facts = {"origin": self._origin, TERMS: NEWEST_TERMS, ERASED: str(self._erased), "size": "0"}
        postings.save(Changes(facts, (), (), ()))
        return postings

    def _resume(self, postings: Postings) -> None:
        """Go on after the last full block. Raises `Damaged` when it is not an index of this very log."""
        if postings.fact("origin") != self._origin:
            raise Damaged("it is of another log")
        if postings.fact(TERMS) != NEWEST_TERMS:
            raise Damaged("it was made by another version")
        if postings.fact(ERASED) != str(self._erased):
            raise Damaged("content was erased since it was made")
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
        postings.save(Changes({"size": str(full * BLOCK)}, (), (), ()))
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
            if of >= block.first:
                block.outcomes[of - block.first] = number - of
            else:
                self._late.append((of, number))
            upstream = upstream_of(self._content(fields, frame.body)) if fields["what"] == SENDS else ""
            for places in block.columns(self._terms.of_ending(str(fields["decision"]), upstream)):
                places.append(place)
        else:
            self._describe(block, place, fields, frame.body)
        self.size += 1
        self._at = Place(ordinal, frame.end)
        if place == BLOCK - 1:
            block.last = leaf_hash(frame.entry)
            self._save()
            self._block = None

    def _describe(self, block: _Block, place: int, fields: Mapping[str, Json], box: bytes) -> None:
        """Take in what a record says. Nearly every part of it is like one before in the block, so its terms are known."""
        content, terms, like = self._content(fields, box), self._terms, block.like
        who, on = content.get("who"), content.get("on")
        who = who if isinstance(who, dict) else _NOBODY
        key: tuple[object, ...]
        what, decision, session = str(fields["what"]), str(fields["decision"]), who.get("session")
        if (said := like.get(key := ("what", what, decision))) is None:
            said = like[key] = block.columns(terms.of_decision(what, decision))
        if (by := like.get(key := ("who", who.get("kind"), who.get("name")))) is None:
            by = like[key] = block.columns(terms.of_who(who))
        if (of := like.get(key := ("session", session))) is None:
            of = like[key] = block.columns(terms.of_session(session if isinstance(session, str) else ""))
        asked = content.get("asked")
        rules = asked.get("found") if isinstance(asked, dict) else None
        if (found := like.get(key := ("found", rules))) is None:
            found = like[key] = block.columns(terms.of_found(rules if isinstance(rules, str) else ""))
        things = None
        if isinstance(on, dict) and "all" not in content:
            labels = on.get("labels")
            key = ("on", on.get("name"), on.get("requested"), *(labels if isinstance(labels, list) else ()))
            things = like.get(key)
        if things is None:
            things = block.columns(terms.of_things(content))
            if isinstance(on, dict) and "all" not in content:
                like[key] = things
        for columns in (said, by, of, found, things):
            for places in columns:
                places.append(place)

    def _content(self, fields: Mapping[str, Json], box: bytes) -> Mapping[str, Json]:
        """What a record says; of one that was erased or forgotten or does not open, what is left."""
        pseudonym = str(fields["who"])
        if not self._forgotten.covers(fields) and (cipher := self._cipher(pseudonym)) is not None:
            with suppress(Corrupt):
                # Whoever searches compares it with the commitment; this is only where to look.
                _, plain = decrypt_box(self._origin, fields, box, cipher)
                content = cast("dict[str, Json]", orjson.loads(plain))
                return content if "who" in content else {**content, "who": self._nobody(pseudonym)}
        return {"who": self._nobody(pseudonym)}

    def _cipher(self, pseudonym: str) -> AESGCM | None:
        if pseudonym not in self._ciphers:
            if len(self._ciphers) >= _CACHED_KEYS:
                self._ciphers.clear()
            key = self._keys.find(pseudonym)
            self._ciphers[pseudonym] = None if key is None else AESGCM(key)
        return self._ciphers[pseudonym]

    def _nobody(self, pseudonym: str) -> Json:
        return {"kind": self._nameless.get(pseudonym, "")}

    def _save(self) -> None:
        block = self._block
        rows = [block.row()] if block is not None else []
        grown = block.unsaved() if block is not None else []
        at = self._at or Place(0, 0)
        facts = {"size": str(self.size), "ordinal": str(at.ordinal), "offset": str(at.offset)}
        self._postings.save(Changes(facts, rows, grown, self._late))
        self._late = []


@lru_cache(maxsize=64)
def _seconds(at: str) -> int:
    """Return the Unix seconds of a time without its fraction; most records come in the same second."""
    return int(datetime.fromisoformat(at + "+00:00").timestamp())
