"""Client certificates → evidence of who is at the other end.

Rules: the handshake has proven possession of the key and the chain; this checks again that the CA of
this very trust domain signed it, and everything that X.509-SVID, section 5.2 demands of a leaf. Only
what verified is cached, by the SHA-256 of the whole certificate; time is never part of it: whoever
uses a `Peer` compares `not_before` and `not_after` with the clock on every request, because a live
connection outlasts its certificate.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nomoat.core.errors import Malformed, Unauthenticated
from nomoat.identity.keys import require_p256, thumbprint
from nomoat.identity.trust_domain import Subject, TrustDomain

CACHED: Final = 8192  # certificates; about 1 KiB each


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom a verified certificate speaks for; times in Unix seconds, `thumbprint` as in RFC 8705."""

    subject: Subject
    spiffe_id: str
    session: str
    not_before: int
    not_after: int
    thumbprint: str


@final
class Peers:
    """Verifies client certificates against the CA `certificate` (PEM) of `trust_domain`."""

    def __init__(self, trust_domain: TrustDomain, certificate: str) -> None:
        self._trust_domain = trust_domain
        self._root = x509.load_pem_x509_certificate(certificate.encode())
        self._verified: dict[bytes, Peer] = {}

    def verify(self, certificate: bytes) -> Peer:
        """Return the evidence of a client certificate (DER); raise `Unauthenticated` for what is no SVID of ours."""
        digest = sha256(certificate).digest()
        peer = self._verified.get(digest)
        if peer is None:
            peer = self._verify(certificate)
            while len(self._verified) >= CACHED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = peer
        return peer

    def _verify(self, certificate: bytes) -> Peer:
        try:
            leaf = x509.load_der_x509_certificate(certificate)
            self._require_issued_here(leaf)
            require_p256(leaf.public_key())
            basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
            usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
            purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            names = list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except (ValueError, TypeError, UnsupportedAlgorithm, Malformed, x509.ExtensionNotFound):
            raise Unauthenticated("the certificate is not an X.509-SVID of this gateway", kind="malformed") from None
        if basic.ca or usage.key_cert_sign or usage.crl_sign or not usage.digital_signature:
            raise Unauthenticated("the certificate is a signing certificate, not a leaf", kind="malformed")
        sessions = leaf.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes or len(names) != 1 or len(sessions) != 1:
            raise Unauthenticated("the certificate is not an X.509-SVID of this gateway", kind="malformed")
        (name,) = names
        if not isinstance(name, x509.UniformResourceIdentifier):
            raise Unauthenticated("the certificate does not carry a SPIFFE ID", kind="malformed")
        return Peer(
            subject=self._trust_domain.parse(name.value),
            spiffe_id=name.value,
            session=str(sessions[0].value),
            not_before=int(leaf.not_valid_before_utc.timestamp()),
            not_after=int(leaf.not_valid_after_utc.timestamp()),
            thumbprint=thumbprint(certificate),
        )

    def _require_issued_here(self, leaf: x509.Certificate) -> None:
        try:
            leaf.verify_directly_issued_by(self._root)
        except (InvalidSignature, ValueError, TypeError):  # a signature, name or algorithm that is not the CA's
            raise Unauthenticated("the certificate is not by this trust domain's CA", kind="wrong-issuer") from None
