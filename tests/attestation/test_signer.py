"""Certificates: which of them sign, judged when, and by whose authority."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from nomoat.attestation.bundle import parse_bundle
from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.model_signature import sign_model, verify_bundle
from nomoat.attestation.signer import Signer, Trusted, gateway_signer, parse_certificates
from nomoat.core.errors import Malformed, Unauthenticated
from nomoat.identity.authority import CertificateAuthority
from nomoat.identity.trust_domain import TrustDomain
from tests.attestation.models import DAY, NOW, SIGNER, Authority, digests, manifest_of, new_authority, new_key

KEY = new_key()
ROOT = new_authority()
TRUSTED = Trusted(authorities=(ROOT.certificate,))


def signed(*certificates: x509.Certificate) -> bytes:
    return sign_model("digits", manifest_of(), KEY, certificates)


def verified(bundle: bytes, trusted: Trusted = TRUSTED, at: int = NOW) -> Signer:
    return verify_bundle(bundle, trusted, digests(), at).signer


def test_the_signer_is_who_the_certificate_names() -> None:
    signer = verified(signed(ROOT.certify(KEY)), Trusted(authorities=(ROOT.certificate,), spiffe_id=SIGNER))
    assert (signer.spiffe_id, signer.subject, str(signer)) == (SIGNER, "CN=signer", SIGNER)
    assert (signer.not_before, signer.not_after) == (NOW, NOW + DAY)
    assert str(verified(signed(ROOT.certify(KEY, uris=())))) == "CN=signer"


def test_another_signer_than_the_demanded_is_refused() -> None:
    bundle = signed(ROOT.certify(KEY, uris=("spiffe://acme.example/train",)))
    assert verified(bundle).spiffe_id == "spiffe://acme.example/train"
    with pytest.raises(NotVerified, match=f"signed by spiffe://acme.example/train, and not by {SIGNER}") as refused:
        verified(bundle, Trusted(authorities=(ROOT.certificate,), spiffe_id=SIGNER))
    assert refused.value.reason is Reason.SIGNER


@pytest.mark.parametrize("at", [NOW, NOW + DAY])
def test_a_certificate_counts_when_it_was_valid(at: int) -> None:
    """Also long after it has ended: what is asked is whether it was valid when the log recorded the signing."""
    assert verified(signed(ROOT.certify(KEY)), at=at).spiffe_id == SIGNER


@pytest.mark.parametrize("at", [0, NOW - 1, NOW + DAY + 1, 1 << 45, -(1 << 45)])
def test_a_certificate_does_not_count_at_another_time(at: int) -> None:
    with pytest.raises(NotVerified, match="valid from 2026") as refused:
        verified(signed(ROOT.certify(KEY)), at=at)
    assert refused.value.reason is Reason.EXPIRED


def test_an_authority_counts_only_while_it_was_valid() -> None:
    at = NOW + 4000 * DAY
    with pytest.raises(NotVerified, match="does not lead to an authority"):
        verified(signed(ROOT.certify(KEY, at=at)), at=at)


REFUSED: Mapping[str, Mapping[str, Any]] = {
    "for TLS alone": {"purposes": (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)},
    "may not sign": {"usage": False},
    "does not say what it is for": {"usage": None},
    "an authority": {"ca": True},
    "something critical that is unknown": {
        "critical": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    },
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_certificate_that_may_not_sign_is_refused(what: str) -> None:
    with pytest.raises(NotVerified) as refused:
        verified(signed(ROOT.certify(KEY, **REFUSED[what])))
    assert refused.value.reason is Reason.SIGNER


def test_without_extended_usages_the_key_usage_decides() -> None:
    assert verified(signed(ROOT.certify(KEY, purposes=()))).spiffe_id == SIGNER


def test_more_than_one_uri_is_refused() -> None:
    with pytest.raises(Malformed, match="more than one URI"):
        verified(signed(ROOT.certify(KEY, uris=("spiffe://acme.example/a", SIGNER))))


def test_a_uri_of_another_kind_is_no_spiffe_id() -> None:
    assert verified(signed(ROOT.certify(KEY, uris=("https://acme.example/",)))).spiffe_id == ""


def test_paths_lead_to_the_authority_in_order() -> None:
    middle = ROOT.subordinate()
    leaf = middle.certify(KEY)
    assert verified(signed(leaf, middle.certificate)).spiffe_id == SIGNER
    assert verified(signed(leaf, middle.certificate, ROOT.certificate)).spiffe_id == SIGNER
    for chain in ([leaf], [leaf, ROOT.certificate, middle.certificate], [leaf, ROOT.certificate]):
        with pytest.raises(NotVerified):
            verified(signed(*chain))


def test_a_certificate_that_is_no_part_of_the_path_is_refused() -> None:
    with pytest.raises(NotVerified, match="no part of the signer's path"):
        verified(signed(ROOT.certify(KEY), new_authority("other").certificate))


def test_who_has_a_certificate_is_no_authority() -> None:
    key = new_key()
    forged = Authority(key, ROOT.certify(key))
    with pytest.raises(NotVerified, match="does not lead to an authority"):
        verified(signed(forged.certify(KEY), forged.certificate))


def test_an_authority_of_the_same_name_is_another_one() -> None:
    with pytest.raises(NotVerified, match="does not lead to an authority"):
        verified(signed(new_authority().certify(KEY)))


def test_a_signed_certificate_of_another_key_is_not_put_into_a_bundle() -> None:
    with pytest.raises(Malformed, match="not that of the signing key"):
        signed(ROOT.certify(new_key()))


def test_a_certificate_of_an_ed25519_key_signs() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    bundle = sign_model("digits", manifest_of(), key, (ROOT.certify(key),))
    assert verified(bundle).spiffe_id == SIGNER


def test_what_is_no_certificate_is_none() -> None:
    for pem in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(Malformed, match="no certificate"):
            parse_certificates(pem)


def test_an_rsa_certificate_signs_nothing() -> None:
    certificate = ROOT.certify(rsa.generate_private_key(65537, 2048))
    honest = parse_bundle(signed(ROOT.certify(KEY)))
    forged = replace(honest, certificates=(certificate.public_bytes(Encoding.DER),))
    with pytest.raises(Malformed, match="P-256"):
        verified(forged.encode())


def respelled(change: Callable[[bytes], bytes]) -> bytes:
    """A bundle whose certificate (DER) was changed after it was issued."""
    honest = parse_bundle(signed(ROOT.certify(KEY)))
    (certificate,) = honest.certificates
    changed = change(certificate)
    assert changed != certificate
    return replace(honest, certificates=(changed,)).encode()


def test_a_certificate_of_an_unknown_version_does_not_parse() -> None:
    with pytest.raises(Malformed, match="do not parse"):
        verified(respelled(lambda der: der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05")))


def test_a_certificate_has_one_spelling() -> None:
    """The bits that its signature does not use (X.690, section 8.6.2.2) are outside of what was signed."""

    def unused_bit(der: bytes) -> bytes:
        place = len(der) - len(x509.load_der_x509_certificate(der).signature) - 1
        assert der[place] == 0
        return der[:place] + b"\x01" + der[place + 1 :]

    for _ in range(8):  # a signature that ends in a set bit is refused anyhow
        with pytest.raises((Malformed, NotVerified)):
            verified(respelled(unused_bit))


def test_a_certificate_with_an_unreadable_name_does_not_parse() -> None:
    name = x509.UnrecognizedExtension(
        x509.SubjectAlternativeName.oid, bytes.fromhex("3004a3023000")
    )  # an X.400 address
    with pytest.raises(Malformed, match="do not parse"):
        verified(signed(ROOT.certify(KEY, uris=(), critical=name)))


# -- the trust domain's own authority ---------------------------------------------------------------

DOMAIN = TrustDomain("acme.example")
SECRET, PEM = CertificateAuthority.create(DOMAIN, NOW - DAY)


def own_authority() -> Authority:
    key = load_der_private_key(SECRET, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(key, x509.load_pem_x509_certificate(PEM.encode()))


def test_the_authority_of_a_trust_domain_certifies_the_gateways_signer() -> None:
    trusted = Trusted(authorities=parse_certificates(PEM.encode()), spiffe_id=gateway_signer("acme.example"))
    assert verified(signed(own_authority().certify(KEY)), trusted).spiffe_id == SIGNER


def test_a_workload_cannot_sign_in_the_gateways_place() -> None:
    """Its certificate is by the same authority, but it is for TLS; and the signer's name is nobody's."""
    authority = CertificateAuthority.from_keys(DOMAIN, SECRET, PEM)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(KEY, hashes.SHA256())
    issued = authority.issue(
        request.public_bytes(Encoding.PEM), spiffe_id="spiffe://acme.example/train", session="s", lifetime=60, now=NOW
    )
    bundle = signed(x509.load_pem_x509_certificate(issued.pem.encode()))
    with pytest.raises(NotVerified, match="code signing"):
        verified(bundle, Trusted(authorities=parse_certificates(PEM.encode())))
    with pytest.raises(Unauthenticated):
        DOMAIN.parse(gateway_signer("acme.example"))
