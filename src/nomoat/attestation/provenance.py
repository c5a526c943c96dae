"""Provenance (SLSA v1): what a run made, out of which versions of datasets and models, as the gateway observed it.

It says what was read in a session before the artifact was written in it. It cannot say that what was read is what
the artifact was made of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.fields import encode_time
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.signer import Signer, Trusted, verify_signature
from nomoat.attestation.statement import Resource, Statement, parse_resource
from nomoat.attestation.subjects import require_subject
from nomoat.core.errors import Malformed

PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
DEPENDENCIES_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an artifact came to be. Times in Unix seconds.

    `build_type` (a URI) says what `parameters` mean; `dependencies` are the versions of datasets and models that were
    read; `builder` (a URI) is who observed it, `invocation` the session.
    """

    build_type: str
    builder: str
    invocation: str
    started_at: int
    finished_at: int
    dependencies: tuple[Resource, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])


def describe_provenance(provenance: Provenance, name: str, manifest: Manifest) -> Statement:
    """Return the provenance as a statement about the artifact, which is called `name`.

    Raises `Malformed` and `TooLarge` for what nobody could read again.
    """
    statement = Statement(
        (manifest.subject(name),),
        PREDICATE_TYPE,
        {
            "buildDefinition": {
                "buildType": provenance.build_type,
                "externalParameters": dict(provenance.parameters),
                "resolvedDependencies": [each.encode() for each in provenance.dependencies],
            },
            "runDetails": {
                "builder": {"id": provenance.builder},
                "metadata": {
                    "invocationId": provenance.invocation,
                    "startedOn": encode_time(provenance.started_at),
                    "finishedOn": encode_time(provenance.finished_at),
                },
            },
        },
    )
    parse_provenance(statement)
    return statement


def parse_provenance(statement: Statement) -> Provenance:
    """Parse a provenance. Raises `Malformed`, `TooLarge`."""
    predicate = statement.require(PREDICATE_TYPE)
    definition, details = predicate.object("buildDefinition"), predicate.object("runDetails")
    metadata = details.object("metadata")
    dependencies = definition.items("resolvedDependencies", DEPENDENCIES_LIMIT)
    found = Provenance(
        build_type=definition.text("buildType"),
        builder=details.object("builder").text("id"),
        invocation=metadata.text("invocationId"),
        started_at=metadata.time("startedOn"),
        finished_at=metadata.time("finishedOn"),
        dependencies=tuple(parse_resource(each, "a dependency") for each in dependencies),
        parameters=definition.object("externalParameters").value,
    )
    if found.finished_at < found.started_at:
        raise Malformed("the run ended before it began")
    return found


def verify_provenance(data: bytes, trusted: Trusted, manifest: Manifest, at: int) -> tuple[Signer, Provenance]:
    """Check that somebody trusted says how the artifact came to be; return who, and all of it.

    Raises `NotVerified` for a signature that does not hold, another artifact, or a builder that is not the
    certificate's (whoever has a trusted key may speak for any); `Malformed` and `TooLarge` for what does not parse.
    """
    signer, statement = verify_signature(data, trusted, at)
    provenance = parse_provenance(statement)
    require_subject(statement, manifest)
    if signer.spiffe_id and provenance.builder != signer.spiffe_id:
        raise NotVerified(f"{signer} signed what {provenance.builder!r:.200} would have observed", Reason.SIGNER)
    return signer, provenance
