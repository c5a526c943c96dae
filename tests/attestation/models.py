"""Keys, authorities, certificates and small models to sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nomoat.attestation.keys import PrivateKey
from nomoat.attestation.manifest import Manifest

NOW = 1_790_000_000
DAY = 86400
SIGNER = "spiffe://acme.example/gateway/signer"
# Paths whose order differs between strings and segments, and those that tools like to pass over.
CONTENTS = {
    "config.json": b"{}",
    "model.safetensors": b"\x02" + bytes(7) + b"{}",
    "onnx/model.onnx": b'\x08\x0e:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x02\x10\x1c',  # Relu, as onnx writes it
    "onnx.txt": b"about them",
    ".gitattributes": b"*.safetensors filter=lfs",
    ".github/workflows/run.yml": b"on: push",
    "README.md": b"",
}


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def digests(contents: Mapping[str, bytes] = CONTENTS) -> dict[str, str]:
    return {path: sha256(content).hexdigest() for path, content in contents.items()}


def manifest_of(contents: Mapping[str, bytes] = CONTENTS) -> Manifest:
    return Manifest.of(digests(contents).items())


def write_model(directory: Path, contents: Mapping[str, bytes] = CONTENTS) -> Path:
    for path, content in contents.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return directory


def write_key(path: Path, key: PrivateKey) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def write_public(path: Path, key: PrivateKey) -> Path:
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def write_certificates(path: Path, *certificates: x509.Certificate) -> Path:
    path.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
    return path


@dataclass(frozen=True)
class Authority:
    """A certificate authority and its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def certify(
        self,
        key: PrivateKey | rsa.RSAPrivateKey,
        *,
        uris: Sequence[str] = (SIGNER,),
        at: int = NOW,
        lifetime: int = DAY,
        usage: bool | None = True,
        purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CODE_SIGNING,),
        ca: bool = False,
        critical: x509.ExtensionType | None = None,
    ) -> x509.Certificate:
        """A certificate for `key`; `usage` is whether it may sign (None: it does not say)."""
        builder = _builder("signer", key, at, lifetime).issuer_name(self.certificate.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if usage is not None:
            builder = builder.add_extension(_usage(sign=usage, certify=ca), critical=True)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if uris:
            names = [x509.UniformResourceIdentifier(uri) for uri in uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if critical is not None:
            builder = builder.add_extension(critical, critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(issuer, critical=False).sign(self.key, hashes.SHA256())

    def subordinate(self) -> "Authority":
        key = new_key()
        return Authority(key, self.certify(key, uris=(), purposes=(), ca=True, lifetime=3650 * DAY))


def new_authority(name: str = "root") -> Authority:
    key = new_key()
    builder = _builder(name, key, NOW - DAY, 3650 * DAY)
    certificate = (
        builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(sign=False, certify=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def _builder(name: str, key: PrivateKey | rsa.RSAPrivateKey, at: int, lifetime: int) -> x509.CertificateBuilder:
    begin = datetime.fromtimestamp(at, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(seconds=lifetime))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign: bool, certify: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=certify,
        content_commitment=not sign and not certify,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
