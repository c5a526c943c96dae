"""The durable end of the log: the newest segment, the tree over it, and the accesses still open.

Rules: knows nothing of waiting. Tree, size and open accesses advance only when bytes are durable.
INVARIANT (signed order): every checkpoint that leaves this process covers durable records only.
INVARIANT (one batch): a batch is written only after the one before it was synced, so at most one
batch can be torn. `commit`, `settle` and `roll` run in the writer thread, one at a time.
"""

import contextlib
from asyncio import Future
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from nomoat.audit.checkpoint import NoteSigner, sign_checkpoint
from nomoat.audit.entries import Draft, SealedRecord
from nomoat.audit.hashes import StoredHashes
from nomoat.audit.segments import CHECKPOINT_FILE, FrameKind, OpenAccess, SegmentHeader, encode_frame, segment_path
from nomoat.audit.tree import Frontier, Head, leaf_hash
from nomoat.core.record import Receipt, Record, RecordKind
from nomoat.stores.segments import Files, Segment


@dataclass(slots=True)
class Item:
    """A record on its way to the disk. `access` gives the pseudonyms when the names are not known."""

    record: Record
    waiter: "Future[Receipt] | None" = None
    access: OpenAccess | None = None

    @property
    def must_be_kept(self) -> bool:
        """Whether it is tried again after a failure: nobody waits for it, or it has priority."""
        return self.waiter is None or self.record.priority


class Stamped(NamedTuple):
    """A draft with its time: Unix milliseconds, and the same as RFC 3339."""

    draft: Draft
    at: int
    text: str


class Other(Enum):
    """What a record is that neither begins nor ends an access."""

    REFUSAL = "a refusal"
    REMARK = "something else"


Effect: TypeAlias = OpenAccess | int | Other
"""What a record does to the open accesses: begins one, ends the one of that number, or nothing."""

_AROUND: Final = 768  # bytes of a frame around its content, about


@dataclass(slots=True)
class Kept:
    """How many records of each sort this process kept."""

    opened: int = 0
    closed: int = 0
    refused: int = 0


@dataclass(slots=True)
class Batch:
    """Records that are written and synced together, about `size` bytes; `kept` is set once a failed one was settled.

    They are gathered as drafts and sealed together, just before they are written: one after the other
    that costs a third less than each between other work. After that only their bytes stay in memory, and
    in `again`, by its place, what would have to be sealed anew after a failure.
    """

    first: int
    waiters: list["Future[Receipt] | None"] = field(default_factory=list["Future[Receipt] | None"])
    again: dict[int, Item] = field(default_factory=dict[int, Item])
    drafts: list[Stamped] = field(default_factory=list[Stamped])
    frames: list[bytes] = field(default_factory=list[bytes])
    leaves: list[bytes] = field(default_factory=list[bytes])
    effects: list[Effect] = field(default_factory=list[Effect])
    latest: int = 0
    size: int = 0
    kept: int | None = None

    def __len__(self) -> int:
        return len(self.waiters)

    def add(self, item: Item, stamped: Stamped) -> None:
        """Add the record that becomes number `first + len(self)`."""
        if item.must_be_kept:
            self.again[len(self.waiters)] = item
        self.waiters.append(item.waiter)
        self.drafts.append(stamped)
        self.size += len(stamped.draft.content) + _AROUND

    def seal(self, seal: Callable[[Draft, int, str], SealedRecord]) -> None:
        """Make entries, boxes and leaves of the drafts."""
        for index, (draft, at, text) in enumerate(self.drafts, self.first):
            entry, box = seal(draft, index, text)
            self.frames.append(encode_frame(FrameKind.RECORD, entry, box))
            self.leaves.append(leaf_hash(entry))
            self.effects.append(_effect(index, draft))
            self.latest = max(self.latest, at)
        self.drafts.clear()

    def receipts(self) -> Iterator[tuple["Future[Receipt] | None", Receipt]]:
        """Yield each record's waiter with what proves the record's keeping."""
        return zip(self.waiters, map(Receipt, count(self.first), self.leaves), strict=True)


