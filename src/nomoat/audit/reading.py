"""Reading the log with the keys: records as people read them, newest first, within a limit.

Rules: reads only what is durable. Content shows only if it opens beside its entry and matches the
commitment; what does not is shown as damaged, what has no key any more as erased, never left out.
Memory holds one segment and the results. Reading changes nothing; whoever reads is recorded elsewhere.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast, final

import orjson

from nomoat.audit.checkpoint import VerifierKey
from nomoat.audit.entries import Pseudonyms, SubjectKeys
from nomoat.audit.forgotten import trusted_forgotten
from nomoat.audit.query import Query
from nomoat.audit.readable import Fields, Opener, nameless
from nomoat.audit.segments import DamagedFrame, Frame, FrameKind, find_frame, iterate_frames, list_segments, read_header
from nomoat.audit.walk import Walk
from nomoat.core.errors import Corrupt
from nomoat.core.record import Json, RecordKind

_CLOCK_TOLERANCE_S: Final = 5


def _frames(data: bytes, start: int) -> list[Frame]:
    """The frames of a segment. Raises `Corrupt` when some would be left out."""
    frames = list(iterate_frames(data, start))
    end = frames[-1].end if frames else start
    if find_frame(data, end) < len(data):  # behind damaged bytes are sound ones
        raise Corrupt("a segment of the log")
    return frames


class Sealed(NamedTuple):
    """A record as it lies in the log."""

    fields: Fields
    box: bytes


@final
class Reader:
    """Reads one log's directory; any thread may use it.

    `key` verifies what the log signed; `pseudonyms` and `keys` are those it is written with.
    """

    def __init__(self, directory: Path, key: VerifierKey, pseudonyms: Pseudonyms, keys: SubjectKeys) -> None:
        self._directory = directory
        self._key = key
        self._keys = keys
        self._nameless = nameless(pseudonyms)

    def search(self, query: Query, *, after: int, limit: int, size: int) -> list[dict[str, Json]]:
        """Return the newest `limit` records that match, oldest of them first.

        Only records after number `after` and below `size` (the log's durable size) count. How an
        access ended stands in its opening's record, under `outcome`; an outcome is no record of its
        own here unless asked for by number. Raises `Unavailable` when the keys cannot be read,
        `Corrupt` when a segment cannot.
        """
        search = self.begin(query, after=after, size=size)
        found: list[dict[str, Json]] = []
        for _, path in reversed(list_segments(self._directory)):
            try:
                header, start = read_header(data := path.read_bytes())
            except DamagedFrame:
                continue  # it is only being made
            found = search.segment(data, start, limit - len(found)) + found
            before = header.frontier.size
            if len(found) >= limit or before <= after + 1 or (query.record is not None and before <= query.record):
                break
            if header.latest / 1000 + _CLOCK_TOLERANCE_S < query.since:
                break
        return found

    def begin(self, query: Query, *, after: int, size: int) -> "Search":
        """Begin a search among the records after number `after` and below `size`."""
        return Search(self.opener(), query, after, size)

    def opener(self) -> Opener:
        """Return what opens this log's records, for one reading."""
        return Opener(self._key.name, self._keys, self._nameless, lambda: trusted_forgotten(self._directory, self._key))

    def walk(self, after: int = -1) -> Walk:
        """Return a walk over this log's records in their order, from the one after number `after`."""
        return Walk(self._directory, self.opener(), after)

    def decisions(self, query: Query, *, size: int) -> Iterator[dict[str, Json]]:
        """Yield every readable record of a decision that matches, newest first, without how it ended.

        Raises as `search` does; memory holds one segment.
        """
        search = self.begin(query, after=-1, size=size)
        for _, path in reversed(list_segments(self._directory)):
            try:
                header, start = read_header(data := path.read_bytes())
            except DamagedFrame:
                continue  # it is only being made
            yield from search.decisions(data, start)
            if header.latest / 1000 + _CLOCK_TOLERANCE_S < query.since:
                break


class Search:
    """One search under way, from the newest segment back to older ones."""

    def __init__(self, opener: Opener, query: Query, after: int, size: int) -> None:
        self._opener = opener
        self._query = query
        self._after = after
        self._size = size
        self._since = query.earliest
        self._until = query.latest
        # From the newest back, an outcome comes before its opening.
        self.outcomes: dict[int, Sealed] = {}

    def segment(self, data: bytes, start: int, limit: int) -> list[dict[str, Json]]:
        """Return the newest `limit` matches of one segment, oldest of them first."""
        return self.frames(_frames(data, start), limit)

    def frames(self, frames: Sequence[Frame], limit: int) -> list[dict[str, Json]]:
        """Return the newest `limit` matches of consecutive frames, oldest of them first."""
        found: list[dict[str, Json]] = []
        lowest = self._after + 1 if self._query.record is None else self._query.record
        for frame in reversed(frames):
            if frame.kind != FrameKind.RECORD:
                continue
            sealed = parse_sealed(frame)
            number, of = sealed.fields["n"], sealed.fields.get("of")
            if not isinstance(number, int) or number >= self._size:
                continue
            if number < lowest or len(found) >= limit:
                break
            if isinstance(of, int) and number != self._query.record:
                self.outcomes[of] = sealed
            elif number > self._after and (record := self.match(number, sealed)) is not None:
                found.append(record)
        return found[::-1]

    def decisions(self, data: bytes, start: int) -> Iterator[dict[str, Json]]:
        """Yield the matching records of decisions in one segment, newest first."""
        for frame in reversed(_frames(data, start)):
            if frame.kind != FrameKind.RECORD:
                continue
            sealed = parse_sealed(frame)
            if sealed.fields["kind"] != RecordKind.OPENING or not sealed.fields["decision"]:
                continue
            number = sealed.fields["n"]
            if isinstance(number, int) and number < self._size:
                record = self.match(number, sealed)
                if record is not None:
                    yield record

    def match(self, number: int, sealed: Sealed) -> dict[str, Json] | None:
        """Return a record as people read it, with how it ended if that is among `outcomes`; None if it does not match."""
        fields, outcome = sealed.fields, self.outcomes.pop(number, None)
        # Times of one fixed width sort as text.
        if not self._since <= str(fields["at"]) <= self._until:
            return None
        decision = "" if outcome is None else str(outcome.fields["decision"])
        if not self._query.matches_entry(number, str(fields["what"]), str(fields["decision"]), decision):
            return None
        record = self.readable(sealed)
        if not self._query.matches_content(record):
            return None
        if outcome is not None:
            record["outcome"] = self._opener.content(outcome.fields, outcome.box)
        # An outcome that was asked for by its number is a record of its own.
        ended = record.get("outcome") if sealed.fields.get("of") is None else record
        return record if self._query.matches_ending(cast("Fields", ended or {})) else None

    def readable(self, sealed: Sealed) -> dict[str, Json]:
        """Return a record as people read it: entry and content in one."""
        return self._opener.readable(sealed.fields, sealed.box)


def parse_sealed(frame: Frame) -> Sealed:
    """Return the record of a frame."""
    return Sealed(cast("Fields", orjson.loads(frame.entry)), frame.body)
