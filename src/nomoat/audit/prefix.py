"""A log from outside, while it grows: how far it is, and the longest beginning of it that fits a state.

Rules: reads, repairs nothing, and needs no lock: what ends with a signed checkpoint was durable. A
beginning of the log fits a state when no record in it says that the state got further, and each
record's key is in that state, so that none reads as erased.
"""

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import orjson

from nomoat.audit.checkpoint import VerifierKey, verify_checkpoint
from nomoat.audit.entries import SubjectKeys
from nomoat.audit.generation import read_generation, says_generation
from nomoat.audit.segments import (
    DamagedFrame,
    FrameKind,
    SegmentHeader,
    iterate_frames,
    list_segments,
    read_header,
    require_files,
    require_torn_end,
)
from nomoat.audit.tree import leaf_hash
from nomoat.core.errors import Corrupt, Unavailable

State: TypeAlias = tuple[int, AbstractSet[str]]
"""What must fit: a state's generation, and the pseudonyms that it has keys of."""


class Prefix(NamedTuple):
    """A beginning of a log: whole segments, then `length` bytes of the last one.

    `note` is the checkpoint that it ends with, `size` its number of records, `latest` the newest time of
    its last segment's records (RFC 3339; '' if that has none), `generation` the newest one of the state
    that a record of this segment says, `behind` the bytes of the file after it.
    """

    segments: tuple[Path, ...]
    length: int
    note: bytes
    size: int
    latest: str
    generation: int
    behind: int


def newest_segment(directory: Path) -> int:
    """Return the number of the newest segment that is in use; 0 when there is none."""
    return max((ordinal for ordinal, _ in _begun(directory)), default=0)


def signed_prefix(
    directory: Path, key: VerifierKey, keys: SubjectKeys, *, since: int = 0, state: State | None = None
) -> Prefix:
    """Return what of the log is signed, or of that what fits a state.

    `state` is its generation and the pseudonyms that it has keys of. Segments before number `since` are
    taken to fit; 0 looks at the newest segment alone. Raises `Corrupt` when the end of the log is not what
    its key signed, `Unavailable` when there is none.
    """
    segments = _begun(directory)
    if not segments:
        raise Unavailable("log", "there is no log in the data directory")
    first = since or segments[-1][0]
    before = tuple(path for ordinal, path in segments if ordinal < first)
    found: Prefix | None = None
    for ordinal, path in segments:
        if ordinal < first:
            continue
        scan = _Scan(path, ordinal, key, keys, state)
        found = scan.prefix((*before, path))
        if scan.stopped:
            break
        before = (*before, path)
    if found is None:
        raise Corrupt("the log's segments")
    return found


def _begun(directory: Path) -> list[tuple[int, Path]]:
    """List the segments without one that is only being made."""
    require_files(directory)
    segments = list_segments(directory)
    if segments:
        try:
            read_header(segments[-1][1].read_bytes())
        except DamagedFrame:
            segments.pop()
    return segments


class _Scan:
    """One segment, looked at up to the first record that does not fit."""

    def __init__(self, path: Path, ordinal: int, key: VerifierKey, keys: SubjectKeys, state: State | None) -> None:
        self._data = path.read_bytes()
        self._key, self._keys, self._state = key, keys, state
        try:
            self._header, start = read_header(self._data)
        except DamagedFrame:
            raise Corrupt("the header of a segment of the log") from None
        if self._header.ordinal != ordinal:
            raise Corrupt("the header of a segment of the log")
        self.stopped = False
        self._end, self._note = start, self._header.checkpoint
        self._latest, self._generation = "", 0
        self._scan(start)

    def prefix(self, segments: tuple[Path, ...]) -> Prefix:
        """Return what was found, with the checkpoint's signature and the records before it verified."""
        head = verify_checkpoint(self._note, self._key).head
        if _grown(self._header, self._data[: self._end]) != head.root:
            raise Corrupt("the log's newest segment (its records are not those of its last checkpoint)")
        behind = len(self._data) - self._end
        return Prefix(segments, self._end, self._note, head.size, self._latest, self._generation, behind)

    def _scan(self, start: int) -> None:
        latest, generation, end = "", 0, start
        for frame in iterate_frames(self._data, start):
            end = frame.end
            if frame.kind == FrameKind.RECORD:
                entry = cast("dict[str, object]", orjson.loads(frame.entry))
                said = read_generation(self._key.name, entry, frame.body, self._keys) if says_generation(entry) else 0
                if self._state is not None and (said > self._state[0] or str(entry.get("who")) not in self._state[1]):
                    self.stopped = True
                    return
                latest, generation = str(entry.get("at", "")), max(generation, said)
            elif frame.kind == FrameKind.CHECKPOINT:
                self._end, self._note = frame.end, frame.entry
                self._latest, self._generation = latest, generation
        require_torn_end(self._data, end)


def _grown(header: SegmentHeader, data: bytes) -> bytes:
    """Return the root of the tree after a segment's records."""
    frontier = header.frontier.copy()
    _, start = read_header(data)
    frontier.extend([leaf_hash(frame.entry) for frame in iterate_frames(data, start) if frame.kind == FrameKind.RECORD])
    return frontier.head().root
