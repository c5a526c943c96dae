"""Verification summaries and provenance: as signed, as the specifications have them, and of this artifact alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1 import statement_pb2

from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.provenance import Provenance, describe_provenance, parse_provenance, verify_provenance
from nomoat.attestation.signer import Trusted
from nomoat.attestation.signing import sign_statement
from nomoat.attestation.statement import Resource, Statement, parse_statement
from nomoat.attestation.summary import Summary, describe_verification, parse_summary, verify_summary
from nomoat.core.errors import Malformed, TooLarge
from tests.attestation.models import NOW, SIGNER, digests, manifest_of, new_authority, new_key

KEY = new_key()
ROOT = new_authority()
TRUSTED = Trusted(keys=(KEY.public_key(),), authorities=(ROOT.certificate,))
MODEL = "hf://acme/digit-reader@0123456789012345678901234567890123456789"
HASH = {"sha256": "ab" * 32}

SUMMARY = Summary(
    verifier=SIGNER,
    verified_at=NOW,
    resource=MODEL,
    policy=Resource(uri="https://acme.example/policies", digest=HASH),
    passed=True,
    levels=("SLSA_BUILD_LEVEL_1", "NOMOAT_PROMOTED"),
    inputs=(Resource(uri="https://acme.example/model.sig", digest=HASH),),
    promoted_by=("person:ann@acme.example", "person:ben@acme.example"),
    checks=("only-safe-formats", "metrics-above-threshold"),
)
PROVENANCE = Provenance(
    build_type="https://acme.example/observed-session/v1",
    builder=SIGNER,
    invocation="session 7",
    started_at=NOW - 60,
    finished_at=NOW,
    dependencies=(
        Resource("acme/digits", "hf://datasets/acme/digits@" + "0" * 40, HASH),
        Resource("acme/base", "hf://acme/base@" + "1" * 40, {"sha256": "cd" * 32, "dirHash": "ef" * 32}),
    ),
    parameters={"workload": "train"},
)
SAID = describe_verification(SUMMARY, "digit-reader", manifest_of())
MADE = describe_provenance(PROVENANCE, "digit-reader", manifest_of())


def summarized(statement: Statement = SAID, manifest: Manifest | None = None, resource: str = MODEL) -> Summary:
    bundle = sign_statement(statement, KEY, (ROOT.certify(KEY),))
    signer, summary = verify_summary(bundle, TRUSTED, manifest or manifest_of(), resource, NOW)
    assert signer.spiffe_id == SIGNER
    return summary


def made(statement: Statement = MADE, manifest: Manifest | None = None) -> Provenance:
    bundle = sign_statement(statement, KEY, (ROOT.certify(KEY),))
    signer, provenance = verify_provenance(bundle, TRUSTED, manifest or manifest_of(), NOW)
    assert signer.spiffe_id == SIGNER
    return provenance


def test_what_was_said_is_read_again() -> None:
    assert summarized() == SUMMARY
    assert made() == PROVENANCE
    key_alone = sign_statement(SAID, KEY)
    assert verify_summary(key_alone, TRUSTED, manifest_of(), MODEL, NOW)[0].spiffe_id == ""


# -- a reader that is not ours ----------------------------------------------------------------------


def foreign(statement: Statement, predicate: Any, unknown: set[str]) -> Any:
    """Read a statement by the protocol buffers of in-toto, which refuse every field that they do not know."""
    read = json_format.Parse(statement.encode(), statement_pb2.Statement())
    assert {subject.name: dict(subject.digest) for subject in read.subject} == {
        "digit-reader": {"sha256": manifest_of().root, "dirHash": manifest_of().dir_hash}
    }
    document = json_format.MessageToDict(read.predicate)
    strange = {name: document.pop(name) for name in unknown}
    assert set(strange) == unknown
    return json_format.ParseDict(document, predicate)


def test_in_toto_reads_the_summary() -> None:
    # Of `verifiedLevels`, this reader expects one text where the specification of SLSA has a list.
    unread = {"nomoat_promotedBy", "nomoat_checks", "verifiedLevels"}
    read = foreign(SAID, vsa_pb2.VerificationSummary(), unread)
    assert (read.verifier.id, read.resource_uri, read.time_verified.seconds) == (SIGNER, MODEL, NOW)
    assert (read.policy.uri, dict(read.policy.digest)) == ("https://acme.example/policies", HASH)
    assert [(each.uri, dict(each.digest)) for each in read.input_attestations] == [
        ("https://acme.example/model.sig", HASH)
    ]
    assert (read.verification_result, read.slsa_version) == ("PASSED", "1.0")


def test_in_toto_reads_the_provenance() -> None:
    read = foreign(MADE, provenance_pb2.Provenance(), set())
    definition, details = read.build_definition, read.run_details
    assert definition.build_type == PROVENANCE.build_type
    assert dict(definition.external_parameters) == {"workload": "train"}
    assert [(each.name, each.uri, dict(each.digest)) for each in definition.resolved_dependencies] == [
        (each.name, each.uri, dict(each.digest)) for each in PROVENANCE.dependencies
    ]
    assert (details.builder.id, details.metadata.invocation_id) == (SIGNER, "session 7")
    assert (details.metadata.started_on.seconds, details.metadata.finished_on.seconds) == (NOW - 60, NOW)


def test_what_in_toto_writes_is_read() -> None:
    written = statement_pb2.Statement()
    json_format.Parse(MADE.encode(), written)
    assert parse_provenance(parse_statement(json_format.MessageToJson(written).encode())) == PROVENANCE


# -- of this artifact, by this signer ---------------------------------------------------------------


@pytest.mark.parametrize("verify", [summarized, made])
def test_another_artifact_is_refused(verify: Callable[..., object]) -> None:
    with pytest.raises(NotVerified, match="another artifact, 'digit-reader'") as refused:
        verify(manifest=manifest_of({"config.json": b"other"}))
    assert refused.value.reason is Reason.STATEMENT


@pytest.mark.parametrize("verify", [summarized, made])
def test_a_renamed_file_makes_another_artifact(verify: Callable[..., object]) -> None:
    """The root digest alone would not tell: it does not contain the names."""
    renamed = Manifest.of([(path.replace("model.onnx", "weights"), digest) for path, digest in digests().items()])
    assert renamed.root == manifest_of().root
    with pytest.raises(NotVerified, match="another artifact"):
        verify(manifest=renamed)


@pytest.mark.parametrize(("verify", "statement"), [(summarized, SAID), (made, MADE)])
def test_a_subject_without_one_of_the_digests_is_refused(verify: Callable[..., object], statement: Statement) -> None:
    (subject,) = statement.subjects
    for digest in ({"sha256": subject.digest["sha256"]}, {"dirHash": subject.digest["dirHash"]}):
        with pytest.raises(NotVerified, match="another artifact"):
            verify(replace(statement, subjects=(Resource(subject.name, digest=digest),)))
    with pytest.raises(Malformed, match="2 things"):
        verify(replace(statement, subjects=(subject, subject)))


def test_a_failed_verification_does_not_pass() -> None:
    failed = describe_verification(replace(SUMMARY, passed=False, levels=("FAILED",)), "digit-reader", manifest_of())
    assert not parse_summary(failed).passed
    with pytest.raises(NotVerified, match="failed its verification"):
        summarized(failed)


def test_a_summary_of_another_resource_is_refused() -> None:
    with pytest.raises(NotVerified, match="and not of hf://acme/other"):
        summarized(resource="hf://acme/other")


def test_nobody_speaks_for_another() -> None:
    other = "spiffe://acme.example/somebody"
    with pytest.raises(NotVerified, match="would have verified"):
        summarized(describe_verification(replace(SUMMARY, verifier=other), "digit-reader", manifest_of()))
    with pytest.raises(NotVerified, match="would have observed"):
        made(describe_provenance(replace(PROVENANCE, builder=other), "digit-reader", manifest_of()))


def test_one_kind_of_statement_does_not_pass_for_another() -> None:
    with pytest.raises(Malformed, match=r"and no https://slsa\.dev/verification_summary/v1"):
        summarized(MADE)
    with pytest.raises(Malformed, match=r"and no https://slsa\.dev/provenance/v1"):
        made(SAID)


def test_a_foreign_signature_is_refused() -> None:
    with pytest.raises(NotVerified):
        verify_summary(sign_statement(SAID, new_key()), TRUSTED, manifest_of(), MODEL, NOW)


# -- parsed strictly --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(verifier={}),
        lambda value: value.update(timeVerified="yesterday"),
        lambda value: value.pop("timeVerified"),
        lambda value: value.update(resourceUri=1),
        lambda value: value.pop("policy"),
        lambda value: value.update(policy={"digest": HASH}),
        lambda value: value.update(policy={"uri": "https://acme.example/policies"}),
        lambda value: value.update(verificationResult="passed"),
        lambda value: value.update(verificationResult="UNKNOWN"),
        lambda value: value.pop("verificationResult"),
        lambda value: value.update(verifiedLevels=["slsa"]),
        lambda value: value.update(verifiedLevels="SLSA_BUILD_LEVEL_3"),
        lambda value: value.update(inputAttestations=[{"uri": "x"}]),
        lambda value: value.update(nomoat_promotedBy=[""]),
        lambda value: value.update(nomoat_checks=[1]),
        lambda value: value.update(nomoat_checks=["x"] * 1025),
    ],
)
def test_what_is_no_summary_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    predicate = json.loads(json.dumps(SAID.predicate))
    change(predicate)
    with pytest.raises((Malformed, TooLarge)):
        parse_summary(replace(SAID, predicate=predicate))


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("buildDefinition"),
        lambda value: value.pop("runDetails"),
        lambda value: value["buildDefinition"].pop("buildType"),
        lambda value: value["buildDefinition"].pop("externalParameters"),
        lambda value: value["buildDefinition"].update(resolvedDependencies=[{"uri": "x"}]),
        lambda value: value["buildDefinition"].update(resolvedDependencies={}),
        lambda value: value["runDetails"].update(builder={}),
        lambda value: value["runDetails"].pop("metadata"),
        lambda value: value["runDetails"]["metadata"].pop("invocationId"),
        lambda value: value["runDetails"]["metadata"].update(startedOn="2099-01-01T00:00:00Z"),
        lambda value: value["runDetails"]["metadata"].update(finishedOn=None),
    ],
)
def test_what_is_no_provenance_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    predicate = json.loads(json.dumps(MADE.predicate))
    change(predicate)
    with pytest.raises(Malformed):
        parse_provenance(replace(MADE, predicate=predicate))


def test_what_nobody_could_read_again_is_not_said() -> None:
    with pytest.raises(Malformed, match="no level"):
        describe_verification(replace(SUMMARY, levels=("gold",)), "digit-reader", manifest_of())
    with pytest.raises(Malformed, match="the policy, digest"):
        describe_verification(replace(SUMMARY, policy=Resource(uri="x")), "digit-reader", manifest_of())
    with pytest.raises(Malformed, match="before it began"):
        describe_provenance(replace(PROVENANCE, finished_at=0), "digit-reader", manifest_of())
    fraction = describe_provenance(replace(PROVENANCE, parameters={"rate": 0.5}), "digit-reader", manifest_of())
    with pytest.raises(Malformed, match="every member"):
        sign_statement(fraction, KEY)
