"""Verification summaries (SLSA VSA, v1): a verifier looked at an artifact, by a policy, and what came of it.

Who promoted it and which named checks held are fields of our own, with the prefix that SLSA gives to extensions.
They only add: a reader who does not know them has the standard's meaning.
"""

import re
from dataclasses import dataclass
from typing import Final

from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.fields import encode_time
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.signer import Signer, Trusted, verify_signature
from nomoat.attestation.statement import Resource, Statement, parse_resource
from nomoat.attestation.subjects import require_subject
from nomoat.core.errors import Malformed

PREDICATE_TYPE: Final = "https://slsa.dev/verification_summary/v1"
SLSA_VERSION: Final = "1.0"
PROMOTED_BY: Final = "nomoat_promotedBy"
CHECKS: Final = "nomoat_checks"
PASSED: Final = "PASSED"
FAILED: Final = "FAILED"
MOST: Final = 1024  # of each list

_LEVEL: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a verifier says. Times in Unix seconds.

    `verifier` and `resource` are URIs; `policy` and `inputs` (the statements that were looked at) are resources with
    a `uri` and a `digest`; `levels` as SLSA spells them, or names of one's own; `promoted_by` are the subjects who
    approved, `checks` the named checks that held.
    """

    verifier: str
    verified_at: int
    resource: str
    policy: Resource
    passed: bool
    levels: tuple[str, ...] = ()
    inputs: tuple[Resource, ...] = ()
    promoted_by: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()


def describe_verification(summary: Summary, name: str, manifest: Manifest) -> Statement:
    """Return the summary as a statement about the artifact, which is called `name`.

    Raises `Malformed` and `TooLarge` for what nobody could read again.
    """
    statement = Statement(
        (manifest.subject(name),),
        PREDICATE_TYPE,
        {
            "verifier": {"id": summary.verifier},
            "timeVerified": encode_time(summary.verified_at),
            "resourceUri": summary.resource,
            "policy": summary.policy.encode(),
            "inputAttestations": [each.encode() for each in summary.inputs],
            "verificationResult": PASSED if summary.passed else FAILED,
            "verifiedLevels": list(summary.levels),
            "slsaVersion": SLSA_VERSION,
            PROMOTED_BY: list(summary.promoted_by),
            CHECKS: list(summary.checks),
        },
    )
    parse_summary(statement)
    return statement


def parse_summary(statement: Statement) -> Summary:
    """Parse a verification summary. Raises `Malformed`, `TooLarge`."""
    predicate = statement.require(PREDICATE_TYPE)
    result = predicate.text("verificationResult")
    if result not in {PASSED, FAILED}:
        predicate.refuse("verificationResult", f"{PASSED} or {FAILED}")
    policy = parse_resource(predicate.object("policy").value, "the policy")
    if not policy.uri:
        raise Malformed("the policy has no address")
    return Summary(
        verifier=predicate.object("verifier").text("id"),
        verified_at=predicate.time("timeVerified"),
        resource=predicate.text("resourceUri"),
        policy=policy,
        passed=result == PASSED,
        levels=_require_levels(predicate.texts("verifiedLevels", MOST)),
        inputs=tuple(parse_resource(each, "an input") for each in predicate.items("inputAttestations", MOST)),
        promoted_by=predicate.texts(PROMOTED_BY, MOST),
        checks=predicate.texts(CHECKS, MOST),
    )


def verify_summary(data: bytes, trusted: Trusted, manifest: Manifest, resource: str, at: int) -> tuple[Signer, Summary]:
    """Check that somebody trusted says that the artifact, known as `resource`, passed; return who, and all of it.

    Raises `NotVerified` for a signature that does not hold, another artifact, another resource, a verifier that is
    not the certificate's (whoever has a trusted key may speak for any), or a result that is not `PASSED`; `Malformed` and `TooLarge` for what does not parse.
    """
    signer, statement = verify_signature(data, trusted, at)
    summary = parse_summary(statement)
    require_subject(statement, manifest)
    if signer.spiffe_id and summary.verifier != signer.spiffe_id:
        raise NotVerified(f"{signer} signed what {summary.verifier!r:.200} would have verified", Reason.SIGNER)
    if summary.resource != resource:
        raise NotVerified(f"the summary is of {summary.resource!r:.200}, and not of {resource}", Reason.STATEMENT)
    if not summary.passed:
        raise NotVerified("the summary says that the artifact failed its verification", Reason.STATEMENT)
    return signer, summary


def _require_levels(levels: tuple[str, ...]) -> tuple[str, ...]:
    for level in levels:
        if not _LEVEL.fullmatch(level):
            raise Malformed(f"{level!r:.80} is no level: capital letters, digits and '_'")
    return levels
