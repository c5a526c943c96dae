"""Who signed a bundle: one of the keys that are trusted, or a certificate that leads to a trusted authority.

Rules: a certificate is judged at the time that is given, the log's, and never now: a signature does not go bad
because its certificate has ended since. Every certificate of a bundle is part of the path that was verified, so
none is carried unread. Paths are built by `cryptography` (RFC 5280); a certificate whose extended key usages do
not list code signing signs nothing here, so what a workload has for TLS is no signer: but of what its holder signs in
its own name, where nobody but that SPIFFE ID is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from nomoat.attestation.bundle import Bundle, parse_bundle
from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.keys import PublicKey, key_id, require_public_key
from nomoat.attestation.statement import Statement, parse_statement
from nomoat.core.errors import Malformed, Misuse

LATEST: Final = 253402300799  # Unix seconds: the year 9999 ends

# What `cryptography` raises for certificates that do not parse.
_UNPARSED: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whose signatures count: keys, and certificates of authorities.

    `spiffe_id`, if it is not '', is the one SPIFFE ID whose certificate counts; then no bare key does. `usage` is what a
    certificate has to be for: code signing, or what an SVID is for where its own holder signs (`of_svid`).
    """

    keys: tuple[PublicKey, ...] = ()
    authorities: tuple[x509.Certificate, ...] = ()
    spiffe_id: str = ""
    usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING

    @staticmethod
    def of_svid(authorities: tuple[x509.Certificate, ...], spiffe_id: str) -> "Trusted":
        """That the holder of an X.509-SVID of these authorities, for this SPIFFE ID and no other, signs in its own name."""
        if not spiffe_id:
            raise Misuse("whose SVID it has to be")
        return Trusted(authorities=authorities, spiffe_id=spiffe_id, usage=ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed. `key_id` is that of the signer's key; the rest is of the certificate, '' where there is none.

    `not_before` and `not_after` are in Unix seconds (0 without a certificate).
    """

    key_id: str
    spiffe_id: str = ""
    subject: str = ""
    not_before: int = 0
    not_after: int = 0

    def __str__(self) -> str:
        return self.spiffe_id or self.subject or f"key {self.key_id}"


def gateway_signer(trust_domain: str) -> str:
    """Return the SPIFFE ID that the gateway of a trust domain signs as; no person or workload can have it."""
    return f"spiffe://{trust_domain}/gateway/signer"


def verify_signature(data: bytes, trusted: Trusted, at: int) -> tuple[Signer, Statement]:
    """Return who signed a bundle, and the statement in it, as of the time `at` (Unix seconds).

    Raises `NotVerified` for a signature or a signer that does not hold, `Malformed` and `TooLarge` for what does
    not parse.
    """
    bundle = parse_bundle(data)
    key, signer = _by_certificate(bundle, trusted, at) if bundle.certificates else _by_key(bundle, trusted)
    payload = bundle.envelope.verify(key)
    if trusted.spiffe_id and signer.spiffe_id != trusted.spiffe_id:
        _refuse(f"it was signed by {signer}, and not by {trusted.spiffe_id}")
    return signer, parse_statement(payload)


def parse_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Parse certificates (PEM), at least one. Raises `Malformed`."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except _UNPARSED:
        raise Malformed("this is no certificate in PEM") from None


def _by_key(bundle: Bundle, trusted: Trusted) -> tuple[PublicKey, Signer]:
    for key in trusted.keys:
        if key_id(key) == bundle.key_id:
            return key, Signer(bundle.key_id)
    raise NotVerified(f"it names the key {bundle.key_id!r:.80}, which is not trusted here", Reason.SIGNER)


def _by_certificate(bundle: Bundle, trusted: Trusted, at: int) -> tuple[PublicKey, Signer]:
    try:
        leaf, *others = (_load(each) for each in bundle.certificates)
        key = require_public_key(leaf.public_key())
        extensions = leaf.extensions
        signer = Signer(
            key_id(key),
            _spiffe_id(extensions),
            leaf.subject.rfc4514_string(),
            int(leaf.not_valid_before_utc.timestamp()),
            int(leaf.not_valid_after_utc.timestamp()),
        )
    except _UNPARSED:
        raise Malformed("the bundle's certificates do not parse") from None
    if not trusted.authorities:
        _refuse("it was signed with a certificate, and no authority is trusted here")
    if not signer.not_before <= at <= signer.not_after:
        times = f"{_day(signer.not_before)} to {_day(signer.not_after)}"
        raise NotVerified(f"the signer's certificate was valid from {times}, and not at {_day(at)}", Reason.EXPIRED)
    _require_signing(extensions, trusted.usage)
    _require_path(leaf, others, trusted.authorities, at)
    return key, signer


def _load(der: bytes) -> x509.Certificate:
    certificate = x509.load_der_x509_certificate(der)
    if not der.endswith(b"\0" + certificate.signature):
        raise ValueError("a bit string with unused bits, which would be a second spelling of the same certificate")
    return certificate


def _spiffe_id(extensions: x509.Extensions) -> str:
    """Return the SPIFFE ID of a certificate, '' if it has none. Raises `Malformed` for more than one URI."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(found) > 1:  # X.509-SVID, section 2
        raise Malformed("the signer's certificate has more than one URI")
    return found[0] if found and found[0].startswith("spiffe://") and found[0].isprintable() else ""


def _require_signing(extensions: x509.Extensions, wanted: ObjectIdentifier) -> None:
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        _refuse("the signer's certificate does not say that it may sign (key usage)")
    if not usage.digital_signature:
        _refuse("the signer's certificate may not sign (key usage)")
    for each in extensions:
        match each.value:
            case x509.BasicConstraints(ca=True):
                _refuse("it was signed with the certificate of an authority")
            case x509.ExtendedKeyUsage() as purposes if wanted not in purposes:
                lacking = "code signing" if wanted == ExtendedKeyUsageOID.CODE_SIGNING else "client authentication"
                _refuse(f"the signer's certificate is for something else (its extended key usages lack {lacking})")
            case _:
                pass


def _require_path(
    leaf: x509.Certificate, others: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], at: int
) -> None:
    """Raise `NotVerified` unless the certificates, in their order, are the path to one of the authorities."""
    policy = (
        PolicyBuilder()
        .store(Store(list(authorities)))
        .time(datetime.fromtimestamp(at, UTC).replace(tzinfo=None))
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all())
    )
    try:
        path = policy.build_client_verifier().verify(leaf, list(others)).chain
    except (VerificationError, ValueError):
        _refuse("the signer's certificate does not lead to an authority that is trusted here")
    if path[: len(others) + 1] != [leaf, *others]:
        _refuse("the bundle carries certificates that are no part of the signer's path")


def _day(at: int) -> str:
    return datetime.fromtimestamp(min(max(at, 0), LATEST), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _refuse(sentence: str) -> NoReturn:
    raise NotVerified(sentence, Reason.SIGNER)
