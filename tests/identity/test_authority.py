"""The certificate authority: what it issues, what it ignores in a request, what it refuses."""

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from nomoat.core.errors import Corrupt, Malformed, Misuse, TooLarge, Unauthenticated
from nomoat.identity import CertificateAuthority, TrustDomain, create_key, public_key
from nomoat.identity.keys import load_private_key
from nomoat.identity.peers import Peers
from tests.identity.world import NOW, der, signing_request

DOMAIN = TrustDomain("acme.example")
TRAIN = "spiffe://acme.example/train"
T = TypeVar("T", bound=x509.ExtensionType)
SESSION = "s-abcdefghijklmnop"


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.from_keys(DOMAIN, *CertificateAuthority.create(DOMAIN, NOW))


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def issue(authority: CertificateAuthority, request: bytes, spiffe_id: str = TRAIN) -> x509.Certificate:
    made = authority.issue(request, spiffe_id=spiffe_id, session=SESSION, lifetime=3600, now=NOW)
    assert made.not_after == NOW + 3600
    return x509.load_pem_x509_certificate(made.pem.encode())


def extension(certificate: x509.Certificate, kind: type[T]) -> T:
    return certificate.extensions.get_extension_for_class(kind).value


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_an_svid_is_a_leaf_by_the_specification(
    authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = issue(authority, signing_request(key))
    assert list(extension(leaf, x509.SubjectAlternativeName)) == [x509.UniformResourceIdentifier(TRAIN)]
    assert extension(leaf, x509.BasicConstraints) == x509.BasicConstraints(ca=False, path_length=None)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert set(extension(leaf, x509.ExtendedKeyUsage)) == {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    }
    assert [(part.oid, part.value) for part in leaf.subject] == [(NameOID.SERIAL_NUMBER, SESSION)]
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (at(NOW - 60), at(NOW + 3600))
    assert leaf.public_key() == key.public_key()


def test_a_strict_verifier_of_another_library_accepts_the_chain(
    authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey
) -> None:
    root = x509.load_pem_x509_certificate(authority.certificate.encode())
    verifier = PolicyBuilder().store(Store([root])).time(at(NOW + 1).replace(tzinfo=None)).build_client_verifier()
    verified = verifier.verify(issue(authority, signing_request(key)), [])
    assert verified.subjects == [x509.UniformResourceIdentifier(TRAIN)]


def test_the_authority_can_sign_no_further_authority(authority: CertificateAuthority) -> None:
    root = x509.load_pem_x509_certificate(authority.certificate.encode())
    assert extension(root, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=0)
    assert list(extension(root, x509.SubjectAlternativeName)) == [x509.UniformResourceIdentifier(DOMAIN.id)]
    assert not extension(root, x509.KeyUsage).digital_signature
    assert authority.fingerprint == root.fingerprint(hashes.SHA256())


def test_csr_asking_for_ca_true_or_other_sans_gets_neither(
    authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey
) -> None:
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root"), *serial("s-someoneelse")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("spiffe://acme.example/admin"), x509.DNSName("localhost")]
            ),
            critical=False,
        )
        .add_extension(usage_of_an_authority(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    leaf, plain = issue(authority, greedy), issue(authority, signing_request(key))
    assert [x.value for x in leaf.extensions] == [x.value for x in plain.extensions]
    assert leaf.subject == plain.subject


def serial(value: str) -> list[x509.NameAttribute[str]]:
    return [x509.NameAttribute(NameOID.SERIAL_NUMBER, value)]


def usage_of_an_authority() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def test_csr_with_a_bad_signature_is_refused(authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey) -> None:
    # The key of a victim in a request that the attacker signed.
    victim = ec.generate_private_key(ec.SECP256R1())
    mine = x509.load_pem_x509_csr(signing_request(key)).public_bytes(Encoding.DER)
    stolen = mine.replace(point(key), point(victim))
    assert stolen != mine
    with pytest.raises(Malformed, match="not signed by its own key"):
        issue(authority, x509.load_der_x509_csr(stolen).public_bytes(Encoding.PEM))


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(rsa.generate_private_key(65537, 2048), id="rsa"),
        pytest.param(ec.generate_private_key(ec.SECP384R1()), id="p384"),
        pytest.param(ec.generate_private_key(ec.SECP256K1()), id="secp256k1"),
        pytest.param(ed25519.Ed25519PrivateKey.generate(), id="ed25519"),
    ],
)
def test_rsa_and_other_curves_are_refused(
    authority: CertificateAuthority,
    other: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    algorithm = None if isinstance(other, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(other, algorithm)
    with pytest.raises(Malformed, match="P-256"):
        issue(authority, request.public_bytes(Encoding.PEM))


@pytest.mark.parametrize(
    "request_", [b"", b"junk", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
def test_what_is_no_csr_is_refused(authority: CertificateAuthority, request_: bytes) -> None:
    with pytest.raises(Malformed):
        issue(authority, request_)


def test_an_oversized_csr_is_refused_unparsed(authority: CertificateAuthority) -> None:
    with pytest.raises(TooLarge):
        issue(authority, b"-" * (16 * 1024 + 1))


def test_no_svid_lives_longer_than_an_hour(authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(Misuse):
        authority.issue(signing_request(key), spiffe_id=TRAIN, session=SESSION, lifetime=3601, now=NOW)


def test_no_svid_for_another_trust_domain(authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(Unauthenticated):
        issue(authority, signing_request(key), "spiffe://other.example/train")


def test_parts_that_do_not_belong_together_do_not_load() -> None:
    key, certificate = CertificateAuthority.create(DOMAIN, NOW)
    for domain, secret, pem in [
        (TrustDomain("other.example"), key, certificate),
        (DOMAIN, create_key(), certificate),
        (DOMAIN, b"junk", certificate),
        (DOMAIN, key, "junk"),
    ]:
        with pytest.raises(Corrupt):
            CertificateAuthority.from_keys(domain, secret, pem)


# -- Peers: what counts as a client certificate ------------------------------------------------------


def refused(peers: Peers, certificate: bytes) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        peers.verify(certificate)
    return refusal.value.kind


def test_a_workload_of_another_trust_domain_is_refused(
    authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey
) -> None:
    other = TrustDomain("evil.example")
    foreign = CertificateAuthority.from_keys(other, *CertificateAuthority.create(other, NOW))
    leaf = issue(foreign, signing_request(key), "spiffe://evil.example/train")
    assert refused(Peers(DOMAIN, authority.certificate), leaf.public_bytes(Encoding.DER)) == "wrong-issuer"


def test_another_ca_of_the_same_name_is_refused(
    authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey
) -> None:
    twin = CertificateAuthority.from_keys(DOMAIN, *CertificateAuthority.create(DOMAIN, NOW))
    leaf = issue(twin, signing_request(key))
    assert refused(Peers(DOMAIN, authority.certificate), leaf.public_bytes(Encoding.DER)) == "wrong-issuer"


def test_neither_the_ca_nor_the_gateway_certificate_identifies_a_client(authority: CertificateAuthority) -> None:
    server = authority.server_certificate(public_key(create_key()), ["localhost"], now=NOW)
    peers = Peers(DOMAIN, authority.certificate)
    assert refused(peers, der(server.pem)) == "malformed"
    assert refused(peers, der(authority.certificate)) == "malformed"
    assert refused(peers, b"junk") == "malformed"


def test_a_signed_leaf_that_is_no_svid_is_refused(key: ec.EllipticCurvePrivateKey) -> None:
    """As if the CA's key had signed something else: every rule of X.509-SVID, section 5.2 on its own."""
    secret, certificate = CertificateAuthority.create(DOMAIN, NOW)
    peers = Peers(DOMAIN, certificate)

    def leaf(
        names: list[x509.GeneralName],
        *,
        ca: bool = False,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        usage: x509.KeyUsage | None = None,
        sessions: int = 1,
    ) -> bytes:
        good = issue(CertificateAuthority.from_keys(DOMAIN, secret, certificate), signing_request(key))
        builder = (
            x509.CertificateBuilder(
                issuer_name=good.issuer,
                subject_name=x509.Name(serial(SESSION) * sessions),
                public_key=key.public_key(),
                serial_number=1,
                not_valid_before=at(NOW),
                not_valid_after=at(NOW + 60),
            )
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage or extension(good, x509.KeyUsage), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        return builder.sign(load_private_key(secret), hashes.SHA256()).public_bytes(Encoding.DER)

    train: list[x509.GeneralName] = [x509.UniformResourceIdentifier(TRAIN)]
    admin: list[x509.GeneralName] = [x509.UniformResourceIdentifier("spiffe://acme.example/admin")]
    assert peers.verify(leaf(train)).spiffe_id == TRAIN
    assert refused(peers, leaf(train + admin)) == "malformed"
    assert refused(peers, leaf([*train, x509.DNSName("localhost")])) == "malformed"
    assert refused(peers, leaf([x509.DNSName("localhost")])) == "malformed"
    assert refused(peers, leaf([x509.UniformResourceIdentifier(DOMAIN.id)])) == "malformed"
    assert refused(peers, leaf([x509.UniformResourceIdentifier("spiffe://evil.example/x")])) == "wrong-trust-domain"
    assert refused(peers, leaf(train, ca=True)) == "malformed"
    assert refused(peers, leaf(train, usage=usage_of_an_authority())) == "malformed"
    assert refused(peers, leaf(train, purpose=ExtendedKeyUsageOID.SERVER_AUTH)) == "malformed"
    assert refused(peers, leaf(train, sessions=0)) == "malformed"
    assert refused(peers, leaf(train, sessions=2)) == "malformed"


# -- In a real handshake -------------------------------------------------------------------------------


def test_the_gateway_certificate_names_its_hosts(authority: CertificateAuthority) -> None:
    made = authority.server_certificate(public_key(create_key()), ["gateway.acme.example", "127.0.0.1", "::1"], now=NOW)
    leaf = x509.load_pem_x509_certificate(made.pem.encode())
    assert list(extension(leaf, x509.SubjectAlternativeName)) == [
        x509.DNSName("gateway.acme.example"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    assert list(extension(leaf, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize("hosts", [[], ["*.acme.example"], ["a b"], ["https://x"], [""], ["-x"], ["x" * 254]])
def test_hosts_that_are_none_are_refused(authority: CertificateAuthority, hosts: list[str]) -> None:
    with pytest.raises(Malformed):
        authority.server_certificate(public_key(create_key()), hosts, now=NOW)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> bytes | None:
    """Shake hands in memory and return the client certificate that the server verified (DER)."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    other = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = {one, other}
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.discard(side)
    assert not waiting
    return other.getpeercert(binary_form=True)


def context(purpose: int, ca: str, directory: Path, certificate: str, key: bytes) -> ssl.SSLContext:
    made = ssl.SSLContext(purpose)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=ca)
    pem = load_private_key(key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "pair.pem").write_bytes(pem + certificate.encode())
    made.load_cert_chain(directory / "pair.pem")
    return made


def test_mutual_tls_with_openssl_in_strict_mode(tmp_path: Path) -> None:
    now = datetime.now(UTC).timestamp()
    domain = TrustDomain("acme.example")
    authority = CertificateAuthority.from_keys(domain, *CertificateAuthority.create(domain, now))
    foreign = CertificateAuthority.from_keys(domain, *CertificateAuthority.create(domain, now))
    key = create_key()

    def svid(by: CertificateAuthority) -> str:
        return by.issue(
            signing_request(load_private_key(key)), spiffe_id=TRAIN, session=SESSION, lifetime=600, now=now
        ).pem

    gateway = authority.server_certificate(public_key(key), ["localhost"], now=now).pem
    ca = authority.certificate
    server = context(ssl.PROTOCOL_TLS_SERVER, ca, tmp_path, gateway, key)
    client = context(ssl.PROTOCOL_TLS_CLIENT, ca, tmp_path, svid(authority), key)
    verified = handshake(client, server)
    assert verified is not None
    assert Peers(domain, ca).verify(verified).spiffe_id == TRAIN
    with pytest.raises(ssl.SSLError):  # an SVID of a CA that is called the same
        handshake(context(ssl.PROTOCOL_TLS_CLIENT, ca, tmp_path, svid(foreign), key), server)
    with pytest.raises(ssl.SSLError):  # a workload that poses as the gateway
        handshake(client, context(ssl.PROTOCOL_TLS_SERVER, ca, tmp_path, svid(authority), key))
