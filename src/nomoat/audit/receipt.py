"""Receipts: one record's place in the log, verifiable offline by anybody (c2sp.org/tlog-proof, v1).

Rules: pure. A receipt is an index, an inclusion proof and a checkpoint; its extra line carries the record's
entry, which is believed only because its hash is the leaf that the proof leads from. What an entry says in
pseudonyms, an opening says in words: the salt and the content that the entry commits to.
"""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from nomoat.audit.checkpoint import (
    NOTE_LIMIT,
    Checkpoint,
    VerifierKey,
    parse_hash,
    parse_size,
    verify_checkpoint,
)
from nomoat.audit.entries import CONTENT_LIMIT, verify_commitment
from nomoat.audit.leaf import Leaf, parse_leaf
from nomoat.audit.quorum import NOBODY, Quorum
from nomoat.audit.segments import ENTRY_LIMIT, parse_object
from nomoat.audit.tree import leaf_hash, verify_inclusion
from nomoat.core.errors import Corrupt, Malformed
from nomoat.core.record import Json

SUFFIX: Final = ".tlog-proof"
MAGIC: Final = "c2sp.org/tlog-proof@v1"
PROOF_LIMIT: Final = 63
RECEIPT_LIMIT: Final = NOTE_LIMIT + 64 * PROOF_LIMIT + 2 * ENTRY_LIMIT
OPENING_LIMIT: Final = 8 * CONTENT_LIMIT


@dataclass(frozen=True, slots=True)
class Receipt:
    """A parsed receipt: nothing of it may be believed before `verify_receipt` returned it."""

    index: int
    proof: tuple[bytes, ...]
    note: bytes
    entry: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """A receipt that verified. `witnesses` are the names of the witnesses that cosigned, with when (Unix seconds)."""

    leaf: Leaf
    entry: bytes
    checkpoint: Checkpoint
    witnesses: tuple[tuple[str, int], ...]


def encode_receipt(receipt: Receipt) -> bytes:
    """Return a receipt's bytes."""
    lines = [
        MAGIC,
        f"extra {b64encode(receipt.entry).decode()}",
        f"index {receipt.index}",
        *(b64encode(step).decode() for step in receipt.proof),
    ]
    return ("\n".join(lines) + "\n\n").encode() + receipt.note


def parse_receipt(data: bytes) -> Receipt:
    """Parse a receipt; nothing is verified. Raises `Malformed`."""
    if len(data) > RECEIPT_LIMIT:
        raise Malformed(f"a receipt has at most {RECEIPT_LIMIT} bytes")
    head, blank, note = data.partition(b"\n\n")
    if not blank or not head.isascii():
        raise Malformed("a receipt is a proof, an empty line and a checkpoint")
    magic, *lines = head.decode("ascii").split("\n")
    if magic != MAGIC:
        raise Malformed(f"a receipt begins with {MAGIC}")
    extra = lines.pop(0) if lines and lines[0].startswith("extra ") else ""
    if not lines or not lines[0].startswith("index "):
        raise Malformed("a receipt says the index of its record")
    if not extra:
        raise Malformed("this proof does not carry the record's entry (its extra line)")
    index, steps = parse_size(lines[0].removeprefix("index ")), lines[1:]
    if len(steps) > PROOF_LIMIT:
        raise Malformed(f"an inclusion proof has at most {PROOF_LIMIT} hashes")
    return Receipt(index, tuple(parse_hash(step) for step in steps), note, _decode(extra.removeprefix("extra ")))


def verify_receipt(data: bytes, key: VerifierKey, quorum: Quorum = NOBODY) -> Proven:
    """Check that the log `key` has the receipt's record, under a checkpoint that a quorum cosigned; return what it proves.

    Raises `Malformed` when it does not parse, `Corrupt` when it does not verify.
    """
    receipt = parse_receipt(data)
    checkpoint = verify_checkpoint(receipt.note, key)
    verify_inclusion(leaf_hash(receipt.entry), receipt.index, checkpoint.head, receipt.proof)
    leaf = parse_leaf(receipt.entry)
    if leaf.number != receipt.index:
        raise Corrupt("a receipt whose entry says another number than its place")
    cosigned = quorum.cosignatures(checkpoint)
    if len(cosigned) < quorum.needed:
        raise Corrupt(f"a checkpoint that {len(cosigned)} of the witnesses cosigned, where {quorum.needed} have to,")
    return Proven(leaf, receipt.entry, checkpoint, cosigned)


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens one record's commitment: the salt (32 bytes) and the content, byte for byte."""

    number: int
    salt: bytes
    content: bytes

    def encode(self) -> bytes:
        """Return it as JSON."""
        fields = {
            "record": self.number,
            "salt": b64encode(self.salt).decode(),
            "content": b64encode(self.content).decode(),
        }
        return json.dumps(fields, indent=1).encode() + b"\n"


def parse_opening(data: bytes) -> Opening:
    """Parse an opening. Raises `Malformed`."""
    if len(data) > OPENING_LIMIT:
        raise Malformed(f"an opening has at most {OPENING_LIMIT} bytes")
    fields = parse_object(data, "an opening")
    number, salt, content = (fields.get(name) for name in ("record", "salt", "content"))
    if set(fields) != {"record", "salt", "content"} or type(number) is not int:
        raise Malformed("an opening is a record's number, a salt and a content")
    return Opening(number, _decode(str(salt)), _decode(str(content)))


def verify_opening(opening: Opening, proven: Proven) -> Mapping[str, Json]:
    """Check that a proven record says what `opening` says; return its readable content. Raises `Corrupt`."""
    if opening.number != proven.leaf.number:
        raise Corrupt("an opening of another record")
    content = verify_commitment(proven.leaf.fields, opening.salt, opening.content)
    return cast("Mapping[str, Json]", parse_object(content, "its content"))


def _decode(text: str) -> bytes:
    try:
        value = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise Malformed("not base64 (RFC 4648, section 4)") from None
    if b64encode(value).decode() != text:
        raise Malformed("not canonical base64")
    return value
