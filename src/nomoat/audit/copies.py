"""Receipts from a copy of a log: what its public key and its files can prove, without a gateway or a secret.

Rules: pure but for reading files. The stored hashes are tried first and never trusted: the receipt verifies
against the signed checkpoint, or the hashes are made anew from the entries.
"""

from collections.abc import Iterator
from pathlib import Path

from nomoat.audit.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from nomoat.audit.frames import Segments, frames_from
from nomoat.audit.receipt import Receipt, encode_receipt, verify_receipt
from nomoat.audit.segments import CHECKPOINT_FILE, WITNESSED_FILE, FrameKind
from nomoat.audit.stored import StoredTree, read_file
from nomoat.audit.tree import Frontier, ReadHash, inclusion_proof, leaf_hash, position
from nomoat.core.errors import Corrupt, Malformed, NotFound


def prove_from_copy(directory: Path, number: int, key: VerifierKey) -> bytes:
    """Return the receipt of record `number` from a copy of a log's directory, verified with its public key.

    Raises `NotFound` when no checkpoint in the copy covers the record, `Corrupt` when the copy does not hold.
    """
    checkpoint = _covering(directory, number, key)
    (frame,) = Segments(directory).records(number, 1)
    stored = StoredTree(directory)
    try:
        return _receipt(number, checkpoint, frame.entry, stored.hash_at, key)
    except Corrupt:
        pass
    return _receipt(number, checkpoint, frame.entry, _grown(directory), key)


def _receipt(number: int, checkpoint: Checkpoint, entry: bytes, read: ReadHash, key: VerifierKey) -> bytes:
    proof = inclusion_proof(number, checkpoint.size, read)
    data = encode_receipt(Receipt(number, tuple(proof), checkpoint.note, entry))
    verify_receipt(data, key)
    return data


def _covering(directory: Path, number: int, key: VerifierKey) -> Checkpoint:
    """The witnessed checkpoint if it covers the record, else the newest one that does."""
    refused: Malformed | Corrupt | None = None
    for note in _notes(directory):
        try:
            checkpoint = verify_checkpoint(note, key)
        except (Malformed, Corrupt) as error:
            refused = error
            continue
        if number < checkpoint.size:
            return checkpoint
    raise refused or NotFound(f"no checkpoint in this copy covers record {number}", kind="entry")


def _notes(directory: Path) -> Iterator[bytes]:
    """The checkpoints of a copy, in the order of what they are worth."""
    for name in (WITNESSED_FILE, CHECKPOINT_FILE):
        if note := read_file(directory / name):
            yield note
    # The files beside the segments are up to a second old; every batch ends with a checkpoint.
    for start in reversed(Segments(directory).starts()):
        notes = [frame.entry for frame in frames_from(start.path, start.offset) if frame.kind == FrameKind.CHECKPOINT]
        if notes:
            yield notes[-1]
            return


def _grown(directory: Path) -> ReadHash:
    """Make all hashes anew from the entries. Raises `Corrupt` for damaged bytes."""
    completed, frontier = list[bytes](), Frontier()
    for start in Segments(directory).starts():
        frames = frames_from(start.path, start.offset)
        completed += frontier.extend(leaf_hash(frame.entry) for frame in frames if frame.kind == FrameKind.RECORD)

    def read(level: int, index: int) -> bytes:
        at = position(level, index)
        if at >= len(completed):
            raise Corrupt("a log with fewer records than its checkpoint says")
        return completed[at]

    return read
