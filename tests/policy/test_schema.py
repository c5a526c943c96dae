"""The schema and the vocabulary say the same: every Operation is an action, every action an Operation."""

import inspect
import json
import re

import cedarpy
import pytest

from nomoat.core.decision import Context
from nomoat.core.operation import OPERATIONS
from nomoat.core.principal import Binding, PrincipalKind
from nomoat.policy import cedar
from nomoat.policy.entities import CONTAINED, PRINCIPAL_TYPES
from nomoat.policy.index import CIRCUMSTANCES
from tests.policy.world import (
    EVERYTHING,
    GATEWAY,
    LOG,
    POLICIES,
    RECORDS,
    ask,
    compiled,
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
)

GROUPS = {
    "Read": {
        *{"DescribeRepository", "ListFiles", "ListCommits", "ListVersions", "ReadManifest", "DiffVersions"},
        *{"DescribeFile", "ReadFile", "ReportLoad"},
    },
    "Query": {"QueryView"},
    "Retrieve": {"SearchIndex", "ReadPassages", "ListDocuments"},
    "Infer": {"InvokeModel", "SendPrompt", "ReleaseAnswer"},
    "Promote": {"ApproveVersion", "WithdrawVersion", "LowerLabel"},
    "Write": {
        "CreateRepository",
        "PlanUpload",
        "GrantUpload",
        "UploadBlob",
        "WriteFile",
        "CreateBranch",
        "DeleteBranch",
        "CreateTag",
        "DeleteTag",
        "WriteDocuments",
        "RemoveDocuments",
    },
    "Remove": {"DeleteRepository"},
    "Measure": {"ListMetrics", "ReadMetric"},
    "Administer": {
        *{"Enroll", "Revoke", "ApplyDirectory", "ApplyPolicy", "TryPolicy", "ReadPolicy", "ReadStatus"},
        *{"RegisterValues", "PlantCanary", "ListRegistrations", "RemoveRegistration"},
        *{"ReopenBudget", "SealCredential", "ReadQuotas", "ReadKeys", "RotateKeys"},
        *{"ReopenBudget", "SealCredential", "RegisterSource", "ListSources", "RemoveSource", "ReadKeys", "RotateKeys"},
    },
    "Audit": {
        *{"ReadLog", "ReadEntries", "ProveRecord", "ReportLog", "ExportLog"},
        *{"ExplainRecord", "ProveOwnRecord", "SimulatePolicy", "ReadDifferences", "FindUnused"},
        "ReadLineage",
    },
    "Disclose": {"ReadContents"},
    "Erase": {"EraseContent", "ShredVersion", "ShredDocuments"},
    "Identify": {
        *{"Whoami", "RegisterDevice", "JoinWorkload", "RenewCertificate", "IssueToken"},
        *{"ValidateCard", "ListRepositories", "ListEndpoints", "ListIndexes", "ReadOwnQuotas"},
        *{"UploadFile", "ListUploads", "RemoveUpload"},
    },
}
ASKED_BESIDES = {"Discover", "SendPrompt"}  # by the guard, of things that an operation is about
REPOSITORIES = frozenset({"Dataset", "Model"})
FILE = frozenset({"File"})
IDENTITY = frozenset({"Identity"})
LOGS = frozenset({"Log"})
GATEWAYS = frozenset({"Gateway"})
SUBJECTS = {
    **dict.fromkeys(["Discover", "DescribeRepository", "ListFiles", "ListCommits", "ListVersions"], REPOSITORIES),
    **dict.fromkeys(["ReadManifest", "DiffVersions"], REPOSITORIES),
    **dict.fromkeys(["CreateRepository", "GrantUpload", "UploadBlob"], REPOSITORIES),
    **dict.fromkeys(["CreateBranch", "DeleteBranch", "CreateTag", "DeleteTag", "DeleteRepository"], REPOSITORIES),
    **dict.fromkeys(["ApproveVersion", "WithdrawVersion", "LowerLabel", "ReportLoad"], REPOSITORIES),
    **dict.fromkeys(["ListMetrics", "ReadMetric"], REPOSITORIES),
    **dict.fromkeys(["ShredVersion"], REPOSITORIES),
    **dict.fromkeys(["DescribeFile", "ReadFile"], FILE),
    "QueryView": {"View"},
    **dict.fromkeys(["SearchIndex", "ListDocuments"], frozenset({"Index"})),
    "ReadPassages": {"Document"},
    **dict.fromkeys(["WriteDocuments", "RemoveDocuments", "ShredDocuments"], frozenset({"Index", "Document"})),
    **dict.fromkeys(["InvokeModel", "ReleaseAnswer"], frozenset({"Endpoint", "Source"})),
    "SendPrompt": {"Upstream"},
    "ReadContents": {"Endpoint"},
    **dict.fromkeys(["PlanUpload", "WriteFile"], REPOSITORIES | FILE),
    **dict.fromkeys(["Enroll", "Revoke", "EraseContent", *GROUPS["Identify"]], IDENTITY),
    "ApplyDirectory": {"Directory"},
    "ReopenBudget": {"Directory"},
    "SealCredential": {"Directory"},
    "RegisterValues": {"Directory"},
    "PlantCanary": {"Directory"},
    "ListRegistrations": {"Directory"},
    "RemoveRegistration": {"Directory"},
    "ReadQuotas": {"Directory"},
    "RegisterSource": {"Directory"},
    "ListSources": {"Directory"},
    "RemoveSource": {"Directory"},
    "ApplyPolicy": {"PolicySet"},
    "TryPolicy": {"PolicySet"},
    "ReadPolicy": {"PolicySet"},
    **dict.fromkeys(GROUPS["Audit"], LOGS),
    "ExplainRecord": {"LogRecord"},
    "ProveOwnRecord": {"LogRecord"},
    "ReadLineage": REPOSITORIES | FILE,
    **dict.fromkeys(["ReadStatus", "ReadKeys", "RotateKeys"], GATEWAYS),
}
THINGS = (
    dataset(),
    model(),
    file(),
    view(),
    endpoint(),
    upstream(),
    source(),
    library(),
    document(),
    identity(),
    directory(),
    LOG,
    POLICIES,
    RECORDS,
    GATEWAY,
)


