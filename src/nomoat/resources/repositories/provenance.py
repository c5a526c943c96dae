"""The provenance of what is published: a SLSA statement of what the run had read, from the readings that were stored.

Rules: nothing that the author says is in it. It says what was read, not that the model was made of it; and a version
of a dataset has none, only a model's.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

from nomoat.attestation.manifest import Manifest
from nomoat.attestation.model_signature import FILE_NAME
from nomoat.attestation.provenance import Provenance, describe_provenance
from nomoat.attestation.statement import Resource, Statement
from nomoat.core.errors import TooLarge
from nomoat.core.lineage import Origin, Source
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.stores.revisions import StoredFile

BUILD_TYPE: Final = "urn:nomoat:build:observed-run:v1"

Describe: TypeAlias = Callable[[RepositoryName, Origin, Mapping[str, StoredFile]], bytes]
Sign: TypeAlias = Callable[[Statement], bytes]


def describer(trust_domain: str, sign: Sign) -> Describe:
    """Who makes the statements of a trust domain; `sign` makes what is kept of one."""
    return partial(_describe, trust_domain, sign)


def _describe(
    trust_domain: str, sign: Sign, name: RepositoryName, origin: Origin, files: Mapping[str, StoredFile]
) -> bytes:
    """What is kept of how a version came to be.

    b"" for a dataset, for a model without a file, and for what is more than a statement holds: what it inherits is
    not in question then, only nothing is stated.
    """
    made = [(path, file.digest) for path, file in files.items() if path != FILE_NAME]  # a signature is about the others
    if name.kind is not RepositoryKind.MODEL or not made:
        return b""
    try:
        statement = describe_provenance(_provenance(trust_domain, origin), f"{name}@{origin.commit}", Manifest.of(made))
        return sign(statement)
    except TooLarge:
        return b""


def _provenance(trust_domain: str, origin: Origin) -> Provenance:
    return Provenance(
        build_type=BUILD_TYPE,
        builder=f"spiffe://{trust_domain}/gateway/signer",
        invocation=f"urn:nomoat:session:{origin.run.session}",
        started_at=int(min((source.at for source in origin.sources), default=origin.at)),
        finished_at=int(origin.at),
        dependencies=tuple(_dependency(trust_domain, source) for source in origin.sources),
        parameters={"subject": origin.run.subject, "record": origin.run.record, "version": origin.commit},
    )


def _dependency(trust_domain: str, source: Source) -> Resource:
    """A version that was read: its digests are those of the files that were."""
    read = Manifest.of(source.digests).subject("").digest
    if source.name is None:
        return Resource(f"a deleted repository@{source.commit}", digest=read)
    uri = f"nomoat://{trust_domain}/{source.name.kind}s/{source.name}@{source.commit}"
    return Resource(f"{source.name}@{source.commit}", uri, read)
