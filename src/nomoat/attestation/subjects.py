"""Whether a statement is about an artifact: by both of its digests, as one of them does not contain the names of files."""

from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.statement import Statement


def require_subject(statement: Statement, manifest: Manifest) -> None:
    """Raise `NotVerified` unless the statement is about the artifact of `manifest`; `Malformed` for several subjects."""
    subject = statement.only_subject()
    if dict(subject.digest) != dict(manifest.subject("").digest):
        raise NotVerified(f"the statement is about another artifact, {subject.name!r:.200}", Reason.STATEMENT)
