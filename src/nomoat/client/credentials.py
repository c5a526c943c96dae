"""The private key of a profile and what is made with it: signing requests and device assertions.

Rules: P-256 only. The key is made here, kept in the profile, and never sent. A certificate that the
gateway issues is checked against the key and the pinned CA before it replaces the old one.
"""

import secrets
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc import jwt
from joserfc.jwk import ECKey

from nomoat.client.errors import Untrusted

ASSERTION_LIFE: Final = 60  # seconds; the gateway accepts no longer one

DeviceKey = ec.EllipticCurvePrivateKey


def create_key() -> DeviceKey:
    """Make a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def write_key(key: DeviceKey) -> bytes:
    """Return the key as PEM (PKCS #8, not encrypted: the file's mode protects it)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_key(pem: bytes) -> DeviceKey:
    """Parse a P-256 private key; raise `ValueError` for anything else."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:  # it wants a password, or is of an odd kind
        raise ValueError("not a P-256 key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")  # noqa: TRY004  # one error for whatever is not such a key
    return key


def signing_request(key: DeviceKey) -> str:
    """Return a certificate signing request (PEM) without any name: the gateway says who it is for."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def device_assertion(key: DeviceKey, *, device: str, trust_domain: str, now: float) -> str:
    """Return a JWT by which a registered device proves its key (after RFC 7523, section 3); one use."""
    claims = {
        "iss": device,
        "sub": device,
        "aud": f"spiffe://{trust_domain}",
        "iat": int(now),
        "exp": int(now) + ASSERTION_LIFE,
        "jti": secrets.token_urlsafe(24),
    }
    return jwt.encode({"alg": "ES256", "kid": device}, claims, ECKey.import_key(write_key(key)), ["ES256"])


def fingerprint(ca: str) -> bytes:
    """Return the SHA-256 fingerprint of a certificate (PEM); raise `Untrusted` if it is not one."""
    return _parse_certificate(ca.encode()).fingerprint(hashes.SHA256())


def validity(certificate: bytes) -> tuple[float, float]:
    """Return from when and until when a certificate (PEM) is valid, in Unix seconds."""
    parsed = _parse_certificate(certificate)
    return parsed.not_valid_before_utc.timestamp(), parsed.not_valid_after_utc.timestamp()


def verify_issued(certificate: str, *, ca: str, key: DeviceKey, spiffe_id: str) -> datetime:
    """Check that an issued certificate is for `key` and `spiffe_id` and by `ca`; return its end.

    Raises `Untrusted`. X.509-SVID, section 2: exactly one URI in the subject alternative names.
    """
    leaf, root = _parse_certificate(certificate.encode()), _parse_certificate(ca.encode())
    try:
        leaf.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError):
        raise Untrusted("the issued certificate is not by the trust domain's CA") from None
    if leaf.public_key() != key.public_key():
        raise Untrusted("the issued certificate is for another key")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise Untrusted("the issued certificate names nobody") from None
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [spiffe_id]:
        raise Untrusted("the issued certificate names somebody else")
    return leaf.not_valid_after_utc.astimezone(UTC)


def _parse_certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise Untrusted("what should be a certificate is not one") from None
