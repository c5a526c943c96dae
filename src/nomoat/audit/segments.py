"""Framing: how records and checkpoints lie in a segment file, and what a segment starts with.

Rules: pure. A segment is its magic line, a header frame, then record and checkpoint frames. A frame
is kind, lengths, leaf entry, body and a CRC-32 over all of it: the CRC finds torn and rotten bytes,
the signed tree finds what somebody changed. One frame holds entry and sealed content together, so
that one sync makes both durable.
"""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple, cast
from zlib import crc32

from nomoat.audit.tree import Frontier
from nomoat.core.errors import Corrupt, Malformed

MAGIC: Final = b"nomoat log segment 1\n"
SUFFIX: Final = ".segment"
CHECKPOINT_FILE: Final = "checkpoint"
"""The newest checkpoint, about once a second, for copying."""
WITNESSED_FILE: Final = "checkpoint.witnessed"
"""The newest checkpoint that a witness cosigned."""
TREE_FILE: Final = "tree"
"""The hashes of all complete subtrees, in the order of `tree.position`: derived, never trusted."""
ENTRY_LIMIT: Final = 0xFFFF
"""Bytes of one leaf entry, as in a tlog-tiles entry bundle (c2sp.org/tlog-tiles)."""
BODY_LIMIT: Final = 1 << 28
"""Bytes of a sealed box, or of a header with two million open accesses."""

_PREFIX: Final = Struct(">BHI")
_CRC_SIZE: Final = 4


class FrameKind(IntEnum):
    """The first byte of a frame."""

    HEADER = ord("H")
    RECORD = ord("R")
    CHECKPOINT = ord("C")


_KINDS: Final = frozenset(FrameKind)


class Frame(NamedTuple):
    """One frame. `start` and `end` are offsets in the bytes it was read from."""

    kind: int
    entry: bytes
    body: bytes
    start: int
    end: int


class DamagedFrame(Exception):
    """There is a frame's beginning here, but not a whole, sound frame.

    `torn` says that the bytes end before the frame does; `end` is where it would end if its
    lengths are right.
    """

    def __init__(self, start: int, end: int, *, torn: bool) -> None:
        super().__init__(f"the frame at offset {start} is {'torn' if torn else 'damaged'}")
        self.start = start
        self.end = end
        self.torn = torn


def encode_frame(kind: int, entry: bytes, body: bytes) -> bytes:
    """Return a frame's bytes."""
    data = _PREFIX.pack(kind, len(entry), len(body)) + entry + body
    return data + crc32(data).to_bytes(_CRC_SIZE, "big")


def read_frame(data: bytes, start: int) -> Frame | None:
    """Return the frame at `start`, or None at the very end of `data`. Raises `DamagedFrame`."""
    if start == len(data):
        return None
    entry_at = start + _PREFIX.size
    if entry_at > len(data):
        raise DamagedFrame(start, entry_at, torn=True)
    kind, entry_size, body_size = _PREFIX.unpack_from(data, start)
    body_at = entry_at + entry_size
    crc_at = body_at + body_size
    end = crc_at + _CRC_SIZE
    if kind not in _KINDS or body_size > BODY_LIMIT:
        raise DamagedFrame(start, start + 1, torn=False)
    if end > len(data):
        raise DamagedFrame(start, end, torn=True)
    view = memoryview(data)
    if crc32(view[start:crc_at]) != int.from_bytes(view[crc_at:end], "big"):
        raise DamagedFrame(start, end, torn=False)
    return Frame(kind, data[entry_at:body_at], data[body_at:crc_at], start, end)


def find_frame(data: bytes, start: int) -> int:
    """Return the offset of the first sound frame at or after `start`, or the length of `data`."""
    for at in range(start, len(data)):
        if data[at] in _KINDS:
            try:
                read_frame(data, at)
            except DamagedFrame:
                continue
            return at
    return len(data)


def segment_path(directory: Path, ordinal: int) -> Path:
    """Return the path of the segment with this number (from 1, gapless)."""
    return directory / f"{ordinal:010d}{SUFFIX}"


