"""Verification: whether a directory is the log that its key signed, whole and in order.

Rules: pure and offline; needs the public key only, and trusts nothing in the directory but its
signatures. Finds flipped, dropped, reordered, duplicated, spliced and rewritten records; with a
checkpoint that somebody kept, also a log that was cut, rolled back or forked. Between two signed
checkpoints the tree's stored hashes say which record is the bad one, if they still match the
signature; otherwise the whole range between the two is named.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from nomoat.audit.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from nomoat.audit.forgotten import Forgotten, read_forgotten
from nomoat.audit.leaf import parse_leaf
from nomoat.audit.quorum import NOBODY, Quorum
from nomoat.audit.report import Fault, Problem, Report
from nomoat.audit.segments import (
    CHECKPOINT_FILE,
    MAGIC,
    WITNESSED_FILE,
    DamagedFrame,
    Frame,
    FrameKind,
    find_frame,
    list_segments,
    read_frame,
    read_header,
    require_files,
)
from nomoat.audit.stored import StoredTree, read_file
from nomoat.audit.tree import Frontier, Head, leaf_hash
from nomoat.core.errors import Corrupt, Malformed

CLOCK_TOLERANCE_S: Final = 5


def verify_directory(path: Path, key: VerifierKey, kept: Sequence[bytes] = (), quorum: Quorum = NOBODY) -> Report:
    """Verify the log in a directory, which may be a copy, against the log's public key.

    `kept` are checkpoints (signed notes) that somebody kept elsewhere; one at least, of these or the directory's,
    must be cosigned by `quorum`. Returns a report, whatever it finds. Raises `Malformed` when there is no log, `Corrupt` for
    what is no file.
    """
    require_files(path)
    # The directory's own checkpoints first: in a log that is in use, the segments run ahead of them.
    beside = [note for name in (CHECKPOINT_FILE, WITNESSED_FILE) if (note := read_file(path / name))]
    segments = list_segments(path)
    if not segments:
        raise Malformed("there is no log in this directory")
    verifier = _Verifier(key, StoredTree(path), quorum)
    verifier.excuse(path)
    verifier.expect(kept, ours=False)
    verifier.expect(beside, ours=True)
    for number, (ordinal, segment) in enumerate(segments):
        verifier.take_segment(ordinal, segment.read_bytes(), newest=number == len(segments) - 1)
    return verifier.report(len(segments))


class _Seen(NamedTuple):
    """A whole record frame: the number it claims, its leaf hash."""

    number: int
    leaf: bytes


@dataclass(slots=True)
class _Kept:
    """A checkpoint to compare with; `ours` if it lay in the directory itself."""

    checkpoint: Checkpoint
    ours: bool
    holds: bool | None = None


class _Verifier:
    """Grows the tree anew from checkpoint to checkpoint.

    INVARIANT (trusted frontier): while `_synced`, the root of `_frontier` was signed by the log's
    key, or it is the empty tree. `_covered` is the size of the last signed checkpoint.
    """

    def __init__(self, key: VerifierKey, stored: StoredTree, quorum: Quorum) -> None:
        self._key = key
        self._stored = stored
        self._quorum = quorum
        self._frontier = Frontier()
        self._synced = True
        self._covered = 0
        self._span: list[_Seen] = []
        self._damaged: set[int] = set()
        self._next = 0
        self._next_segment = 1
        self._records = 0
        self._checkpoints = 0
        self._unfinished = 0
        self._open: set[int] = set()
        self._oldest = ""
        self._newest = ""
        self._problems: list[Problem] = []
        self._kept: list[_Kept] = []
        self._witnessed: int | None = None
        self._cosigned = 0
        self._forgotten = Forgotten()
        self._blanked = 0

    def excuse(self, directory: Path) -> None:
        """Take in what the log says that it forgot."""
        try:
            self._forgotten = read_forgotten(directory, self._key)
        except (OSError, Malformed, Corrupt) as error:
            self._problem(Fault.KEPT, 0, 0, f"the statement of what was forgotten does not verify ({error})")

    # -- Segments and frames --------------------------------------------------------------------------

    def take_segment(self, ordinal: int, data: bytes, *, newest: bool) -> None:
        """Take in the next segment file."""
        lost, first, before = self._next_segment, self._next, len(self._problems)
        self._next_segment = ordinal + 1
        start = self._take_header(ordinal, data, newest=newest)
        told = any(problem.fault is Fault.MISSING and problem.first == first for problem in self._problems[before:])
        if ordinal != lost and not told:  # of its records it is said that they are missing
            self._problems.insert(before, Problem(Fault.HEADER, first, first, f"segment {lost} is missing before it"))
        for frame in self._frames(data, start, newest=newest):
            if frame.kind == FrameKind.RECORD:
                self._take_record(frame)
            elif frame.kind == FrameKind.CHECKPOINT:
                self._take_checkpoint(frame.entry)
            else:
                self._problem(Fault.HEADER, self._next, self._next, "a segment's header stands among records")

    def _frames(self, data: bytes, start: int, *, newest: bool) -> Iterator[Frame]:
        while True:
            try:
                frame = read_frame(data, start)
            except DamagedFrame as damage:
                after = find_frame(data, start + 1)
                if newest and damage.torn and after == len(data):
                    self._unfinished = len(data) - start
                    return
                self._problem(Fault.DAMAGED, self._next, self._next, f"the bytes at offset {start} are damaged")
                if data[start] == FrameKind.RECORD:
                    self._damaged.add(self._next)
                    self._next += 1
                start = after
                continue
            if frame is None:
                return
            yield frame
            start = frame.end

    def _take_header(self, ordinal: int, data: bytes, *, newest: bool) -> int:
        """Check a segment's header against what came before; return the offset of the first frame."""
        try:
            header, start = read_header(data)
            checkpoint = verify_checkpoint(header.checkpoint, self._key)
            if header.ordinal != ordinal or checkpoint.head != header.frontier.head():
                raise Corrupt("a segment's header")
        except DamagedFrame as damage:
            after = find_frame(data, damage.start + 1)
            if newest and damage.torn and after == len(data):
                self._unfinished = len(data)
            else:
                self._problem(Fault.HEADER, self._next, self._next, f"the header of segment {ordinal} is damaged")
            return after
        except (Malformed, Corrupt) as error:
            self._problem(Fault.HEADER, self._next, self._next, f"segment {ordinal} is not this log's ({error})")
            return find_frame(data, len(MAGIC) + 1)
        self._close_span(checkpoint.head)
        if not self._synced:
            self._resume(header.frontier)
        accesses = {access.opening for access in header.open}
        if not self._problems and accesses != self._open:
            self._problem(Fault.HEADER, self._next, self._next, f"segment {ordinal} starts with other open accesses")
        self._open = accesses
        return start

    def _take_record(self, frame: Frame) -> None:
        try:
            entry = parse_leaf(frame.entry)
        except Malformed as error:
            self._problem(Fault.ALTERED, self._next, self._next, error.reason)
            self._damaged.add(self._next)
            self._next += 1
            return
        number, at, of = entry.number, entry.at, entry.of
        self._span.append(_Seen(number, leaf_hash(frame.entry)))
        self._next = max(self._next, number + 1)
        if sha256(frame.body).hexdigest() != entry.sealed:
            if self._forgotten.explains(entry.fields, frame.body):
                self._blanked += 1
            else:
                self._problem(Fault.CONTENT, number, number, "its sealed content was changed")
        self._oldest = self._oldest or at
        if at < self._newest and (_time(self._newest) - _time(at)).total_seconds() > CLOCK_TOLERANCE_S:
            self._problem(Fault.TIME, number, number, f"it says {at}, after a record of {self._newest}")
        self._newest = max(self._newest, at)
        if entry.opens:
            self._open.add(number)
        elif of is not None:
            self._open.discard(of)

    # -- From checkpoint to checkpoint ----------------------------------------------------------------

    def _take_checkpoint(self, note: bytes) -> None:
        try:
            head = verify_checkpoint(note, self._key).head
        except (Malformed, Corrupt) as error:
            last = max(self._covered, self._next - 1)
            self._problem(
                Fault.CHECKPOINT, self._covered, last, f"the checkpoint after them is not the log's ({error})"
            )
            return
        self._close_span(head)

    def _close_span(self, head: Head) -> None:
        """Check the records since the last checkpoint against the one that covers them."""
        first, end = self._covered, head.size
        self._checkpoints += 1
        if end < first:
            self._problem(Fault.CHECKPOINT, end, first - 1, f"a checkpoint of {end} records follows one of {first}")
            return
        found = len(self._problems)
        seen = self._order(first, end)
        self._covered = end
        self._next = max(self._next, end)
        leaves = [seen[number] for number in range(first, end) if number in seen]
        if self._grow(leaves, head):
            return
        stored = self._stored.leaves(first, end)
        if self._grow(stored, head):
            for number, leaf in enumerate(stored, first):
                if seen.get(number, leaf) != leaf:
                    self._problem(Fault.ALTERED, number, number, "it is not the record that was signed")
            return
        if self._synced and first == end:
            self._problem(Fault.FORKED, end, end, f"two checkpoints of {end} records are signed over different ones")
        elif self._synced and found == len(self._problems):
            self._problem(Fault.ALTERED, first, end - 1, "they are not the records that were signed")
        self._synced = False
        frontier = self._stored.frontier(end)
        if frontier is not None and frontier.head() == head:
            self._resume(frontier)
        self._compare(head)

    def _order(self, first: int, end: int) -> dict[int, bytes]:
        """Return the span's leaf hashes by number; name what is foreign, twice, out of order or missing."""
        seen: dict[int, bytes] = {}
        highest = first
        for number, leaf in self._span:
            if not first <= number < end:
                self._problem(Fault.FOREIGN, number, number, f"it stands where records {first} to {end - 1} belong")
            elif number in seen:
                self._problem(Fault.DUPLICATED, number, number, "it is there twice")
            else:
                if number < highest:
                    self._problem(Fault.REORDERED, number, number, f"it stands after record {highest}")
                highest = max(highest, number)
                seen[number] = leaf
        for start, last in _ranges(n for n in range(first, end) if n not in seen and n not in self._damaged):
            self._problem(Fault.MISSING, start, last, "missing, though a checkpoint covers it")
        self._records += len(seen)
        self._span, self._damaged = [], set()
        return seen

    def _grow(self, leaves: Sequence[bytes], head: Head) -> bool:
        """Grow the trusted tree by `leaves` if that gives the signed head; compare with what was kept."""
        if not self._synced or self._frontier.size + len(leaves) != head.size:
            return False
        trial = self._frontier.copy()
        compared: list[Head] = []
        for size in sorted({kept.checkpoint.size for kept in self._kept} | {head.size}):
            if self._frontier.size < size <= head.size:
                trial.extend(leaves[trial.size - self._frontier.size : size - self._frontier.size])
                compared.append(trial.head())
        if trial.head() != head:
            return False
        self._frontier = trial
        for passed in compared:
            self._compare(passed)
        return True

    def _resume(self, frontier: Frontier) -> None:
        self._frontier = frontier.copy()
        self._synced = True
        self._compare(frontier.head())

    # -- What somebody kept ---------------------------------------------------------------------------

    def expect(self, notes: Iterable[bytes], *, ours: bool) -> None:
        """Take in checkpoints to compare with; `ours` if they lay in the directory itself."""
        for note in notes:
            try:
                checkpoint = verify_checkpoint(note, self._key)
            except (Malformed, Corrupt) as error:
                whose = "the directory's own" if ours else "a kept"
                self._problem(Fault.KEPT, 0, 0, f"{whose} checkpoint does not verify ({error})")
                continue
            self._kept.append(_Kept(checkpoint, ours))
            self._cosigned = max(self._cosigned, len(self._quorum.cosignatures(checkpoint)))
            if self._quorum.met_by(checkpoint):
                self._witnessed = max(self._witnessed or 0, checkpoint.size)
        self._compare(Frontier().head())

    def _compare(self, head: Head) -> None:
        for kept in self._kept:
            if kept.checkpoint.size == head.size and kept.holds is None:
                kept.holds = kept.checkpoint.head == head

    def _judge_kept(self) -> int | None:
        """Name what contradicts a kept checkpoint; return the size of the largest that holds."""
        held = [kept for kept in self._kept if kept.holds]
        for kept in self._kept:
            size = kept.checkpoint.size
            whose = "the directory's own" if kept.ours else "a kept"
            if kept.holds is False:
                first = max((other.checkpoint.size for other in held if other.checkpoint.size < size), default=0)
                detail = f"{whose} checkpoint of {size} records was signed over other ones"
                self._problem(Fault.FORKED, first, size - 1, detail)
            elif kept.holds is None and size <= self._covered:
                detail = f"{whose} checkpoint of {size} records cannot be compared with damaged ones"
                self._problem(Fault.KEPT, 0, size - 1, detail)
        self._judge_end()
        return max((kept.checkpoint.size for kept in held if not kept.ours), default=None)

    def _judge_end(self) -> None:
        """Name the records behind the end that a kept checkpoint covers: one loss, however many were kept of it."""
        beyond = [kept for kept in self._kept if kept.holds is None and kept.checkpoint.size > self._covered]
        if beyond:
            kept = max(beyond, key=lambda kept: (kept.checkpoint.size, not kept.ours))
            size, whose = kept.checkpoint.size, "the directory's own" if kept.ours else "a kept"
            detail = f"{whose} checkpoint of {size} records covers them, and they are not there"
            self._problem(Fault.ROLLED_BACK, self._covered, size - 1, detail)

    # -- The result -----------------------------------------------------------------------------------

    def report(self, segments: int) -> Report:
        """Return what was found."""
        proven = self._judge_kept()
        if self._quorum.witnesses and self._witnessed is None:
            detail = f"no checkpoint of them was cosigned by {self._quorum} (at most by {self._cosigned})"
            self._problem(Fault.UNWITNESSED, 0, self._covered - 1, detail)
        return Report(
            origin=self._key.name,
            head=self._frontier.head(),
            records=self._records,
            segments=segments,
            checkpoints=self._checkpoints,
            unsigned=len(self._span),
            unfinished=self._unfinished,
            open=len(self._open),
            oldest=self._oldest,
            newest=self._newest,
            problems=tuple(dict.fromkeys(self._problems)),
            proven=proven,
            witnessed=self._witnessed,
            forgotten=self._blanked,
        )

    def _problem(self, fault: Fault, first: int, last: int, detail: str) -> None:
        self._problems.append(Problem(fault, first, max(first, last), detail))


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at)


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of each run of consecutive numbers."""
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = last = number
        elif number == last + 1:
            last = number
        else:
            yield first, last
            first = last = number
    if first is not None and last is not None:
        yield first, last
