"""Walking the log forward: every record in its order, so far as it is durable.

Rules: nothing is passed over. A number that is missing or bytes that are no record stop the walk with
`Corrupt`. Memory holds one chunk of a segment and the records taken. A walk may wait at the log's end
and go on later, in the same segment or the next one. It reads files only; whoever walks is recorded
elsewhere.
"""

from pathlib import Path
from typing import Final, cast, final

import orjson

from nomoat.audit.readable import Fields, Opener
from nomoat.audit.segments import (
    DamagedFrame,
    Frame,
    FrameKind,
    SegmentHeader,
    list_segments,
    read_frame,
    read_header,
    segment_path,
)
from nomoat.core.errors import Corrupt, NoMoatError, Unavailable
from nomoat.core.record import Json

CHUNK: Final = 1 << 20
"""Bytes that are read at a time; a larger frame is read whole."""


@final
class Walk:
    """One walk. `after` is the number of the last record taken, `chunk` bytes are read at a time. Not safe for threads."""

    def __init__(self, directory: Path, opener: Opener, after: int = -1, chunk: int = CHUNK) -> None:
        self.after = after
        self._chunk = chunk
        self._directory = directory
        self._opener = opener
        self._ordinal = 0  # of the segment; 0: not found yet
        self._at = 0  # where in it `_data` begins
        self._data = b""
        self._from = 0  # where in `_data` the next frame begins

    def take(self, size: int, *, most: int, room: int = 1 << 22) -> list[dict[str, Json]]:
        """Return the next records below number `size` (the log's durable size), at most `most`.

        Stops early once their boxes have more than `room` bytes. Returns none at the end of the log.
        Raises `Corrupt` when a record is missing or unreadable, `Unavailable` when a file or the keys
        cannot be read.
        """
        found: list[dict[str, Json]] = []
        self._opener.renew()
        try:
            while len(found) < most and room > 0 and self.after + 1 < size:
                frame = self._next()
                if frame is None or frame.kind != FrameKind.RECORD:
                    continue
                fields = cast("Fields", orjson.loads(frame.entry))
                number = fields["n"]
                if not isinstance(number, int) or number > self.after + 1:
                    raise Corrupt(f"record {self.after + 1} of the log")
                if number <= self.after:
                    continue
                found.append(self._opener.readable(fields, frame.body))
                room -= len(frame.body)
                self.after = number
        except (OSError, NoMoatError) as error:
            if found:
                return found  # it will come again; what was taken before it must not be lost
            if isinstance(error, OSError):
                raise Unavailable("log", f"it cannot be read ({error.strerror})") from error
            raise
        finally:
            # The end of the file may be cut and written anew; what lies behind the last record taken may not stay.
            self._at, self._data, self._from = self._at + self._from, b"", 0
        return found

    def _next(self) -> Frame | None:
        """Return the next frame of the segment, or None after moving on to the segment that has the next record."""
        if self._ordinal == 0:
            self._find()
        want = self._chunk
        while True:
            try:
                frame = read_frame(self._data, self._from)
            except DamagedFrame as damage:
                if not damage.torn:
                    self._move()
                    return None
                frame, want = None, max(want, damage.end - self._from + self._chunk)
            if frame is not None:
                self._from = frame.end
                return frame
            left = len(self._data) - self._from
            self._at, self._from = self._at + self._from, 0
            self._data = self._read(want)
            if len(self._data) == left:  # there is no more of it
                self._move()
                return None

    def _read(self, length: int) -> bytes:
        with segment_path(self._directory, self._ordinal).open("rb") as file:
            file.seek(self._at)
            return file.read(length)

    def _find(self) -> None:
        """Go to the segment that has the next record: the newest one that begins with it or before."""
        for ordinal, _ in reversed(list_segments(self._directory)):
            header = self._header(ordinal)
            if header is not None and header[0].frontier.size <= self.after + 1:
                self._ordinal, self._at = ordinal, header[1]
                return
        raise Corrupt(f"record {self.after + 1} of the log")

    def _move(self) -> None:
        """Go on to the next segment, which must begin with the next record. Raises `Corrupt`."""
        header = self._header(self._ordinal + 1)
        if header is None or header[0].frontier.size != self.after + 1:
            raise Corrupt(f"record {self.after + 1} of the log")
        self._ordinal, self._at, self._data, self._from = self._ordinal + 1, header[1], b"", 0

    def _header(self, ordinal: int) -> tuple[SegmentHeader, int] | None:
        """Return a segment's header and where its first frame begins; None when it is not there, or only being made."""
        want = self._chunk
        while True:
            try:
                with segment_path(self._directory, ordinal).open("rb") as file:
                    data = file.read(want)
            except FileNotFoundError:
                return None
            try:
                return read_header(data)
            except DamagedFrame:
                if len(data) < want:
                    return None
                want *= 4
