"""Recovery: from the files that a process left, however it ended, to the tail that the next one grows.

Rules: reads the newest segment only; its header carries a signed checkpoint of everything before.
What a crash can leave (a torn last batch, a segment without a header) is repaired without a hand.
What a crash cannot leave is `Corrupt` and refuses to start: evidence is not overwritten.
Records after the last checkpoint were never acknowledged. They stay if they are whole and their
boxes open with our keys, so that nobody can have a forged record signed by stopping the gateway.
Nothing is repaired beside a state that is older than the log says (`audit/generation.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import orjson

from nomoat.audit.checkpoint import NoteSigner, sign_checkpoint, verify_checkpoint
from nomoat.audit.entries import SubjectKeys, open_box
from nomoat.audit.generation import read_generation, require_current, says_generation
from nomoat.audit.hashes import StoredHashes
from nomoat.audit.segments import (
    CHECKPOINT_FILE,
    WITNESSED_FILE,
    DamagedFrame,
    Frame,
    FrameKind,
    OpenAccess,
    SegmentHeader,
    find_frame,
    iterate_frames,
    list_segments,
    read_header,
    require_torn_end,
    segment_path,
)
from nomoat.audit.tail import Tail
from nomoat.audit.tree import Frontier, leaf_hash, root_at
from nomoat.core.errors import Corrupt, Malformed
from nomoat.core.record import RecordKind
from nomoat.stores.segments import Files, Segment


@dataclass(frozen=True, slots=True)
class Recovered:
    """The tail, and what recovery had to do: bytes cut off, unacknowledged records kept.

    `generation` is the newest one of the state that the records say.
    """

    tail: Tail
    cut: int = 0
    unacknowledged: int = 0
    generation: int = 0


def recover(
    directory: Path, files: Files, signer: NoteSigner, keys: SubjectKeys, state: int | None = None
) -> Recovered:
    """Open a log's directory, making it if it is new, and bring it into order.

    `state` is the generation of the state beside it, None for any. Raises `Corrupt` when the log holds
    what no crash leaves, `OSError` when it cannot be written, and `Unavailable` when the keys cannot be
    read or the state is older than the log says.
    """
    if not directory.is_dir():
        directory.mkdir(mode=0o700)
        files.sync_directory(directory.parent)
    segments = list_segments(directory)
    while segments and _is_stillborn(segments[-1][1]):
        files.remove(segments.pop()[1])
    if not segments:
        tail = _begin(directory, files, signer)
        _check_kept(tail)
        return Recovered(tail)
    ordinal, path = segments[-1]
    newest = _Newest(path.read_bytes(), ordinal, signer)
    kept = newest.keep_authentic(keys)
    generation = _find_generation(segments[:-1], newest, signer, keys)
    if state is not None:
        require_current(state, generation)
    segment = Segment.resume(files, path, newest.batch_start, newest.data[newest.batch_start : newest.end])
    hashes = _open_hashes(files, directory, newest.header.frontier, segments[:-1])
    hashes.add(newest.header.frontier.copy().extend(newest.leaves))
    tail = Tail(
        directory=directory,
        files=files,
        signer=signer,
        segment=segment,
        ordinal=ordinal,
        frontier=newest.frontier,
        open=newest.open,
        latest=max(newest.header.latest, milliseconds(newest.at) if newest.at else 0),
        hashes=hashes,
        note=newest.note,
        signed=verify_checkpoint(newest.note, signer.key).head,
    )
    _check_kept(tail)
    return Recovered(tail, len(newest.data) - newest.end, kept, generation)


def milliseconds(at: str) -> int:
    """Parse an entry's time (RFC 3339, UTC, milliseconds) into Unix milliseconds. Raises `Malformed`."""
    try:
        moment = datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        raise Malformed("a record's time is RFC 3339 with milliseconds, in UTC") from None
    return round(moment.timestamp() * 1000)


class _Newest:
    """The newest segment's content: `data` up to `end` is good, from `batch_start` on it may not be durable."""

    def __init__(self, data: bytes, ordinal: int, signer: NoteSigner) -> None:
        self.data = data
        self._signer = signer
        self.header, start = _trusted_header(data, ordinal, signer)
        self.frontier = self.header.frontier.copy()
        self.open = {access.opening: access for access in self.header.open}
        self.at = ""
        self.leaves: list[bytes] = []
        self.generations: list[Frame] = []
        self.note = self.header.checkpoint
        self.batch_start = self.end = start
        self._unsigned: list[Frame] = []
        self._scan(start)

    def keep_authentic(self, keys: SubjectKeys) -> int:
        """Take in the records after the last checkpoint as far as they are ours; return how many.

        They start the batch that may not be durable, in place of the last signed one.
        """
        kept = 0
        for frame in self._unsigned:
            entry = _parse_entry(frame.entry)
            key = keys.find(str(entry.get("who")))
            if entry.get("n") != self.frontier.size or key is None:
                break
            try:
                open_box(self._signer.key.name, entry, frame.body, key)
            except Corrupt:
                break
            if kept == 0:
                self.batch_start = self.end
            self._take([frame])
            self.end, kept = frame.end, kept + 1
        return kept

    def _scan(self, start: int) -> None:
        """Take in everything up to the last checkpoint.

        Hashing every entry and comparing with the last checkpoint covers all of them: no other
        checkpoint's signature needs checking here.
        """
        batch: list[Frame] = []
        for frame in iterate_frames(self.data, start):
            if frame.kind == FrameKind.RECORD:
                batch.append(frame)
            elif frame.kind == FrameKind.CHECKPOINT:
                self._take(batch)
                batch = []
                self.note, self.batch_start, self.end = frame.entry, self.end, frame.end
            else:
                raise Corrupt("a frame of the log's newest segment")
        self._unsigned = batch
        require_torn_end(self.data, batch[-1].end if batch else self.end)
        try:
            signed = verify_checkpoint(self.note, self._signer.key).head
        except Malformed:
            signed = None
        if signed != self.frontier.head():
            raise Corrupt("the log's newest segment (its records are not those of its last checkpoint)")

    def _take(self, frames: list[Frame]) -> None:
        leaves = [leaf_hash(frame.entry) for frame in frames]
        self.frontier.extend(leaves)
        self.leaves += leaves
        for frame in frames:
            entry = _parse_entry(frame.entry)
            # Times of one fixed width sort as text.
            self.at = max(self.at, str(entry.get("at")))
            if says_generation(entry):
                self.generations.append(frame)
            index, of = entry.get("n"), entry.get("of")
            if entry.get("kind") == RecordKind.OPENING and entry.get("decision") == "allow" and isinstance(index, int):
                who, on, session, what = (str(entry.get(name)) for name in ("who", "on", "session", "what"))
                self.open[index] = OpenAccess(index, who, on, session, what)
            elif entry.get("kind") == RecordKind.OUTCOME and isinstance(of, int):
                self.open.pop(of, None)


