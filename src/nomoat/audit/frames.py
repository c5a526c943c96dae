"""Records by number: found in the segments from a hint or by looking, read without taking in a whole segment.

Rules: reads only. A hint (segment and offset) is believed only if the frame there says the number itself;
otherwise the segment is walked from its start. Damage that hides a record is `Corrupt`, never a gap.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, final

from nomoat.audit.leaf import entry_number
from nomoat.audit.segments import (
    BODY_LIMIT,
    DamagedFrame,
    Frame,
    FrameKind,
    list_segments,
    read_frame,
    read_header,
    segment_path,
)
from nomoat.core.errors import Corrupt, NotFound

CHUNK: Final = 1 << 18
_HEADER_CHUNK: Final = 1 << 16


class Place(NamedTuple):
    """Where a frame begins: the segment's ordinal, the offset in its file."""

    ordinal: int
    offset: int


class SegmentStart(NamedTuple):
    """A segment's ordinal and path, the number of its first record, the offset of its first frame."""

    ordinal: int
    path: Path
    first: int
    offset: int
    latest: int


def frames_from(path: Path, offset: int, chunk: int = CHUNK) -> Iterator[Frame]:
    """Yield whole frames of a segment file from `offset` on, their `start` and `end` in the file.

    Ends at the file's end or at a frame that is not all there yet. Raises `Corrupt` at damaged bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data, base, at = b"", offset, 0
        while part := os.pread(descriptor, chunk, base + len(data)):
            data += part
            while True:
                try:
                    frame = read_frame(data, at)
                except DamagedFrame as damage:
                    if not damage.torn or damage.end - damage.start > BODY_LIMIT:
                        raise Corrupt("a segment of the log") from None
                    break
                if frame is None:
                    break
                at = frame.end
                yield Frame(frame.kind, frame.entry, frame.body, base + frame.start, base + at)
            data, base, at = data[at:], base + at, 0
    finally:
        os.close(descriptor)


@final
class Segments:
    """The segments of one log's directory; any thread may use it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._starts: list[SegmentStart] = []

    def starts(self) -> list[SegmentStart]:
        """Every segment whose header is whole, oldest first. Raises `Corrupt`."""
        known = self._starts
        # Ordinals have no gaps, so one look tells whether there is anything new.
        if known and not segment_path(self._directory, known[-1].ordinal + 1).exists():
            return known
        found = [
            known[at] if at < len(known) and known[at].path == path else _read_start(ordinal, path)
            for at, (ordinal, path) in enumerate(list_segments(self._directory))
        ]
        self._starts = [start for start in found if start is not None]
        return self._starts

    def of(self, number: int) -> SegmentStart:
        """The segment that record `number` is in, if there is such a record. Raises `NotFound`."""
        starts = self._starts
        if not starts or number >= starts[-1].first:
            starts = self.starts()
        at = bisect_right(starts, number, key=lambda start: start.first) - 1
        # Segments that a fault cut short have no record: of equal firsts, the last one has it.
        if at < 0:
            raise NotFound(f"the log has no record {number}", kind="entry")
        return starts[at]

    def records(self, first: int, count: int, hint: Place | None = None) -> list[Frame]:
        """Return the record frames `first` … `first + count - 1`, which must be durable.

        Raises `NotFound` when the log does not have them, `Corrupt` when bytes hide them.
        """
        found: list[Frame] = []
        while len(found) < count:
            number = first + len(found)
            more = self._within(number, count - len(found), hint)
            hint = None
            if not more:
                raise NotFound(f"the log has no record {number}", kind="entry")
            found += more
        return found

    def _within(self, number: int, count: int, hint: Place | None) -> list[Frame]:
        """Records from `number` on that lie in one segment."""
        start = self.of(number)
        if hint is not None and hint.ordinal == start.ordinal:
            frames = frames_from(start.path, hint.offset, 1 << 12 if count == 1 else CHUNK)
            if found := _take(frames, number, count, at_once=True):
                return found
        return _take(frames_from(start.path, start.offset), number, count, at_once=False)


def _take(frames: Iterator[Frame], number: int, count: int, *, at_once: bool) -> list[Frame]:
    """Take the records from `number` on; with `at_once` the first record must be it."""
    found: list[Frame] = []
    try:
        for frame in frames:
            if frame.kind != FrameKind.RECORD:
                continue
            said = entry_number(frame.entry)
            if said == number + len(found):
                found.append(frame)
                if len(found) == count:
                    return found
            elif at_once or found:
                return found
    except Corrupt:
        if not at_once:  # a hint may be wrong; the log must not be
            raise
    return found


def _read_start(ordinal: int, path: Path) -> SegmentStart | None:
    """Read a segment's header; None while it is only being made."""
    size = _HEADER_CHUNK
    with path.open("rb") as stream:
        while True:
            stream.seek(0)
            data = stream.read(size)
            try:
                header, offset = read_header(data)
            except DamagedFrame as damage:
                if not damage.torn:
                    raise Corrupt("a log segment's header") from None
                if len(data) < size:
                    return None
                size = max(size * 2, damage.end)
                continue
            return SegmentStart(ordinal, path, header.frontier.size, offset, header.latest)
