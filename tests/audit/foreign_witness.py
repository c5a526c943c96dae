"""A witness that somebody else might run: c2sp.org/tlog-witness on a foreign parser and verifier, with faults.

Nothing of it is NoMoat's but the type of an HTTP answer.
"""

import base64
import os

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tlog_scales.signing import NoteSignature, Vkey
from tlog_scales.tlog import Checkpoint, ConsistencyProof, ConsistencyProofInvalid
from tlog_scales.utils import sha256

from nomoat.audit.witness import WitnessAnswer

FAULTS = ("down", "forgetful", "ahead", "other-key", "other-text", "plain-signature", "cut", "garbage", "redirect")
EMPTY = sha256(b"")


class ForeignWitness:
    """Cosigns the log whose verifier key is `log`. `fault` is one of `FAULTS`, or `chatty`."""

    def __init__(self, log: str, fault: str = "") -> None:
        self._log = Vkey.from_string(log)
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
        self._fault = fault
        self._size, self._root = 0, EMPTY
        self._vkey = Vkey("foreign.example/witness", None, 4, self._key.public_key().public_bytes_raw())
        self.vkey: str = self._vkey.serialize()

    async def post(self, body: bytes) -> WitnessAnswer:
        """Answer `add-checkpoint`."""
        head, _, note = body.decode().partition("\n\n")
        first, *steps = head.split("\n")
        checkpoint = Checkpoint.from_text(note)
        if checkpoint.origin != self._log.name:
            return WitnessAnswer(404, b"")
        checkpoint.verify(self._log)
        old = int(first.removeprefix("old "))
        if wrong := self._wrong():
            return wrong
        if old > checkpoint.size:
            return WitnessAnswer(400, b"")
        if old != self._size or (old == checkpoint.size and self._root != checkpoint.root_hash):
            return WitnessAnswer(409, b"%d\n" % self._size, "text/x.tlog.size")
        try:
            proof = ConsistencyProof(old, checkpoint.size, [base64.b64decode(step) for step in steps])
            proof.check(self._root, checkpoint.root_hash)
        except ConsistencyProofInvalid:
            return WitnessAnswer(422, b"")
        self._size, self._root = checkpoint.size, checkpoint.root_hash
        return WitnessAnswer(200, self._lines(checkpoint).encode())

    def _wrong(self) -> WitnessAnswer | None:
        """What a witness at fault answers, whatever it is asked."""
        match self._fault:
            case "down":
                return WitnessAnswer(503, b"later")
            case "forgetful":
                return WitnessAnswer(409, b"0\n", "text/x.tlog.size")
            case "ahead":
                return WitnessAnswer(409, b"9999\n", "text/x.tlog.size")
            case "garbage":
                return WitnessAnswer(200, os.urandom(500))
            case "redirect":
                return WitnessAnswer(302, b"")
            case _:
                return None

    def _lines(self, checkpoint: Checkpoint) -> str:
        body = checkpoint.serialize_body()
        key = Ed25519PrivateKey.generate() if self._fault == "other-key" else self._key
        text = body.replace(f"\n{checkpoint.size}\n", "\n1\n") if self._fault == "other-text" else body
        at = 1_795_000_000
        stamped = at.to_bytes(8) + key.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        value = key.sign(text.encode()) if self._fault == "plain-signature" else stamped
        line = NoteSignature.from_vkey_signature(self._vkey, value).serialize() + "\n"
        if self._fault == "cut":
            return line[:40]
        if self._fault == "chatty":
            another = Vkey(self._vkey.name, None, 6, os.urandom(1312))
            more = NoteSignature.from_vkey_signature(another, os.urandom(8 + 2420)).serialize() + "\n"
            return more + NoteSignature("other.example", 7, os.urandom(72)).serialize() + "\n" + line
        return line