def _find_generation(older: list[tuple[int, Path]], newest: _Newest, signer: NoteSigner, keys: SubjectKeys) -> int:
    """Return the newest generation that the records say; 0 when none does.

    Every start and every change of the state leaves one: it is in the newest segment, or not far back.
    An older segment is believed when its records lead to the tree that the next one starts with.
    """
    frames, tree = newest.generations, newest.header.frontier.head()
    while not frames and older:
        ordinal, path = older.pop()
        data = path.read_bytes()
        header, start = _trusted_header(data, ordinal, signer)
        records = [frame for frame in iterate_frames(data, start) if frame.kind == FrameKind.RECORD]
        frontier = header.frontier.copy()
        frontier.extend([leaf_hash(frame.entry) for frame in records])
        if frontier.head() != tree:
            raise Corrupt("an older segment of the log")
        frames, tree = (
            [frame for frame in records if says_generation(_parse_entry(frame.entry))],
            header.frontier.head(),
        )
    origin = signer.key.name
    return max((read_generation(origin, _parse_entry(frame.entry), frame.body, keys) for frame in frames), default=0)


def _parse_entry(entry: bytes) -> dict[str, object]:
    try:
        return cast("dict[str, object]", orjson.loads(entry))
    except orjson.JSONDecodeError:
        raise Corrupt("an entry of the log's newest segment") from None


def _begin(directory: Path, files: Files, signer: NoteSigner) -> Tail:
    frontier = Frontier()
    note = sign_checkpoint(signer, frontier.head())
    header = SegmentHeader(1, frontier, note, 0, ())
    segment = Segment.create(files, segment_path(directory, 1), header.encode())
    hashes = StoredHashes(files, directory)
    return Tail(directory, files, signer, segment, 1, frontier, {}, 0, hashes, note, frontier.head())


def _is_stillborn(path: Path) -> bool:
    """Whether a segment holds no more than the torn beginning of a header: it was never in use."""
    data = path.read_bytes()
    try:
        read_header(data)
    except DamagedFrame as damage:
        if not damage.torn and find_frame(data, damage.start + 1) < len(data):
            raise Corrupt("the header of the log's newest segment") from None
        return True
    return False


def _trusted_header(data: bytes, ordinal: int, signer: NoteSigner) -> tuple[SegmentHeader, int]:
    header, start = read_header(data)
    try:
        signed = verify_checkpoint(header.checkpoint, signer.key).head
    except Malformed:
        signed = None
    if header.ordinal != ordinal or signed != header.frontier.head():
        raise Corrupt("the header of the log's newest segment")
    return header, start


def _open_hashes(files: Files, directory: Path, before: Frontier, older: list[tuple[int, Path]]) -> StoredHashes:
    """Open the tree's hashes up to the newest segment; make them anew when the file is short or wrong."""
    hashes = StoredHashes(files, directory)
    if hashes.begin(before):
        return hashes
    hashes.rewind()
    frontier = Frontier()
    for _, path in older:
        data = path.read_bytes()
        _, start = read_header(data)
        records = (frame for frame in iterate_frames(data, start) if frame.kind == FrameKind.RECORD)
        hashes.add(frontier.extend(leaf_hash(frame.entry) for frame in records))
    if frontier.head() != before.head():
        raise Corrupt("an older segment of the log")
    return hashes


def _check_kept(tail: Tail) -> None:
    """Raise `Corrupt` when a checkpoint kept beside the log says that it once held more, or other, records.

    A kept file that does not verify proves nothing, as if it were gone.
    """
    for name in (CHECKPOINT_FILE, WITNESSED_FILE):
        try:
            kept = verify_checkpoint((tail.directory / name).read_bytes(), tail.signer.key).head
        except (FileNotFoundError, Malformed, Corrupt):
            continue
        if kept.size > tail.frontier.size:
            raise Corrupt(f"the log (it held {kept.size} records, and now holds {tail.frontier.size})")
        if root_at(kept.size, tail.hashes.read) != kept.root:
            raise Corrupt(f"the log (its first {kept.size} records are not the ones it once signed)")
