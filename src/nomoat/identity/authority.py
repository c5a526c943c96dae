"""The certificate authority of one trust domain: self-signed, issuing X.509-SVIDs for at most an hour.

Rules: of a signing request only the key and the proof that the caller holds it are used; every name
and extension that it asks for is ignored. A leaf carries exactly one URI, no power to sign, and in
its subject only the session's id: a handle into the session table, never a name to trust.
What a leaf may be used for follows X.509-SVID, sections 4.1 to 4.4. The gateway's own certificate
has host names and no SPIFFE ID, so neither can stand in for the other.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from nomoat.core.errors import Corrupt, Malformed, Misuse, TooLarge
from nomoat.identity.keys import (
    create_key,
    load_private_key,
    parse_public_key,
    require_p256,
    thumbprint,
    write_public_key,
)
from nomoat.identity.trust_domain import TrustDomain

SVID_LIFE: Final = 3600  # seconds
SERVER_LIFE: Final = 90 * 86400
AUTHORITY_LIFE: Final = 10 * 365 * 86400
BACKDATED: Final = 60  # seconds by which a verifier's clock may be behind
LONGEST_REQUEST: Final = 16 * 1024

_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate (PEM), its thumbprint (RFC 8705, section 3.1) and its end in Unix seconds."""

    pem: str
    thumbprint: str
    not_after: int


@final
class CertificateAuthority:
    """Issues the certificates of `trust_domain`; `certificate` is its own (PEM)."""

    def __init__(self, trust_domain: TrustDomain, key: ec.EllipticCurvePrivateKey, root: x509.Certificate) -> None:
        self.trust_domain = trust_domain
        self.certificate = root.public_bytes(Encoding.PEM).decode("ascii")
        self.fingerprint = root.fingerprint(hashes.SHA256())
        self._key = key
        self._root = root

    @staticmethod
    def create(trust_domain: TrustDomain, now: float) -> tuple[bytes, str]:
        """Make a new authority: its private key (PKCS #8, DER) and its certificate (PEM).

        The certificate is itself an SVID without a path (X.509-SVID, section 3.2) and may not sign
        further authorities.
        """
        secret = create_key()
        key = load_private_key(secret)
        # A common name holds 64 characters (RFC 5280, appendix A.1); the SPIFFE ID is what counts.
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"NoMoat {trust_domain.name}"[:64])])
        builder = (
            _builder(key.public_key(), name, now, AUTHORITY_LIFE)
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(trust_domain.id)]), False)
        )
        root = builder.sign(key, hashes.SHA256())
        return secret, root.public_bytes(Encoding.PEM).decode("ascii")

    @classmethod
    def from_keys(cls, trust_domain: TrustDomain, private_key: bytes, certificate: str) -> "CertificateAuthority":
        """Load an authority that `create` made; raise `Corrupt` if the parts do not belong together."""
        key = load_private_key(private_key)
        try:
            root = x509.load_pem_x509_certificate(certificate.encode())
            names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, x509.ExtensionNotFound):
            raise Corrupt("the CA certificate") from None
        if root.public_key() != key.public_key() or list(names) != [x509.UniformResourceIdentifier(trust_domain.id)]:
            raise Corrupt("the CA certificate")
        return cls(trust_domain, key, root)

    def issue(self, request: bytes, *, spiffe_id: str, session: str, lifetime: float, now: float) -> IssuedCertificate:
        """Issue an X.509-SVID for the key of a signing request (PEM).

        `lifetime` is in seconds, at most `SVID_LIFE`. Raises `Malformed` or `TooLarge` for the request
        (see `parse_request`), `Unauthenticated` for a SPIFFE ID that is not of this trust domain.
        """
        self.trust_domain.parse(spiffe_id)
        if not 0 < lifetime <= SVID_LIFE:
            raise Misuse(f"an SVID lives at most {SVID_LIFE} s, not {lifetime:g} s")
        subject = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, session)])
        names = [x509.UniformResourceIdentifier(spiffe_id)]
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        return self._leaf(parse_public_key(parse_request(request)), subject, names, purposes, lifetime, now)

    def server_certificate(
        self, public_key: bytes, hosts: Sequence[str], *, now: float, lifetime: float = SERVER_LIFE
    ) -> IssuedCertificate:
        """Issue the gateway's own certificate for its public key (DER) and its host names and addresses.

        Raises `Malformed` for a host that is neither, or when there is none.
        """
        if not hosts:
            raise Malformed("a server certificate needs at least one host name or address")
        names = [_host(host) for host in hosts]
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "NoMoat gateway")])
        key = parse_public_key(public_key)
        return self._leaf(key, subject, names, [ExtendedKeyUsageOID.SERVER_AUTH], lifetime, now)

    def signer_certificate(self, public_key: ec.EllipticCurvePublicKey, spiffe_id: str, now: float) -> x509.Certificate:
        """Issue what says that a key signs statements (RFC 5280, 4.2.1.12: code signing, and nothing of TLS) as `spiffe_id`.

        It lives as long as the authority: what was signed has to be verifiable for as long.
        """
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "NoMoat signer")])
        names = [x509.UniformResourceIdentifier(spiffe_id)]
        lifetime = self._root.not_valid_after_utc.timestamp() - now
        issued = self._leaf(public_key, subject, names, [ExtendedKeyUsageOID.CODE_SIGNING], lifetime, now)
        return x509.load_pem_x509_certificate(issued.pem.encode())

    def _leaf(
        self,
        key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        names: Sequence[x509.GeneralName],
        purposes: Sequence[x509.ObjectIdentifier],
        lifetime: float,
        now: float,
    ) -> IssuedCertificate:
        builder = (
            _builder(key, subject, now, lifetime)
            .issuer_name(self._root.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        leaf = builder.sign(self._key, hashes.SHA256())
        return IssuedCertificate(
            pem=leaf.public_bytes(Encoding.PEM).decode("ascii"),
            thumbprint=thumbprint(leaf.public_bytes(Encoding.DER)),
            not_after=int(leaf.not_valid_after_utc.timestamp()),
        )


def parse_request(request: bytes) -> bytes:
    """Return the public key (DER) that a signing request (PEM, RFC 2986) proves possession of.

    Raises `TooLarge` over 16 KiB, `Malformed` when it does not parse, its signature does not verify,
    or its key is not P-256. Names and extensions in it are not looked at.
    """
    if len(request) > LONGEST_REQUEST:
        raise TooLarge(f"a signing request has at most {LONGEST_REQUEST} bytes")
    try:
        parsed = x509.load_pem_x509_csr(request)
        key = require_p256(parsed.public_key())
        valid = parsed.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256 and parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise Malformed("the certificate signing request does not parse") from None
    if not valid:
        raise Malformed("the certificate signing request is not signed by its own key with ECDSA and SHA-256")
    return write_public_key(key)


def _builder(
    key: ec.EllipticCurvePublicKey, subject: x509.Name, now: float, lifetime: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(now) - BACKDATED, UTC))
        .not_valid_after(datetime.fromtimestamp(int(now + lifetime), UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if not _HOST.fullmatch(text):
            raise Malformed(f"{text!r:.80} is neither a host name in lower case nor an IP address") from None
        return x509.DNSName(text)