def list_segments(directory: Path) -> list[tuple[int, Path]]:
    """Return (ordinal, path) of every segment file in the directory, oldest first."""
    found = [
        (int(path.stem), path) for path in directory.glob(f"*{SUFFIX}") if path.stem.isascii() and path.stem.isdigit()
    ]
    return sorted(found)


def require_files(directory: Path) -> None:
    """Raise `Corrupt` for a pipe or a device in a log's directory: reading it would never end. Raises `OSError`."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise Corrupt(f"the log ({path.name!r:.80} is no file)")


class OpenAccess(NamedTuple):
    """An allowed opening that has no outcome yet: its number, and the pseudonyms and action of its entry."""

    opening: int
    who: str
    on: str
    session: str
    what: str


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment starts with, so that recovery reads the newest one only.

    `frontier` is the tree before the segment's first record, `checkpoint` a signed note of exactly
    that tree, `latest` the newest time of any record before it (Unix milliseconds), `open` the
    accesses without an outcome.
    """

    ordinal: int
    frontier: Frontier
    checkpoint: bytes
    latest: int
    open: tuple[OpenAccess, ...]

    def encode(self) -> bytes:
        """Return the magic line and the header frame."""
        content = {
            "segment": self.ordinal,
            "size": self.frontier.size,
            "frontier": [b64encode(peak).decode() for peak in self.frontier.peaks],
            "checkpoint": self.checkpoint.decode(),
            "latest": self.latest,
            "open": [[access.opening, access.who, access.on, access.session, access.what] for access in self.open],
        }
        return MAGIC + encode_frame(FrameKind.HEADER, b"", json.dumps(content, separators=(",", ":")).encode())


def read_header(data: bytes) -> tuple[SegmentHeader, int]:
    """Return a segment's header and the offset of its first frame.

    Raises `DamagedFrame` when it is torn (a crash while it was made) and `Corrupt` when it is wrong.
    """
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            raise DamagedFrame(0, len(MAGIC), torn=True)
        raise Corrupt("a log segment's first line")
    frame = read_frame(data, len(MAGIC))
    if frame is None:
        raise DamagedFrame(len(MAGIC), len(MAGIC) + 1, torn=True)
    if frame.kind != FrameKind.HEADER:
        raise Corrupt("a log segment's header")
    return _parse_header(frame.body), frame.end


def iterate_frames(data: bytes, start: int) -> Iterator[Frame]:
    """Yield frames from `start` up to the end or the first one that is not whole and sound."""
    while True:
        try:
            frame = read_frame(data, start)
        except DamagedFrame:
            return
        if frame is None:
            return
        yield frame
        start = frame.end


def require_torn_end(data: bytes, start: int) -> None:
    """Raise `Corrupt` unless what follows `start` can be the newest segment's last batch, torn or only being written.

    Each batch was synced before the next was written, so after the damage there is at most one checkpoint, the
    batch's own, and nothing after it.
    """
    while start < len(data):
        start = find_frame(data, start)
        frame = read_frame(data, start)
        if frame is None:
            return
        if frame.kind == FrameKind.CHECKPOINT and frame.end < len(data):
            raise Corrupt("a record in the middle of the log's newest segment")
        start = frame.end


def parse_object(data: bytes, what: str) -> Mapping[str, object]:
    """Parse a JSON object. Raises `Malformed`."""
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed(f"{what} is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not a JSON object")
    return cast("dict[str, object]", value)


def _parse_header(body: bytes) -> SegmentHeader:
    try:
        content = json.loads(body)
        return SegmentHeader(
            ordinal=int(content["segment"]),
            frontier=Frontier(int(content["size"]), [b64decode(peak, validate=True) for peak in content["frontier"]]),
            checkpoint=str(content["checkpoint"]).encode(),
            latest=int(content["latest"]),
            open=tuple(
                OpenAccess(int(opening), str(who), str(on), str(session), str(what))
                for opening, who, on, session, what in content["open"]
            ),
        )
    except (ValueError, KeyError, TypeError, Base64Error):
        raise Corrupt("a log segment's header") from None
