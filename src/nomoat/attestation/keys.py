"""The keys that sign statements: ECDSA over P-256 and P-384, and Ed25519.

Rules: the hash follows from the curve (SHA-256, SHA-384), as OpenSSF Model Signing has it, so no signature
chooses its algorithm.
"""

from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from nomoat.core.errors import Malformed

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

KEYS: Final = "an ECDSA key on P-256 or P-384, or an Ed25519 key"


def require_public_key(key: object) -> PublicKey:
    """Return `key` if it is of a kind that signs statements; raise `Malformed` otherwise."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    raise Malformed(f"a statement is signed with {KEYS}")


def parse_public_key(pem: bytes) -> PublicKey:
    """Parse a public key (PEM, SubjectPublicKeyInfo); raise `Malformed`."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed(f"this is no public key in PEM ({KEYS})") from None
    return require_public_key(key)


def key_id(key: PublicKey) -> str:
    """Return what a bundle calls a key: the SHA-256 (hex) of its PEM, as OpenSSF Model Signing names keys."""
    return sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Sign `message`; an ECDSA signature is in DER. Raises `Malformed` for a key of another kind."""
    public = require_public_key(key.public_key())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, _ecdsa(public))


def is_signed_by(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether `key` signed `message`."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            key.verify(signature, message, _ecdsa(key))
    except InvalidSignature:
        return False
    return True


def _ecdsa(key: PublicKey) -> ec.ECDSA:
    wide = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)
    return ec.ECDSA(hashes.SHA384() if wide else hashes.SHA256())
