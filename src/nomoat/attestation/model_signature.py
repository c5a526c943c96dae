"""Model signatures as OpenSSF Model Signing 1.0 has them: every file of a model by name and digest, signed.

Rules: a signature is about all files: one that it does not list is a difference, wherever it lies, and what it
says of paths to be ignored is not followed. It is made from digests that are known already; no data is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from nomoat.attestation.errors import FilesDiffer, NotVerified, Reason
from nomoat.attestation.fields import Fields, encode_time
from nomoat.attestation.keys import PrivateKey
from nomoat.attestation.manifest import FILES_LIMIT, ROOT, Manifest
from nomoat.attestation.signer import Signer, Trusted, verify_signature
from nomoat.attestation.signing import sign_statement
from nomoat.attestation.statement import Resource, Statement
from nomoat.core.errors import Malformed

PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
FILE_NAME: Final = "model.sig"
PUBLISHER_FILE_NAME: Final = "publisher.sig"
"""Where the publisher's own signature lies, beside the gateway's: it is over all files but these two."""
PUBLISHER: Final = "nomoat_publisher"
PUBLISHER_ID: Final = "nomoat_publisherId"
PUBLISHED_AT: Final = "nomoat_publishedAt"
"""Fields of our own: who the signer says had the model signed, and when."""
IGNORED_LIMIT: Final = 1024


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who had a model signed, as its signer knows: `subject` as in the log; the SPIFFE ID, and when (Unix seconds)."""

    subject: str
    spiffe_id: str
    at: int


@dataclass(frozen=True, slots=True)
class SignedModel:
    """A model whose signature verified: who signed, what they called it, its files, and for whom (None: nobody else)."""

    signer: Signer
    name: str
    manifest: Manifest
    publisher: Publisher | None = None

    def require_files(self, files: Mapping[str, str]) -> None:
        """Raise `FilesDiffer` unless `files` (path → SHA-256 hex) are exactly those that were signed."""
        if differences := self.manifest.differences(files):
            raise FilesDiffer(differences)


def describe_model(name: str, manifest: Manifest, publisher: Publisher | None = None) -> Statement:
    """Return the statement that a model, called `name`, has exactly these files, and who published it if that is known."""
    resources = [{"name": path, "algorithm": "sha256", "digest": digest} for path, digest in manifest.files]
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    subject = Resource(name, digest={ROOT: manifest.root})
    predicate: dict[str, object] = {"serialization": serialization, "resources": resources}
    if publisher is not None:
        predicate |= {PUBLISHER: publisher.subject, PUBLISHER_ID: publisher.spiffe_id}
        predicate[PUBLISHED_AT] = encode_time(publisher.at)
    return Statement((subject,), PREDICATE_TYPE, predicate)


def parse_model(statement: Statement) -> tuple[str, Manifest, Publisher | None]:
    """Return a model's name, files and publisher. Raises `Malformed`, `TooLarge`, and `NotVerified` for a wrong root digest."""
    predicate = statement.require(PREDICATE_TYPE)
    serialization = predicate.object("serialization")
    if serialization.text("method") != "files" or serialization.text("hash_type") != "sha256":
        raise Malformed("only models signed file by file, with SHA-256, are verified")
    serialization.boolean("allow_symlinks")
    serialization.texts("ignore_paths", IGNORED_LIMIT)
    files: list[tuple[str, str]] = []
    for each in predicate.items("resources", FILES_LIMIT):
        resource = Fields(each, "a signed file")
        if resource.text("algorithm") != "sha256":
            raise Malformed(f"a signed file has a digest by an unknown algorithm, {resource.text('algorithm')!r:.40}")
        files.append((resource.text("name"), resource.text("digest")))
    manifest = Manifest.of(files)
    subject = statement.only_subject()
    if subject.digest.get(ROOT) != manifest.root:
        raise NotVerified("the root digest of the signature is not that of the files it lists", Reason.STATEMENT)
    return subject.name, manifest, _publisher(predicate) if PUBLISHER in predicate else None


def _publisher(predicate: Fields) -> Publisher:
    return Publisher(predicate.text(PUBLISHER), predicate.text(PUBLISHER_ID), predicate.time(PUBLISHED_AT))


def sign_model(name: str, manifest: Manifest, key: PrivateKey, certificates: Sequence[x509.Certificate] = ()) -> bytes:
    """Sign a model and return the bundle.

    `certificates` are the signer's and those that lead to an authority, in order (none: the bundle names the
    key). Raises as `sign_statement`.
    """
    return sign_statement(describe_model(name, manifest), key, certificates)


def verify_model(data: bytes, trusted: Trusted, at: int) -> SignedModel:
    """Check that somebody trusted signed a model, whatever its files are now; return who, and what.

    `at` (Unix seconds) is when a certificate has to have been valid: the time of the log's record. Raises
    `NotVerified` for what does not hold, `Malformed` and `TooLarge` for what does not parse.
    """
    signer, statement = verify_signature(data, trusted, at)
    return SignedModel(signer, *parse_model(statement))


def verify_bundle(data: bytes, trusted: Trusted, files: Mapping[str, str], at: int) -> SignedModel:
    """Check that somebody trusted signed exactly `files` (path → SHA-256 hex); return who, and what.

    Raises as `verify_model`, and `FilesDiffer` for files that are missing, changed or not signed.
    """
    model = verify_model(data, trusted, at)
    model.require_files(files)
    return model
