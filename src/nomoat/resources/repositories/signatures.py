"""Signatures of models: made when a version is committed, checked before the first byte of it is given out.

Rules: the gateway signs every file of a version, and nobody else writes `model.sig`: what a client sends under that name
is not kept. INVARIANT (signed, then served): no byte of a model is given out before its version's signature, the summary
of who approved it and the whole of the file were verified against each other; what verified is verified again when the
version is read from the state anew, or a file of it on the disk is another one. What is signed is judged at the time of the commit or the approval, as the state has it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final
from weakref import ReferenceType, ref

from cryptography import x509

from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.model_signature import FILE_NAME, Publisher, describe_model, verify_bundle
from nomoat.attestation.signer import Trusted, gateway_signer
from nomoat.attestation.signing import StatementSigner
from nomoat.attestation.statement import Resource
from nomoat.attestation.summary import Summary, describe_verification, verify_summary
from nomoat.core.errors import Malformed, NotPermitted, TooLarge
from nomoat.core.lifecycle import Stage, Standing
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.stores.catalog import Catalog
from nomoat.stores.intact import Intact
from nomoat.stores.objects import Lying, Objects
from nomoat.stores.revisions import Snapshot, StoredFile
from nomoat.stores.stages import BY_ITSELF

KEPT: Final = 1024  # versions that verified
POLICY: Final = "nomoat:policies"
REVIEWED: Final = "NOMOAT_APPROVED_BY_ANOTHER_PERSON"  # a level of our own, as SLSA's summaries may have
UNSIGNED: Final = (
    "this version of the model is not signed, and no byte of it is given out; whoever publishes it commits to it again"
)

Seen: TypeAlias = tuple[ReferenceType[Snapshot], Lying]


@dataclass(frozen=True, slots=True)
class Signatory:
    """The gateway as one who signs for its trust domain; `authority` is whose certificates count."""

    signer: StatementSigner
    trust_domain: str
    authority: x509.Certificate

    @property
    def trusted(self) -> Trusted:
        """Whose signatures count: those of this trust domain's gateway, of this start and of all before."""
        return Trusted(authorities=(self.authority,), spiffe_id=gateway_signer(self.trust_domain))


def is_signed(name: RepositoryName) -> bool:
    """Whether the versions of a repository are signed file by file: those of models are."""
    return name.kind is RepositoryKind.MODEL


def digests_of(files: Mapping[str, StoredFile]) -> dict[str, str]:
    """What of a version is signed (path → SHA-256, hex): every file but the signature itself."""
    return {path: file.digest for path, file in files.items() if path != FILE_NAME}


def sign_version(by: Signatory, name: RepositoryName, files: Mapping[str, str], publisher: Publisher) -> bytes:
    """Sign the files (path → SHA-256, hex) of a version, and who published it; return the bundle.

    Raises `Malformed`, `TooLarge`.
    """
    return by.signer.sign(describe_model(str(name), Manifest.of(files.items()), publisher))


def sign_approval(
    by: Signatory, name: RepositoryName, version: Snapshot, standing: Standing, checks: Iterable[str], policies: str
) -> bytes:
    """Sign the summary that a version was approved, and return the bundle.

    `policies` is the digest of the policy set that allowed it. Raises `Malformed` for a version without files.
    """
    said = Summary(
        verifier=gateway_signer(by.trust_domain),
        verified_at=int(standing.at),
        resource=_address(by, name, version),
        policy=Resource(uri=POLICY, digest={"sha256": policies.removeprefix("sha256:")}),
        passed=True,
        levels=(REVIEWED,),
        promoted_by=(standing.subject,),
        checks=tuple(checks),
    )
    return by.signer.sign(describe_verification(said, str(name), Manifest.of(digests_of(version.files).items())))


@final
class Signatures:
    """What verified of the models in a catalogue, and what is to verify before it is given out."""

    def __init__(self, catalog: Catalog, objects: Objects, signatory: Signatory) -> None:
        self.signatory = signatory
        self._catalog = catalog
        self._objects = objects
        self._intact = Intact(objects)
        self._kept: OrderedDict[str, Seen] = OrderedDict()

    async def require(self, name: RepositoryName, version: Snapshot, file: StoredFile) -> None:
        """Return when a file of a model's version may be given out.

        Raises `NotPermitted` when the version carries no signature, `Corrupt` when something of it does not verify,
        `Unavailable` when the disk or the state fails.
        """
        await self.require_version(name, version)
        await self._intact.require(file.blob, version.revision.repository, file.digest)

    async def require_version(self, name: RepositoryName, version: Snapshot) -> None:
        """Return when a model's version is what was signed, and what was approved where it is. Raises as `require`."""
        signature = version.files.get(FILE_NAME)
        if signature is None:
            raise NotPermitted(UNSIGNED)
        lying, seen = self._objects.lying(signature.blob), self._kept.get(version.revision.id)
        if seen is not None and seen[0]() is version and seen[1] == lying:
            return
        with self._objects.open(signature.blob, version.revision.repository, signature.digest) as content:
            bundle = b"".join(content.segments())
        standing = self._catalog.standing(version.revision.id)
        try:
            await asyncio.to_thread(self._verify, name, version, bundle, standing)
        except (Malformed, TooLarge) as error:
            raise NotVerified(error.reason, Reason.MALFORMED) from None
        self._kept[version.revision.id] = ref(version), lying
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _verify(self, name: RepositoryName, version: Snapshot, bundle: bytes, standing: Standing) -> None:
        files, trusted = digests_of(version.files), self.signatory.trusted
        signed = verify_bundle(bundle, trusted, files, int(version.revision.at))
        if signed.name != str(name):
            raise NotVerified(f"it was signed as {signed.name!r:.200}", Reason.STATEMENT)
        if standing.stage is Stage.APPROVED and standing.subject != BY_ITSELF:
            address = _address(self.signatory, name, version)
            verify_summary(standing.statement, trusted, signed.manifest, address, int(standing.at))


def _address(by: Signatory, name: RepositoryName, version: Snapshot) -> str:
    return f"nomoat://{by.trust_domain}/{name.kind}/{name}@{version.revision.id}"
