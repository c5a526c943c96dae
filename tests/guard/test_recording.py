"""What a record holds is what was decided on: it can be read back, asked again, and gives the same answer."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.connection import Connection, Presented
from nomoat.core.decision import CONFINED, Deny
from nomoat.core.names import Classification, RepositoryKind, RepositoryName
from nomoat.core.operation import ApplyDirectory, CreateRepository, PlanUpload, ReadFile, Resolved, Target
from nomoat.core.principal import Principal
from nomoat.guard.recording import opening
from nomoat.policy import compile_policies, decide, decide_again, starter_policies
from nomoat.policy.entities import caller, circumstances
from nomoat.policy.question import Question, Unanswerable, question_of
from tests.policy.world import context, dataset, directory, file, person, workload

STARTER = compile_policies(starter_policies())
DIGITS = RepositoryName(RepositoryKind.DATASET, "acme", "digits")
PRESENTED = Presented(Connection("127.0.0.1"), None, "test", "GET")
LABELS = st.frozensets(st.sampled_from(["metrics", "pii", "é"]))
OWNERS = st.sampled_from([{}, {"owner_group": "data-engineers"}, {"owner_person": "ada"}])


def recorded(who: Principal, resolved: Resolved[Any], **given: Any) -> dict[str, object]:
    asked = context(**given)
    decision = decide(STARTER, who, resolved.operation.action, resolved.targets, asked)
    content = opening(who, resolved, decision, asked, PRESENTED).content
    record: dict[str, object] = orjson.loads(orjson.dumps(content))
    return record


@st.composite
def callers(draw: st.DrawFn) -> Principal:
    groups = draw(st.lists(st.sampled_from(["data-scientists", "data-engineers", "administrators"]), unique=True))
    clearance = draw(st.sampled_from(Classification))
    if draw(st.booleans()):
        return person("ada", *groups, clearance=clearance)
    return workload("w", *groups, segment=draw(st.sampled_from(["", "training", "ingestion"])), clearance=clearance)


@st.composite
def files(draw: st.DrawFn) -> Target:
    level = draw(st.sampled_from(Classification))
    path = draw(st.sampled_from(["a", "b/c", "d"]))
    return file(path, of=dataset(**draw(OWNERS)), classification=level, labels=draw(LABELS))


@settings(max_examples=300, deadline=None)
@given(callers(), files())
def test_a_record_of_one_target_holds_the_question_whole(who: Principal, target: Target) -> None:
    whole = dataset(classification=target.classification)
    resolved = Resolved(ReadFile(DIGITS, "main", "a"), (target,), discovery=whole)
    record = recorded(who, resolved)
    asked = question_of(record)
    kept = {"kind", "id", "classification", "labels", "owner_group", "owner_person", "parents"}
    assert {name: getattr(asked.targets[0], name) for name in kept} == {name: getattr(target, name) for name in kept}
    assert (asked.who, asked.given, asked.action) == (caller(who), circumstances(context()), "ReadFile")
    denied = record["decision"] == "deny"
    assert isinstance(decide_again(STARTER, asked), Deny) is denied
    assert asked.discovery == (whole if denied else None)


@settings(max_examples=200, deadline=None)
@given(callers(), st.lists(files(), min_size=2, max_size=8, unique_by=lambda each: each.id))
def test_a_record_of_many_targets_is_decided_the_same(who: Principal, targets: list[Target]) -> None:
    resolved = Resolved(PlanUpload(DIGITS, "main", ()), tuple(targets))
    record = recorded(who, resolved)
    asked = question_of(record)
    assert not asked.sampled
    assert {target.id for target in asked.targets} == {target.id for target in targets}
    assert isinstance(decide_again(STARTER, asked), Deny) is (record["decision"] == "deny")


def test_of_very_many_targets_there_is_one_of_each_sort() -> None:
    targets = tuple(file(f"f{number}", labels=frozenset({f"l{number % 3}"})) for number in range(2000))
    record = recorded(person(), Resolved(PlanUpload(DIGITS, "main", ()), targets))
    asked = question_of(record)
    assert asked.sampled
    assert {target.labels for target in asked.targets} == {frozenset({f"l{number}"}) for number in range(3)}
    assert len(orjson.dumps(record)) < 64 * 1024


def test_a_record_never_grows_over_what_the_log_takes() -> None:
    """Long paths, and each target of a sort of its own: the access is decided and recorded all the same."""
    targets = tuple(
        file(f"{number:04}" + "x" * 500, labels=frozenset({f"label-{number}-{'y' * 100}"})) for number in range(2000)
    )
    record = recorded(person(), Resolved(PlanUpload(DIGITS, "main", ()), targets))
    assert len(orjson.dumps(record)) < 64 * 1024
    with pytest.raises(Unanswerable):
        question_of(record)


def test_facts_that_are_not_derived_are_kept() -> None:
    record = recorded(
        person("ann", "administrators"), Resolved(ApplyDirectory("", dry_run=True), (directory(widens_self=True),))
    )
    assert question_of(record).targets[0].facts == (("widens_self", True),)
    assert record["policies"] == ["nobody-widens-their-own-rights"]


def test_a_record_in_which_no_policy_was_asked_is_no_question() -> None:
    record = recorded(person(), Resolved(CreateRepository(DIGITS), (dataset(),)))
    for changed in (
        {**record, "detail": CONFINED},
        {name: value for name, value in record.items() if name != "snapshot"},
        {**record, "who": {"kind": "person", "name": "ada"}},
        {**record, "on": {"kind": "Dataset"}},
        {**record, "context": None},
    ):
        with pytest.raises(Unanswerable):
            question_of(changed)


def test_a_question_is_what_it_says() -> None:
    record = recorded(person(), Resolved(CreateRepository(DIGITS), (dataset(),)))
    assert isinstance(question_of(record), Question)
