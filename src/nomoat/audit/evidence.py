"""Evidence: what a running log hands out for others to verify, tiles, entry bundles and receipts.

Rules: a receipt is verified before it leaves. It is made for a checkpoint that witnesses cosigned where one
covers the record, because that one also shows that nobody is shown another log. An index only says where a
record lies; what is found there must hash to the leaf that the tree has.
"""

import asyncio
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol, final

from nomoat.audit.checkpoint import Checkpoint, parse_checkpoint
from nomoat.audit.entries import SubjectKeys, unseal_box
from nomoat.audit.forgotten import trusted_forgotten
from nomoat.audit.frames import Place, Segments
from nomoat.audit.log import Log
from nomoat.audit.receipt import Opening, Receipt, encode_receipt, verify_receipt
from nomoat.audit.segments import Frame
from nomoat.audit.tiles import Tile, encode_bundle, encode_hashes, require_within
from nomoat.audit.tree import inclusion_proof, leaf_hash
from nomoat.core.errors import Conflict, Corrupt, NotFound


class Places(Protocol):
    """Who may know where a record lies. What it says is a hint."""

    def place(self, number: int) -> Place | None:
        """Return where a record lies, None if that is not known."""
        ...


@final
class Evidence:
    """The provable side of a log, for readers. `witnessed` gives the newest checkpoint that enough witnesses cosigned.

    `keys` are the subjects' keys, `places` what knows where records lie.
    """

    def __init__(
        self,
        log: Log,
        directory: Path,
        keys: SubjectKeys,
        places: Places | None = None,
        witnessed: Callable[[], Checkpoint | None] = lambda: None,
    ) -> None:
        self._log = log
        self._keys = keys
        self._places = places
        self._witnessed = witnessed
        self._directory = directory
        self._segments = Segments(directory)

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint that enough witnesses cosigned; the newest one if there are no witnesses."""
        witnessed = self._witnessed()
        return self._log.checkpoint() if witnessed is None else witnessed.note

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile. Raises `Malformed`, `NotFound`, `Corrupt`."""
        tile = Tile(level, index, width)
        require_within(tile, self._log.signed.size)
        return encode_hashes(tile, self._log.hash_at)

    async def bundle(self, index: int, width: int) -> bytes:
        """Return an entry bundle. Raises as `tile` does. Work is done in a thread."""
        tile = Tile(0, index, width)
        require_within(tile, self._log.signed.size)
        return await asyncio.to_thread(self._bundle, tile)

    async def receipt(self, number: int, *, disclose: bool) -> tuple[bytes, Opening | None]:
        """Return the receipt of a record, verified, and with `disclose` the opening of its content.

        Raises `NotFound` for a number that the log does not have (yet), `Conflict` when the content was
        erased or forgotten and is to be disclosed, `Corrupt` when the log's files do not hold, `Unavailable` when the
        keys cannot be read. Work is done in a thread.
        """
        newest = parse_checkpoint(self._log.checkpoint())
        witnessed = self._witnessed()
        checkpoint = newest if witnessed is None or witnessed.size <= number else witnessed
        if not 0 <= number < checkpoint.size:
            raise NotFound(f"the log has no record {number}", kind="entry")
        return await asyncio.to_thread(self._receipt, number, checkpoint, disclose)

    def _bundle(self, tile: Tile) -> bytes:
        return encode_bundle([frame.entry for frame in self._frames(tile.first, tile.width)])

    def _receipt(self, number: int, checkpoint: Checkpoint, disclose: bool) -> tuple[bytes, Opening | None]:
        (frame,) = self._frames(number, 1)
        proof = inclusion_proof(number, checkpoint.size, self._log.hash_at)
        data = encode_receipt(Receipt(number, tuple(proof), checkpoint.note, frame.entry))
        proven = verify_receipt(data, self._log.verifier_key)
        if not disclose:
            return data, None
        return data, self._open(proven.leaf.fields, frame)

    def _open(self, fields: Mapping[str, object], frame: Frame) -> Opening:
        number = int(str(fields["n"]))
        gone = Conflict(f"the content of record {number} was erased or forgotten; prove it without its content")
        if trusted_forgotten(self._log.directory, self._log.verifier_key).covers(fields):
            raise gone
        key = self._keys.find(str(fields["who"]))
        try:
            if key is not None:
                salt, content = unseal_box(self._log.verifier_key.name, fields, frame.body, key)
                return Opening(number, salt, content)
        except Corrupt:
            if not self._is_gone(fields, frame.body):
                raise
        raise gone

    def _is_gone(self, fields: Mapping[str, object], box: bytes) -> bool:
        """Whether content that does not open is gone for a reason: its subject was erased and is back with a new key."""
        return sha256(box).hexdigest() == fields["sealed"] and self._keys.erased(str(fields["who"])) is not None

    def _frames(self, first: int, count: int) -> list[Frame]:
        hint = self._places.place(first) if self._places else None
        frames = self._segments.records(first, count, hint)
        for number, frame in enumerate(frames, first):
            if leaf_hash(frame.entry) != self._log.hash_at(0, number):
                raise Corrupt(f"record {number} of the log")
        return frames
