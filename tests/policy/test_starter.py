"""The starter policies as a table of expectations; each policy is needed by some line of it."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.decision import Allow
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, Principal
from nomoat.policy import PolicySnapshot, compile_policies, starter_policies
from nomoat.policy.source import clauses
from tests.policy.test_schema import SUBJECTS
from tests.policy.world import (
    CONFIDENTIAL,
    GATEWAY,
    INTERNAL,
    LOG,
    POLICIES,
    PUBLIC,
    RECORDS,
    RESTRICTED,
    ask,
    context,
    dataset,
    directory,
    document,
    endpoint,
    file,
    identity,
    library,
    model,
    person,
    source,
    upstream,
    view,
    workload,
)

NONE, MTLS, DPOP, DEVICE_KEY, CODE, CAPABILITY = Binding

INGEST = workload("ingest", segment="ingestion", clearance=CONFIDENTIAL)
INGEST_INTERNAL = workload("ingest", segment="ingestion", clearance=INTERNAL)
INGEST_RESTRICTED = workload("ingest", segment="ingestion", clearance=RESTRICTED)
TRAIN = workload("train", segment="training", clearance=CONFIDENTIAL)
PROMETHEUS = workload("prometheus", segment="monitoring")
SERVING = workload("serving", segment="serving", clearance=CONFIDENTIAL)
DEPLOY = workload("deploy", segment="deployment", clearance=CONFIDENTIAL)
SCIENTIST = person("scientist", "data-scientists", clearance=INTERNAL)
SCIENTIST_CLEARED = person("scientist", "data-scientists", clearance=CONFIDENTIAL)
SCIENTIST_RESTRICTED = person("scientist", "data-scientists", clearance=RESTRICTED)
ENGINEER = person("engineer", "data-engineers", clearance=CONFIDENTIAL)
ADMINISTRATOR = person("root", "administrators", clearance=RESTRICTED)
APPROVER = person("approver", "approvers", clearance=RESTRICTED)
ML_ENGINEER = person("modeller", "ml-engineers", clearance=CONFIDENTIAL)
MODELS_ADMINISTRATOR = person("both", "administrators", "approvers")
SEARCHER = person("searcher", "index-readers", clearance=INTERNAL)
LIBRARIAN = workload("librarian", "librarians", segment="ingestion", clearance=INTERNAL)
AUDITOR = person("auditor", "auditors", clearance=RESTRICTED)
NEW_AUDITOR = person("new-auditor", "auditors")
PRIVACY = person("officer", "privacy-officers")
PRIVATE_ADMINISTRATOR = person("root", "administrators", "privacy-officers", clearance=RESTRICTED)
ADA = person("ada", clearance=RESTRICTED)
USER = person("user", "model-users", clearance=INTERNAL)

DIGITS = dataset(classification=CONFIDENTIAL, owner_group="data-engineers")
RAW = file("data/train.parquet", of=DIGITS)
METRICS = file("metrics.json", of=DIGITS, labels=frozenset({"metrics"}), classification=INTERNAL)
RAW_METRICS = file("raw-metrics.json", of=DIGITS, labels=frozenset({"metrics"}))
FOREIGN = dataset("acme/foreign", classification=INTERNAL, owner_group="others")
FOREIGN_FILE = file("a", of=FOREIGN)
READER = model("acme/digit-reader", classification=CONFIDENTIAL, owner_group="data-engineers")
WEIGHTS = file("model.safetensors", of=READER)
MODELLED = model("acme/owned", classification=CONFIDENTIAL, owner_group="ml-engineers")
OWNED_DATASET = dataset("acme/owned", classification=CONFIDENTIAL, owner_group="ml-engineers")
ADAS = model("ada/toy", owner_person="ada")
ADAS_RECORDS = Target("LogRecord", "records", "record 7", facts=(("subject", "person:ada"),))
MASKED = view(of=DIGITS, labels=frozenset({"masked"}), classification=INTERNAL)
SECRET = dataset("acme/secret", classification=RESTRICTED)
SECRET_FILE = file("a", of=SECRET)
SECRET_METRICS = file("metrics.json", of=SECRET, labels=frozenset({"metrics"}))


class Expectation(NamedTuple):
    """Who does what to what, over which binding: `yes` names the permit, `no` the forbids (none: no permit)."""

    who: Principal
    action: str
    on: Target
    binding: Binding
    yes: str = ""
    no: tuple[str, ...] = ()


def may(who: Principal, action: str, on: Target, policy: str, binding: Binding = MTLS) -> Expectation:
    return Expectation(who, action, on, binding, yes=policy)


def not_(who: Principal, action: str, on: Target, *forbids: str, binding: Binding = MTLS) -> Expectation:
    return Expectation(who, action, on, binding, no=forbids)


def stood(on: Target, stage: str, *, authored: bool = False) -> Target:
    """A version that stands there."""
    return on._replace(facts=(*on.facts, ("stage", stage), ("authored", authored)))


CANDIDATE, MINE = stood(READER, "candidate"), stood(READER, "candidate", authored=True)
CANDIDATE_WEIGHTS, APPROVED_WEIGHTS = stood(WEIGHTS, "candidate"), stood(WEIGHTS, "approved")
WITHDRAWN_WEIGHTS = stood(WEIGHTS, "withdrawn")
UNAPPROVED, WITHDRAWN = "only-approved-versions-are-read", "withdrawn-versions-are-not-read"
QUERYING_ABOVE, UNAPPROVED_VIEW = "nobody-queries-above-clearance", "only-approved-versions-are-queried"
READING_ABOVE = "nobody-reads-above-clearance"
WRITING_ABOVE = "nobody-writes-above-clearance"
HIDDEN = "restricted-is-hidden-above-clearance"
BOUND_DATA = "restricted-needs-a-bound-credential"
BOUND_REMOVAL = "removal-needs-a-bound-credential"
BOUND_ADMINISTRATION = "administration-needs-a-bound-credential"

EXPECTATIONS = [
    # Being someone
    may(ADA, "Whoami", identity("person:ada"), "everyone-identifies-itself"),
    may(ADA, "Whoami", identity("person:ada"), "everyone-identifies-itself", NONE),
    may(ADA, "IssueToken", identity("person:ada"), "everyone-identifies-itself", DEVICE_KEY),
    not_(ADA, "IssueToken", identity("person:ada"), "unbound-credentials-do-not-renew", binding=DPOP),
    may(ADA, "ValidateCard", identity("person:ada"), "everyone-validates-cards", NONE),
    not_(ADA, "ValidateCard", identity("person:eve")),
    not_(ADA, "ValidateCard", identity("person:ada"), "codes-only-join", binding=CODE),
    may(ADA, "ListRepositories", identity("person:ada"), "everyone-lists-repositories", NONE),
    not_(ADA, "ListRepositories", identity("person:eve")),
    not_(ADA, "ListRepositories", identity("person:ada"), "codes-only-join", binding=CODE),
    # Asking models
    may(ADA, "ListEndpoints", identity("person:ada"), "everyone-lists-endpoints", NONE),
    not_(ADA, "ListEndpoints", identity("person:eve")),
    may(ADA, "ReadOwnQuotas", identity("person:ada"), "everyone-reads-their-own-quotas", NONE),
    not_(ADA, "ReadOwnQuotas", identity("person:eve")),
    may(USER, "InvokeModel", endpoint(classification=INTERNAL), "model-users-invoke-models", NONE),
    not_(USER, "InvokeModel", endpoint(classification=CONFIDENTIAL)),
    not_(USER, "InvokeModel", endpoint(), "codes-only-join", binding=CODE),
    not_(ADA, "InvokeModel", endpoint()),
    may(AUDITOR, "ReadContents", endpoint(classification=RESTRICTED), "auditors-read-kept-contents"),
    not_(NEW_AUDITOR, "ReadContents", endpoint(classification=INTERNAL)),
    not_(AUDITOR, "ReadContents", endpoint(), BOUND_ADMINISTRATION, binding=NONE),
    not_(AUDITOR, "InvokeModel", endpoint()),
    not_(ADMINISTRATOR, "ReadContents", endpoint()),
    not_(USER, "ReadContents", endpoint()),
    may(
        USER,
        "SendPrompt",
        upstream(classification=INTERNAL, cleared=INTERNAL),
        "prompts-go-where-they-are-cleared",
        NONE,
    ),
    not_(USER, "SendPrompt", upstream(classification=CONFIDENTIAL, cleared=INTERNAL)),
    may(
        person("coder", "engine-team"),
        "InvokeModel",
        source(cleared="engine-team"),
        "sources-are-for-who-may-have-them",
    ),
    not_(USER, "InvokeModel", source(cleared="engine-team")),
    may(
        person("coder", "engine-team"),
        "ReleaseAnswer",
        source(cleared="engine-team"),
        "sources-are-for-who-may-have-them",
    ),
    not_(USER, "ReleaseAnswer", source(cleared="engine-team")),
    may(SEARCHER, "ListIndexes", identity("person:searcher"), "everyone-lists-indexes", NONE),
    not_(SEARCHER, "ListIndexes", identity("person:ada")),
    may(LIBRARIAN, "UploadFile", identity("workload:librarian"), "everyone-has-their-own-uploads"),
    not_(LIBRARIAN, "UploadFile", identity("person:ada")),
    may(SEARCHER, "ListUploads", identity("person:searcher"), "everyone-has-their-own-uploads", NONE),
    not_(SEARCHER, "ListUploads", identity("person:ada")),
    may(SEARCHER, "RemoveUpload", identity("person:searcher"), "everyone-has-their-own-uploads", NONE),
    not_(SEARCHER, "RemoveUpload", identity("person:ada")),
    may(SEARCHER, "SearchIndex", library(), "index-readers-search", NONE),
    not_(USER, "SearchIndex", library()),
    may(SEARCHER, "ReadPassages", document(classification=INTERNAL), "index-readers-read-what-is-open-or-shared", NONE),
    may(SEARCHER, "ReadPassages", document(listed=True, shared=True), "index-readers-read-what-is-open-or-shared"),
    may(SEARCHER, "ReadPassages", document(listed=True, owned=True), "index-readers-read-what-is-open-or-shared"),
    not_(SEARCHER, "ReadPassages", document(listed=True)),
    not_(SEARCHER, "ReadPassages", document(classification=CONFIDENTIAL), "nobody-reads-above-clearance"),
    not_(USER, "ReadPassages", document()),
    may(LIBRARIAN, "WriteDocuments", library(owner_group="librarians"), "owners-keep-their-indexes"),
    may(LIBRARIAN, "SearchIndex", library(owner_group="librarians"), "owners-keep-their-indexes"),
    not_(LIBRARIAN, "ReadPassages", document(owner_group="librarians")),
    not_(LIBRARIAN, "WriteDocuments", library()),
    not_(
        LIBRARIAN,
        "WriteDocuments",
        document(owner_group="librarians", classification=CONFIDENTIAL),
        "nobody-writes-above-clearance",
    ),
    not_(SEARCHER, "WriteDocuments", library()),
    may(USER, "ReleaseAnswer", endpoint(classification=INTERNAL), "answers-go-to-who-is-cleared", NONE),
    not_(USER, "ReleaseAnswer", endpoint(classification=CONFIDENTIAL)),
    not_(USER, "ReleaseAnswer", endpoint(labels=frozenset({"canary"})), "canaries-go-nowhere"),
    may(USER, "SendPrompt", upstream(stage="approved"), "prompts-go-where-they-are-cleared"),
    not_(USER, "SendPrompt", upstream(stage="withdrawn"), "only-approved-weights-answer"),
    not_(USER, "SendPrompt", upstream(labels=frozenset({"secret"})), "secrets-stay-here"),
    not_(USER, "SendPrompt", upstream(labels=frozenset({"personal"})), "personal-data-stays-here"),
    not_(USER, "SendPrompt", upstream(labels=frozenset({"canary"})), "canaries-go-nowhere"),
    may(TRAIN, "RenewCertificate", identity("workload:train", "workload"), "everyone-identifies-itself"),
    not_(ADA, "Whoami", identity("person:eve")),
    not_(ADA, "IssueToken", identity("workload:ada", "workload")),
    not_(ADA, "IssueToken", identity("person:ada"), "unbound-credentials-do-not-renew", binding=NONE),
    not_(ADA, "RenewCertificate", identity("person:ada"), "unbound-credentials-do-not-renew", binding=NONE),
    may(ADA, "RegisterDevice", identity("person:ada"), "codes-register-devices", CODE),
    not_(ADA, "RegisterDevice", identity("person:eve"), binding=CODE),
    not_(ADA, "RegisterDevice", identity("person:ada"), "only-codes-join"),
    not_(ADA, "RegisterDevice", identity("person:ada"), "only-codes-join", binding=NONE),
    not_(ADA, "JoinWorkload", identity("person:ada"), binding=CODE),
    may(TRAIN, "JoinWorkload", identity("workload:train", "workload"), "codes-join-workloads", CODE),
    not_(TRAIN, "JoinWorkload", identity("workload:deploy", "workload"), binding=CODE),
    not_(TRAIN, "JoinWorkload", identity("workload:train", "workload"), "only-codes-join"),
    not_(TRAIN, "RegisterDevice", identity("workload:train", "workload"), binding=CODE),
    # Versions
    may(DEPLOY, "ReadFile", APPROVED_WEIGHTS, "deployment-reads-models"),
    may(SERVING, "ReadFile", APPROVED_WEIGHTS, "servers-read-models"),
    not_(SERVING, "ReadFile", RAW),
    not_(DEPLOY, "ReadFile", CANDIDATE_WEIGHTS, UNAPPROVED),
    not_(DEPLOY, "ReadFile", WITHDRAWN_WEIGHTS, UNAPPROVED, WITHDRAWN),
    may(TRAIN, "ReadFile", stood(WEIGHTS, "candidate", authored=True), "training-reads-models"),
    not_(TRAIN, "ReadFile", stood(WEIGHTS, "withdrawn", authored=True), WITHDRAWN),
    may(APPROVER, "ReadFile", CANDIDATE_WEIGHTS, "approvers-look-at-what-they-judge"),
    not_(APPROVER, "ReadFile", APPROVED_WEIGHTS),
    may(APPROVER, "ListVersions", READER, "approvers-find-versions"),
    may(APPROVER, "DiffVersions", DIGITS, "approvers-compare-versions"),
    may(APPROVER, "ReadManifest", DIGITS, "approvers-compare-versions"),
    not_(ADMINISTRATOR, "DiffVersions", DIGITS),
    *(
        not_(
            person("approver", "approvers", clearance=INTERNAL), action, SECRET, "restricted-is-hidden-above-clearance"
        )
        for action in ("ListVersions", "ReadManifest", "DiffVersions", "ApproveVersion", "WithdrawVersion")
    ),
    may(ADA, "DiffVersions", ADAS, "owners-compare-what-they-own"),
    not_(ADA, "DiffVersions", DIGITS),
    may(APPROVER, "ApproveVersion", CANDIDATE, "approvers-judge-versions"),
    not_(APPROVER, "ApproveVersion", CANDIDATE, BOUND_ADMINISTRATION, binding=NONE),
    not_(APPROVER, "ApproveVersion", MINE, "authors-do-not-approve"),
    not_(ADMINISTRATOR, "ApproveVersion", CANDIDATE),
    may(ENGINEER, "WithdrawVersion", CANDIDATE, "owners-withdraw-what-they-own"),
    not_(ENGINEER, "ApproveVersion", CANDIDATE),
    # Lineage
    may(AUDITOR, "ReadLineage", READER, "auditors-trace"),
    may(AUDITOR, "Discover", READER, "auditors-trace"),
    may(AUDITOR, "ReadLineage", WITHDRAWN_WEIGHTS, "auditors-trace"),
    not_(AUDITOR, "ReadLineage", READER, BOUND_ADMINISTRATION, binding=NONE),
    not_(person("auditor", "auditors"), "ReadLineage", RAW, "nobody-traces-files-above-clearance"),
    not_(person("auditor", "auditors"), "ReadLineage", SECRET, HIDDEN),
    may(APPROVER, "ReadLineage", CANDIDATE, "approvers-trace-what-they-judge"),
    may(ENGINEER, "ReadLineage", DIGITS, "owners-trace-what-they-own"),
    may(ENGINEER, "ReadLineage", RAW, "owners-trace-what-they-own"),
    may(ADA, "ReadLineage", ADAS, "owners-trace-what-they-own"),
    may(ML_ENGINEER, "ReadLineage", READER, "ml-engineers-trace-models"),
    not_(ML_ENGINEER, "ReadLineage", DIGITS),
    not_(SCIENTIST, "ReadLineage", READER),
    not_(ADMINISTRATOR, "ReadLineage", READER),
    may(DEPLOY, "ReportLoad", stood(READER, "approved"), "deployment-reads-models"),
    not_(DEPLOY, "ReportLoad", stood(READER, "withdrawn"), UNAPPROVED),
    may(APPROVER, "LowerLabel", CANDIDATE, "approvers-judge-versions"),
    not_(APPROVER, "LowerLabel", MINE, "authors-do-not-lower-labels"),
    not_(person("approver", "approvers"), "LowerLabel", CANDIDATE, "nobody-lowers-above-clearance"),
    not_(ENGINEER, "LowerLabel", CANDIDATE),
    # Views
    may(SCIENTIST, "QueryView", MASKED, "scientists-query-masked-views"),
    may(SCIENTIST, "QueryView", stood(MASKED, "approved"), "scientists-query-masked-views"),
    not_(SCIENTIST, "ReadFile", RAW, READING_ABOVE),
    not_(SCIENTIST, "QueryView", view("plain", of=DIGITS, classification=INTERNAL)),
    not_(SCIENTIST, "QueryView", MASKED._replace(classification=CONFIDENTIAL), QUERYING_ABOVE),
    not_(SCIENTIST, "QueryView", stood(MASKED, "candidate"), UNAPPROVED_VIEW),
    may(SCIENTIST, "QueryView", stood(MASKED, "candidate", authored=True), "scientists-query-masked-views"),
    not_(SCIENTIST, "QueryView", stood(MASKED, "withdrawn", authored=True), UNAPPROVED_VIEW),
    may(ENGINEER, "QueryView", view("plain", of=DIGITS), "engineers-query-their-views"),
    may(ENGINEER, "QueryView", stood(view("plain", of=DIGITS), "candidate"), "engineers-query-their-views"),
    not_(ENGINEER, "QueryView", view("plain", of=FOREIGN)),
    not_(TRAIN, "QueryView", MASKED),
    not_(ADMINISTRATOR, "QueryView", MASKED),
    # Metrics
    may(SCIENTIST, "ReadMetric", stood(DIGITS, "approved"), "scientists-read-noisy-metrics", NONE),
    may(SCIENTIST, "ListMetrics", DIGITS, "scientists-read-noisy-metrics"),
    may(ENGINEER, "ReadMetric", stood(DIGITS, "approved"), "owners-measure-what-they-own"),
    may(ADA, "ListMetrics", ADAS, "owners-measure-what-they-own"),
    not_(SCIENTIST, "ReadMetric", stood(DIGITS, "candidate"), "only-approved-versions-are-measured"),
    not_(ENGINEER, "ReadMetric", stood(DIGITS, "candidate", authored=True), "only-approved-versions-are-measured"),
    not_(SCIENTIST, "ReadMetric", stood(SECRET, "approved"), HIDDEN),
    not_(INGEST, "ReadMetric", stood(DIGITS, "approved")),
    not_(ADMINISTRATOR, "ReadMetric", stood(DIGITS, "approved")),
    not_(INGEST, "ListVersions", SECRET, HIDDEN),
    # Credentials
    not_(ADA, "Whoami", identity("person:ada"), "codes-only-join", binding=CODE),
    not_(INGEST, "WriteFile", RAW, "codes-only-join", binding=CODE),
    not_(INGEST, "Discover", DIGITS, "codes-only-join", binding=CODE),
    may(INGEST, "UploadBlob", DIGITS, "ingestion-writes-datasets", CAPABILITY),
    may(INGEST_RESTRICTED, "UploadBlob", SECRET, "ingestion-writes-datasets", CAPABILITY),
    may(INGEST, "Discover", DIGITS, "ingestion-reads-datasets", CAPABILITY),
    not_(INGEST, "ReadFile", RAW, "capabilities-only-upload", binding=CAPABILITY),
    not_(INGEST, "WriteFile", RAW, "capabilities-only-upload", binding=CAPABILITY),
    not_(TRAIN, "UploadBlob", DIGITS, binding=CAPABILITY),
    # The pipeline
    may(INGEST, "CreateRepository", DIGITS, "ingestion-writes-datasets"),
    may(INGEST, "WriteFile", RAW, "ingestion-writes-datasets", NONE),
    may(INGEST, "ReadFile", RAW, "ingestion-reads-datasets"),
    may(INGEST, "Discover", DIGITS, "ingestion-reads-datasets"),
    not_(INGEST, "WriteFile", WEIGHTS),
    not_(INGEST, "Discover", READER),
    may(TRAIN, "ReadFile", RAW, "training-reads-datasets", NONE),
    may(TRAIN, "Discover", DIGITS, "training-reads-datasets"),
    not_(TRAIN, "WriteFile", RAW),
    may(TRAIN, "WriteFile", WEIGHTS, "training-publishes-models"),
    may(TRAIN, "GrantUpload", READER, "training-publishes-models"),
    may(TRAIN, "ReadFile", WEIGHTS, "training-reads-models"),
    may(TRAIN, "Discover", READER, "training-reads-models"),
    may(DEPLOY, "ReadFile", WEIGHTS, "deployment-reads-models", NONE),
    may(DEPLOY, "ListFiles", READER, "deployment-reads-models"),
    not_(DEPLOY, "WriteFile", WEIGHTS),
    not_(DEPLOY, "ReadFile", RAW),
    not_(DEPLOY, "Discover", DIGITS),
    not_(workload("idle", clearance=RESTRICTED), "ReadFile", RAW),
    # People
    may(SCIENTIST, "ReadFile", METRICS, "scientists-read-metrics"),
    may(SCIENTIST, "ReadFile", METRICS, "scientists-read-metrics", NONE),
    may(SCIENTIST, "DescribeFile", METRICS, "scientists-read-metrics"),
    may(SCIENTIST, "DescribeRepository", DIGITS, "scientists-browse-repositories"),
    may(SCIENTIST, "ListFiles", READER, "scientists-browse-repositories"),
    may(SCIENTIST, "Discover", DIGITS, "scientists-browse-repositories"),  # hence refused, not missing:
    not_(SCIENTIST, "ReadFile", RAW, READING_ABOVE),
    not_(SCIENTIST, "DescribeFile", RAW, READING_ABOVE),
    not_(SCIENTIST, "ReadFile", RAW_METRICS, READING_ABOVE),
    not_(SCIENTIST_CLEARED, "ReadFile", RAW),
    not_(SCIENTIST_CLEARED, "WriteFile", METRICS),
    may(ENGINEER, "ReadFile", RAW, "engineers-keep-their-datasets"),
    may(ENGINEER, "WriteFile", RAW, "engineers-keep-their-datasets"),
    may(ENGINEER, "Discover", DIGITS, "owners-discover-what-they-own"),
    may(ENGINEER, "Discover", READER, "owners-discover-what-they-own"),
    not_(ENGINEER, "ReadFile", WEIGHTS),
    not_(ENGINEER, "ReadFile", FOREIGN_FILE),
    not_(ENGINEER, "Discover", FOREIGN),
    may(ADA, "Discover", ADAS, "owners-discover-what-they-own"),
    not_(person("eve"), "Discover", ADAS),
    not_(ADA, "Discover", DIGITS),
    may(ML_ENGINEER, "ReadFile", WEIGHTS, "ml-engineers-read-models", NONE),
    may(ML_ENGINEER, "Discover", READER, "ml-engineers-read-models"),
    may(ML_ENGINEER, "WriteFile", file("w", of=MODELLED), "ml-engineers-keep-their-models"),
    may(ML_ENGINEER, "CreateRepository", MODELLED, "ml-engineers-keep-their-models"),
    not_(ML_ENGINEER, "WriteFile", WEIGHTS),
    not_(ML_ENGINEER, "WriteFile", file("d", of=OWNED_DATASET)),
    may(ML_ENGINEER, "ListFiles", DIGITS, "ml-engineers-find-datasets"),
    not_(ML_ENGINEER, "ReadFile", RAW),
    not_(ML_ENGINEER, "ReadFile", SECRET_FILE, READING_ABOVE),
    # History, branches, tags, and the end of a repository
    may(INGEST, "CreateBranch", DIGITS, "ingestion-writes-datasets", NONE),
    may(TRAIN, "CreateTag", READER, "training-publishes-models", NONE),
    may(TRAIN, "ListCommits", DIGITS, "training-reads-datasets"),
    not_(TRAIN, "DeleteBranch", DIGITS),
    not_(SCIENTIST, "ListCommits", DIGITS),
    not_(SCIENTIST_CLEARED, "ListCommits", SECRET, HIDDEN),
    may(ENGINEER, "DeleteRepository", DIGITS, "owners-remove-what-they-own"),
    may(ADA, "DeleteRepository", ADAS, "owners-remove-what-they-own", DEVICE_KEY),
    not_(ENGINEER, "DeleteRepository", DIGITS, BOUND_REMOVAL, binding=NONE),
    not_(ENGINEER, "DeleteRepository", FOREIGN),
    not_(INGEST, "DeleteRepository", DIGITS),
    not_(ADMINISTRATOR, "DeleteRepository", DIGITS),
    # Clearance
    not_(INGEST_INTERNAL, "ReadFile", RAW, READING_ABOVE),
    not_(INGEST_INTERNAL, "WriteFile", RAW, WRITING_ABOVE),
    not_(INGEST_INTERNAL, "UploadBlob", DIGITS, WRITING_ABOVE, binding=CAPABILITY),
    not_(INGEST, "WriteFile", SECRET_FILE, WRITING_ABOVE),
    not_(SCIENTIST_CLEARED, "Discover", SECRET, HIDDEN),
    not_(SCIENTIST_CLEARED, "ListFiles", SECRET, HIDDEN),
    not_(SCIENTIST_CLEARED, "DescribeRepository", SECRET, HIDDEN),
    may(SCIENTIST_RESTRICTED, "Discover", SECRET, "scientists-browse-repositories"),
    # Restricted
    may(SCIENTIST_RESTRICTED, "ReadFile", SECRET_METRICS, "scientists-read-metrics"),
    not_(SCIENTIST_RESTRICTED, "ReadFile", SECRET_METRICS, BOUND_DATA, binding=NONE),
    not_(INGEST_RESTRICTED, "WriteFile", SECRET_FILE, BOUND_DATA, binding=NONE),
    not_(INGEST_RESTRICTED, "Discover", SECRET, BOUND_DATA, binding=NONE),
    # Administration
    may(ADMINISTRATOR, "Enroll", identity("person:ada"), "administrators-administer"),
    may(ADMINISTRATOR, "Revoke", identity("person:ada", "session"), "administrators-administer", DEVICE_KEY),
    may(ADMINISTRATOR, "Revoke", identity("person:ada", "session"), "administrators-administer", DPOP),
    may(ADMINISTRATOR, "ApplyPolicy", POLICIES, "administrators-administer"),
    may(ADMINISTRATOR, "ApplyDirectory", directory(), "administrators-administer"),
    not_(ADMINISTRATOR, "ApplyDirectory", directory(widens_self=True), "nobody-widens-their-own-rights"),
    not_(ADMINISTRATOR, "Enroll", identity("person:ada"), BOUND_ADMINISTRATION, binding=NONE),
    not_(ADMINISTRATOR, "ReadLog", LOG),
    may(ADMINISTRATOR, "ReadStatus", GATEWAY, "administrators-administer"),
    may(ADMINISTRATOR, "RotateKeys", GATEWAY, "administrators-administer"),
    may(ADMINISTRATOR, "ShredVersion", CANDIDATE, "administrators-shred-versions"),
    not_(ADMINISTRATOR, "ShredVersion", CANDIDATE, BOUND_ADMINISTRATION, binding=NONE),
    not_(APPROVER, "ShredVersion", CANDIDATE),
    may(ADMINISTRATOR, "ShredDocuments", library(), "administrators-shred-documents"),
    may(ADMINISTRATOR, "ShredDocuments", document(), "administrators-shred-documents"),
    not_(ADMINISTRATOR, "ShredDocuments", library(), BOUND_ADMINISTRATION, binding=NONE),
    not_(
        person("clerk", "administrators", clearance=INTERNAL),
        "ShredDocuments",
        document(classification=RESTRICTED),
        "nobody-writes-above-clearance",
    ),
    not_(LIBRARIAN, "ShredDocuments", library(owner_group="librarians")),
    not_(ENGINEER, "ShredVersion", CANDIDATE),
    not_(PROMETHEUS, "ReadKeys", GATEWAY),
    may(PROMETHEUS, "ReadStatus", GATEWAY, "monitoring-reads-the-status"),
    not_(PROMETHEUS, "ReadStatus", GATEWAY, BOUND_ADMINISTRATION, binding=NONE),
    not_(PROMETHEUS, "ReadLog", LOG),
    not_(TRAIN, "ReadStatus", GATEWAY),
    not_(ADA, "Enroll", identity("person:ada")),
    may(AUDITOR, "ReadLog", LOG, "auditors-read-the-log"),
    may(AUDITOR, "ReadEntries", LOG, "auditors-read-the-log"),
    may(AUDITOR, "ProveRecord", LOG, "auditors-read-the-log"),
    not_(ADMINISTRATOR, "ProveRecord", LOG),
    not_(ADA, "ReadEntries", LOG),
    not_(AUDITOR, "ReadLog", LOG, BOUND_ADMINISTRATION, binding=NONE),
    may(AUDITOR, "ExplainRecord", RECORDS, "auditors-ask-why"),
    may(AUDITOR, "SimulatePolicy", LOG, "auditors-ask-why"),
    not_(AUDITOR, "ExplainRecord", RECORDS, BOUND_ADMINISTRATION, binding=NONE),
    not_(AUDITOR, "TryPolicy", POLICIES),
    may(ADA, "ExplainRecord", ADAS_RECORDS, "everyone-asks-why-they-were-refused"),
    not_(ADA, "ExplainRecord", RECORDS),
    may(ADA, "ProveOwnRecord", ADAS_RECORDS, "everyone-proves-their-own-accesses"),
    not_(ADA, "ProveOwnRecord", RECORDS),
    not_(ADA, "ProveOwnRecord", ADAS_RECORDS, BOUND_ADMINISTRATION, binding=NONE),
    not_(SCIENTIST, "ProveOwnRecord", ADAS_RECORDS),
    not_(ADA, "ExplainRecord", ADAS_RECORDS, BOUND_ADMINISTRATION, binding=NONE),
    not_(SCIENTIST, "ExplainRecord", ADAS_RECORDS),
    not_(ADMINISTRATOR, "SimulatePolicy", LOG),
    may(ADMINISTRATOR, "TryPolicy", POLICIES, "administrators-administer"),
    may(ADMINISTRATOR, "ReadPolicy", POLICIES, "administrators-administer"),
    not_(ADMINISTRATOR, "ReadPolicy", POLICIES, BOUND_ADMINISTRATION, binding=NONE),
    may(APPROVER, "ReadPolicy", POLICIES, "approvers-try-changes"),
    may(AUDITOR, "ReadPolicy", POLICIES, "auditors-ask-why"),
    not_(PROMETHEUS, "ReadPolicy", POLICIES),
    not_(ADA, "ReadPolicy", POLICIES),
    may(APPROVER, "SimulatePolicy", LOG, "approvers-try-changes"),
    may(APPROVER, "ReadDifferences", LOG, "approvers-try-changes"),
    may(APPROVER, "FindUnused", LOG, "approvers-try-changes"),
    may(APPROVER, "TryPolicy", POLICIES, "approvers-try-changes"),
    not_(APPROVER, "TryPolicy", POLICIES, BOUND_ADMINISTRATION, binding=NONE),
    not_(APPROVER, "ReadLog", LOG),
    not_(APPROVER, "ApplyPolicy", POLICIES, "approvers-change-nothing"),
    not_(MODELS_ADMINISTRATOR, "ApplyPolicy", POLICIES, "approvers-change-nothing"),
    not_(MODELS_ADMINISTRATOR, "Revoke", identity("person:ada"), "approvers-change-nothing"),
    may(AUDITOR, "ReportLog", LOG, "auditors-read-the-log"),
    not_(ADMINISTRATOR, "ReportLog", LOG),
    may(AUDITOR, "ExportLog", LOG, "auditors-export-the-log"),
    not_(AUDITOR, "ExportLog", LOG, BOUND_ADMINISTRATION, binding=NONE),
    not_(ADMINISTRATOR, "ExportLog", LOG),
    may(PRIVACY, "EraseContent", identity("person:ada"), "privacy-officers-erase"),
    not_(PRIVACY, "EraseContent", identity("person:ada"), BOUND_ADMINISTRATION, binding=NONE),
    not_(PRIVACY, "EraseContent", identity("person:officer"), "nobody-erases-their-own-records"),
    not_(PRIVATE_ADMINISTRATOR, "EraseContent", identity("person:ada"), "administrators-do-not-erase"),
    not_(ADMINISTRATOR, "EraseContent", identity("person:ada"), "administrators-do-not-erase"),
    not_(AUDITOR, "EraseContent", identity("person:ada")),
    not_(PRIVACY, "ReadLog", LOG),
    not_(AUDITOR, "Revoke", identity("person:ada")),
    not_(AUDITOR, "ReadFile", RAW),
]

STARTER = compile_policies(starter_policies())


def describe(line: Expectation) -> str:
    return f"{line.who.name}-{line.who.clearance.name.lower()}-{line.action}-{line.on.name}-{line.binding}"


def is_allowed(policies: PolicySnapshot, line: Expectation) -> bool:
    decision = ask(policies, line.who, line.action, line.on, given=context(line.binding))
    assert isinstance(decision, Allow) or not decision.detail, decision
    return isinstance(decision, Allow)


@pytest.mark.parametrize("line", EXPECTATIONS, ids=describe)
def test_an_expectation_holds(line: Expectation) -> None:
    decision = ask(STARTER, line.who, line.action, line.on, given=context(line.binding))
    if line.yes:
        assert isinstance(decision, Allow), decision
        assert decision.policies == (line.yes,)
    else:
        assert not isinstance(decision, Allow), decision
        assert (decision.policies, decision.detail) == (line.no, "")


@pytest.mark.parametrize(("obtained", "yes"), [(MTLS, True), (DPOP, True), (DEVICE_KEY, True), (NONE, False)])
def test_an_upload_url_is_as_good_as_the_credential_that_obtained_it(obtained: Binding, yes: bool) -> None:
    """A plain bearer may have had it granted before the repository was restricted."""
    given = context(CAPABILITY, obtained=obtained)
    assert isinstance(ask(STARTER, INGEST_RESTRICTED, "UploadBlob", SECRET, given=given), Allow) is yes
    assert isinstance(ask(STARTER, INGEST, "UploadBlob", DIGITS, given=given), Allow)


@pytest.mark.parametrize("name", STARTER.ids)
def test_each_policy_is_needed(name: str) -> None:
    """Without it, some line of the table is decided otherwise."""
    files = starter_policies()
    place = STARTER.places[name]
    without = [clause.text for clause in clauses(place, files[place]) if f'@id("{name}")' not in clause.text]
    rest = compile_policies({**files, place: "\n".join(without)})
    assert set(rest.ids) == set(STARTER.ids) - {name}
    assert [describe(line) for line in EXPECTATIONS if is_allowed(rest, line) != bool(line.yes)] != []


@pytest.mark.parametrize("action", sorted(SUBJECTS))
def test_administrators_and_auditors_have_no_right_to_data(action: str) -> None:
    tracing = {"Discover", "ReadLineage"}  # names, and which went into which
    judging = {
        *tracing,
        "ListVersions",
        "ReadManifest",
        "DiffVersions",
        "ApproveVersion",
        "WithdrawVersion",
        "LowerLabel",
    }
    others = [*([] if action in tracing else [AUDITOR]), *([] if action in judging else [APPROVER])]
    administrators = [] if action in {"Discover", "ShredVersion"} else [ADMINISTRATOR]  # who destroys has nothing of it
    for who in (*administrators, *others):
        for on in (DIGITS, RAW, METRICS, READER, WEIGHTS, ADAS, dataset(), file()):
            for binding in Binding:
                assert not isinstance(ask(STARTER, who, action, on, given=context(binding)), Allow)


# -- Whatever the role --------------------------------------------------------------------------------

levels = st.sampled_from(Classification)
roles = st.lists(
    st.sampled_from(["administrators", "approvers", "auditors", "data-scientists", "data-engineers", "ml-engineers"]),
    unique=True,
)
callers = st.one_of(
    st.builds(lambda groups, level: person("ada", *groups, clearance=level), roles, levels),
    st.builds(
        lambda groups, segment, level: workload("ada", *groups, segment=segment, clearance=level),
        roles,
        st.sampled_from(["ingestion", "training", "deployment", "serving", ""]),
        levels,
    ),
)
owners = st.sampled_from([{}, {"owner_group": "data-engineers"}, {"owner_person": "ada"}])
wholes = st.builds(
    lambda make, level, owner: make("acme/x", classification=level, **owner),
    st.sampled_from([dataset, model]),
    levels,
    owners,
)
parts = st.builds(
    lambda whole, level, labels: file("a", of=whole, classification=level, labels=labels),
    wholes,
    levels,
    st.sampled_from([frozenset[str](), frozenset({"metrics"})]),
)


@settings(max_examples=400, deadline=None)
@given(
    callers, st.sampled_from(["ReadFile", "DescribeFile", "WriteFile", "PlanUpload"]), parts, st.sampled_from(Binding)
)
def test_no_role_reaches_above_its_clearance_or_carries_restricted_data_unbound(
    who: Principal, action: str, on: Target, binding: Binding
) -> None:
    if isinstance(ask(STARTER, who, action, on, given=context(binding)), Allow):
        assert who.clearance >= on.classification
        assert binding in {MTLS, DPOP, DEVICE_KEY} or (binding is NONE and on.classification < RESTRICTED)


@settings(max_examples=300, deadline=None)
@given(callers, st.sampled_from(sorted(SUBJECTS)), wholes, st.sampled_from(Binding))
def test_whoever_may_do_anything_with_a_repository_may_know_that_it_exists(
    who: Principal, action: str, on: Target, binding: Binding
) -> None:
    """Otherwise a permitted access would be followed by an answer that denies the thing's existence."""
    if isinstance(ask(STARTER, who, action, on, given=context(binding)), Allow):
        assert isinstance(ask(STARTER, who, "Discover", on, given=context(binding)), Allow)


def test_the_starter_set_is_sane() -> None:
    assert PUBLIC < INTERNAL < CONFIDENTIAL < RESTRICTED
    assert len(STARTER.ids) == sum(text.count("@id(") for text in starter_policies().values())
    assert {line.yes for line in EXPECTATIONS if line.yes} | {name for line in EXPECTATIONS for name in line.no} == set(
        STARTER.ids
    )
