"""Sigstore bundles, v0.3: an envelope with what names its key, in JSON (sigstore_bundle.proto).

Rules: a bundle is signed by nobody, so it has exactly the fields that are verified here. One with entries of a
transparency log or with timestamps is refused: nothing here could say whether they are true. The certificates
stand in `x509CertificateChain`, because OpenSSF Model Signing 1.1 reads them nowhere else; `certificate`, where
sigstore puts the only one, is read too.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from nomoat.attestation.dsse import Envelope, parse_envelope
from nomoat.attestation.fields import Fields, encode_object, parse_object
from nomoat.core.errors import Malformed

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_LIMIT: Final = 33 << 20  # bytes: a statement in base64
CHAIN_LIMIT: Final = 8  # certificates
CERTIFICATE_LIMIT: Final = 16 << 10  # bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """An envelope, and whose it claims to be: a key by its id, or certificates (DER), the signer's first."""

    envelope: Envelope
    key_id: str = ""
    certificates: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Return the bundle's bytes."""
        chain = [{"rawBytes": b64encode(each).decode("ascii")} for each in self.certificates]
        named = {"x509CertificateChain": {"certificates": chain}} if chain else {"publicKey": {"hint": self.key_id}}
        return encode_object(
            {
                "mediaType": MEDIA_TYPE,
                "verificationMaterial": {**named, "tlogEntries": []},
                "dsseEnvelope": self.envelope.encode(),
            }
        )


def parse_bundle(data: bytes) -> Bundle:
    """Parse a bundle; nothing is verified. Raises `Malformed`, `TooLarge`."""
    document = parse_object(data, "the bundle", BUNDLE_LIMIT)
    fields = Fields(document, "the bundle", ("mediaType", "verificationMaterial", "dsseEnvelope"))
    if fields.text("mediaType") != MEDIA_TYPE:
        raise Malformed(f"the bundle is of an unknown kind: only {MEDIA_TYPE} is understood")
    kinds = ("publicKey", "x509CertificateChain", "certificate")
    unread = ("tlogEntries", "timestampVerificationData")
    material = fields.object("verificationMaterial", (*kinds, *unread))
    if any(material.value.get(name) for name in unread):
        raise Malformed("the bundle was signed by way of Sigstore's public log, which is not verified here")
    named = [kind for kind in kinds if kind in material]
    if len(named) != 1:
        raise Malformed("the bundle names its signer not by exactly one of a key, a certificate and a chain of them")
    envelope = parse_envelope(fields.object("dsseEnvelope").value)
    match named[0]:
        case "publicKey":
            return Bundle(envelope, key_id=material.object("publicKey", ("hint",)).text("hint"))
        case "certificate":
            return Bundle(envelope, certificates=(_certificate(material.object("certificate", ("rawBytes",))),))
        case _:
            chain = material.object("x509CertificateChain", ("certificates",)).items("certificates", CHAIN_LIMIT)
            if not chain:
                raise Malformed("the bundle's chain has no certificate")
            found = [_certificate(Fields(each, "a certificate of the bundle", ("rawBytes",))) for each in chain]
            return Bundle(envelope, certificates=tuple(found))


def _certificate(fields: Fields) -> bytes:
    data = fields.base64("rawBytes")
    if len(data) > CERTIFICATE_LIMIT:
        raise Malformed(f"{fields.what} has more than {CERTIFICATE_LIMIT} bytes")
    return data