def test_every_operation_is_an_action_and_every_action_an_operation() -> None:
    assert set(cedar.groups_of_actions()) == {*OPERATIONS, *ASKED_BESIDES, *GROUPS}


def test_every_operation_is_in_its_group_and_discover_in_none() -> None:
    members = {
        group: {name for name, above in cedar.groups_of_actions().items() if group in above - {name}}
        for group in GROUPS
    }
    assert members == GROUPS
    assert cedar.groups_of_actions()["Discover"] == {"Discover"}
    assert set(OPERATIONS) == set().union(*GROUPS.values()) - ASKED_BESIDES


@pytest.mark.parametrize("action", sorted({*OPERATIONS, *ASKED_BESIDES}))
def test_an_action_is_about_its_kinds_of_things_and_no_others(action: str) -> None:
    everything = compiled(EVERYTHING)
    about = {on.kind for on in THINGS if not denies(ask(everything, person(), action, on))}
    assert about == SUBJECTS[action]


def denies(decision: object) -> bool:
    return type(decision).__name__ == "Deny"


def test_kinds_of_principals_and_containment_are_those_of_the_schema() -> None:
    assert set(PRINCIPAL_TYPES) == set(PrincipalKind)
    declared = re.findall(r"entity ([\w, ]+?) in \[([\w, ]+)\]", cedar.SCHEMA_TEXT)
    assert {kind: above for kind, above in declared if above != "Group"} == {
        "File": "Dataset, Model",
        "View": "Dataset",
        "Document": "Index",
    }
    assert frozenset({"NoMoat::File", "NoMoat::View", "NoMoat::Document"}) == CONTAINED
    assert [kind for kind, above in declared if above == "Group"] == ["Person, Workload"]


def test_attributes_that_hold_an_entity_are_groups_and_people_alone() -> None:
    """The index takes all targets that no policy names for one another; this is why it may."""
    held = {kind for _, kind in re.findall(r'"(\w+)"\??: (?:Set<)?([A-Z]\w*)', cedar.SCHEMA_TEXT)}
    assert held == {"Long", "String", "Bool", "Set", "Group", "Person"} - {"Set"}


def test_the_context_is_what_core_says_it_is() -> None:
    assert set(inspect.signature(Context).parameters) == CIRCUMSTANCES
    block = cedar.SCHEMA_TEXT.split("type Circumstances = {")[1].split("};")[0]
    assert set(re.findall(r'"(\w+)":', block)) == CIRCUMSTANCES
    assert all(f"{binding.value}" in block for binding in Binding)


def test_requests_may_leave_circumstances_out_and_nothing_else() -> None:
    """The schema of requests is the schema of policies but for those question marks."""
    strict, lenient = str(cedar.SCHEMA), str(cedar.REQUESTS)
    assert strict != lenient
    block = lenient.split("type Circumstances = {")[1].split("};", maxsplit=1)[0]
    assert block.count("?") == len(CIRCUMSTANCES)
    # In which order Cedar prints its declarations is its own affair.
    assert sorted(lenient.replace(block, block.replace("?", "")).split("\n\n")) == sorted(strict.split("\n\n"))
    for name in CIRCUMSTANCES:
        text = f"permit (principal, action, resource) when {{ context.{name} == context.{name} }};"
        assert cedarpy.validate_policies(text, cedar.SCHEMA).validation_passed
        assert not cedarpy.validate_policies(text, cedar.REQUESTS).validation_passed


def test_the_schema_of_requests_still_refuses_what_does_not_fit() -> None:
    entities = cedarpy.Entities.from_json_str("[]", cedar.SCHEMA)
    policies = cedarpy.PolicySet.from_str("permit (principal, action, resource);")
    request = {
        "principal": {"type": "NoMoat::Person", "id": "ada"},
        "action": {"type": "NoMoat::Action", "id": "ListFiles"},
        "resource": {"type": "NoMoat::Dataset", "id": "d"},
    }
    for bad in ({"colour": "red"}, {"at": "now"}, {"binding": {"__entity": {"type": "NoMoat::Person", "id": "a"}}}):
        evaluation = cedar.evaluate({**request, "context": json.dumps(bad)}, policies, entities)
        assert not evaluation.allowed
        assert evaluation.errors
    assert cedar.evaluate({**request, "context": "{}"}, policies, entities).allowed