def _effect(index: int, draft: Draft) -> Effect:
    if draft.kind == RecordKind.OUTCOME:
        return draft.of if draft.of is not None else Other.REMARK
    if draft.kind == RecordKind.OPENING:
        if draft.decision == "allow":
            return OpenAccess(index, draft.who, draft.on, draft.session, draft.what)
        return Other.REFUSAL
    return Other.REMARK


@dataclass(slots=True)
class Tail:
    """What is durable. `signed` is the head that `note` is the signed checkpoint of."""

    directory: Path
    files: Files
    signer: NoteSigner
    segment: Segment
    ordinal: int
    frontier: Frontier
    open: dict[int, OpenAccess]
    latest: int
    hashes: StoredHashes
    note: bytes
    signed: Head
    grown: Frontier = field(default_factory=Frontier)
    completed: list[bytes] = field(default_factory=list[bytes])
    counted: Kept = field(default_factory=Kept)

    def prepare(self, batch: Batch) -> None:
        """Grow a copy of the tree by the batch. In the loop: there it costs half (GIL hand-over)."""
        self.grown = self.frontier.copy()
        self.completed = self.grown.extend(batch.leaves)

    def commit(self, batch: Batch) -> bytes:
        """Write the batch and a checkpoint of the tree with it; return the checkpoint, durable.

        Raises `OSError`: then nothing is known of the batch until `settle`.
        """
        note = sign_checkpoint(self.signer, self.grown.head())
        self.segment.append(b"".join([*batch.frames, encode_frame(FrameKind.CHECKPOINT, note, b"")]))
        self.hashes.add(self.completed)
        return note

    def advance(self, batch: Batch, note: bytes) -> None:
        """Count a committed batch."""
        self.frontier = self.grown
        self.note, self.signed = note, self.frontier.head()
        self._count(batch, len(batch))

    def settle(self, batch: Batch) -> None:
        """After a failed commit: keep the whole records that reached the file, cut the rest, durably.

        Sets `batch.kept`; their checkpoint is signed anew when the next segment begins. Raises
        `OSError`; may be called again.
        """
        if batch.kept is not None:
            return
        found, length, kept = self.segment.tail(), 0, 0
        for frame in batch.frames:
            if found[length : length + len(frame)] != frame:
                break
            length, kept = length + len(frame), kept + 1
        self.segment.settle(found[:length])
        self.hashes.add(self.frontier.extend(batch.leaves[:kept]))
        self._count(batch, kept)
        batch.kept = kept

    def roll(self) -> None:
        """Go on in a new segment, whose header makes the older ones unnecessary for recovery.

        Raises `OSError`; may be called again.
        """
        note = sign_checkpoint(self.signer, self.frontier.head())
        header = SegmentHeader(self.ordinal + 1, self.frontier, note, self.latest, tuple(self.open.values()))
        segment = Segment.create(self.files, segment_path(self.directory, self.ordinal + 1), header.encode())
        old, self.segment, self.ordinal = self.segment, segment, self.ordinal + 1
        self.note, self.signed = note, self.frontier.head()
        old.close()
        # Only a cache: after a crash, hashes before the newest segment are found whole or made anew.
        with contextlib.suppress(OSError):
            self.hashes.sync()

    def publish(self) -> bytes:
        """Replace the file that people copy checkpoints from; return what it holds. Raises `OSError`."""
        note = self.note
        self.files.replace(self.directory / CHECKPOINT_FILE, note)
        return note

    def close(self) -> None:
        """Close the files."""
        self.segment.close()
        self.hashes.close()

    def _count(self, batch: Batch, kept: int) -> None:
        self.latest = max(self.latest, batch.latest)
        for effect in batch.effects[:kept]:
            if isinstance(effect, OpenAccess):
                self.open[effect.opening] = effect
                self.counted.opened += 1
            elif isinstance(effect, int):
                self.open.pop(effect, None)
                self.counted.closed += 1
            elif effect is Other.REFUSAL:
                self.counted.refused += 1
