"""P-256 keys as bytes: the only kind of key that identifies anyone here.

Rules: private keys are PKCS #8 (DER), public keys SubjectPublicKeyInfo (DER). Any other algorithm or
curve is refused where it is parsed.
"""

import base64
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from nomoat.core.errors import Corrupt, Malformed


def create_key() -> bytes:
    """Make a new P-256 private key (PKCS #8, DER, unencrypted: wrap it before it is stored)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load_private_key(data: bytes) -> ec.EllipticCurvePrivateKey:
    """Load a stored private key; raise `Corrupt` if it is not a P-256 key."""
    try:
        key = load_der_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Corrupt("a private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Corrupt("a private key")
    return key


def parse_public_key(data: bytes) -> ec.EllipticCurvePublicKey:
    """Parse a public key; raise `Malformed` if it is not a P-256 key."""
    try:
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("the public key does not parse") from None
    return require_p256(key)


def require_p256(key: object) -> ec.EllipticCurvePublicKey:
    """Return `key` if it is a P-256 public key; raise `Malformed` otherwise."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Malformed("only P-256 keys are accepted; make one with: openssl ecparam -name prime256v1 -genkey")
    return key


def write_public_key(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as SubjectPublicKeyInfo (DER)."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_key(private_key: bytes) -> bytes:
    """Return the public key (SubjectPublicKeyInfo, DER) of a private key; raise `Corrupt` if it is none."""
    return write_public_key(load_private_key(private_key).public_key())


def thumbprint(data: bytes) -> str:
    """Return the SHA-256 of a certificate or public key (DER) as RFC 8705, section 3.1 writes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
