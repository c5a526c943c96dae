"""Signed envelopes: DSSE v1 (github.com/secure-systems-lab/dsse), with exactly one signature.

Rules: what is signed is the type and the payload, each with its length (PAE), so neither passes for the
other. The key id in an envelope is signed by nobody, so it must be empty.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nomoat.attestation import keys
from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.fields import Fields
from nomoat.attestation.keys import PrivateKey, PublicKey
from nomoat.core.errors import Malformed

STATEMENT_TYPE: Final = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type and a signature. Nothing in it may be believed before `verify` returned it."""

    payload: bytes
    signature: bytes
    payload_type: str = STATEMENT_TYPE

    def encode(self) -> Mapping[str, object]:
        """Return the envelope as JSON fields."""
        return {
            "payload": b64encode(self.payload).decode("ascii"),
            "payloadType": self.payload_type,
            "signatures": [{"sig": b64encode(self.signature).decode("ascii"), "keyid": ""}],
        }

    def verify(self, key: PublicKey) -> bytes:
        """Return the payload if `key` signed it as an in-toto statement; raise `NotVerified`, `Malformed` otherwise."""
        if not keys.is_signed_by(key, pae(self.payload_type, self.payload), self.signature):
            raise NotVerified("the signature is not by the key that it names", Reason.SIGNATURE)
        if self.payload_type != STATEMENT_TYPE:
            raise Malformed(f"what was signed is no in-toto statement, but {self.payload_type!r:.80}")
        return self.payload


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of DSSE v1."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: PrivateKey) -> Envelope:
    """Sign an in-toto statement. Raises `Malformed` for a key of a kind that signs none."""
    return Envelope(payload, keys.sign(key, pae(STATEMENT_TYPE, payload)))


def parse_envelope(value: object) -> Envelope:
    """Parse an envelope; nothing is verified. Raises `Malformed`."""
    fields = Fields(value, "the envelope", ("payload", "payloadType", "signatures"))
    signatures = fields.items("signatures", 16)
    if len(signatures) != 1:
        raise Malformed(f"the envelope has {len(signatures)} signatures, where a bundle has one")
    signature = Fields(signatures[0], "the envelope's signature", ("sig", "keyid"))
    if signature.value.get("keyid", "") != "":
        raise Malformed("the envelope names a key by a text that nobody signed")
    return Envelope(fields.base64("payload"), signature.base64("sig"), fields.text("payloadType"))
