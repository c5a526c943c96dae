"""Explanations: every way that is told is one that Cedar takes, and there is no smaller one among those tried."""

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomoat.core.decision import Allow
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, Principal
from nomoat.policy import PolicySnapshot, compile_policies, decide_again, starter_policies
from nomoat.policy.entities import caller, circumstances
from nomoat.policy.explanation import considered, differences, varied, what_was_read
from nomoat.policy.question import Question
from nomoat.policy.variations import variations
from tests.policy.plain import PlainCedar
from tests.policy.world import (
    CONFIDENTIAL,
    INTERNAL,
    POLICIES,
    RESTRICTED,
    compiled,
    context,
    dataset,
    file,
    person,
    workload,
)

STARTER = compile_policies(starter_policies())
DIGITS = dataset(classification=CONFIDENTIAL, owner_group="data-engineers")
RAW = file("data/train.parquet", of=DIGITS)


def question(who: Principal, action: str, *targets: Target, **given: object) -> Question:
    return Question(caller(who), action, targets, circumstances(context(**given)))  # type: ignore[arg-type]  # a test's shorthand


def said(snapshot: PolicySnapshot, asked: Question) -> list[list[str]]:
    return [[change.said for change in way.changes] for way in differences(snapshot, asked).ways]


def really(snapshot: PolicySnapshot, asked: Question) -> bool:
    return PlainCedar(snapshot.files).allows(asked)


def test_the_smallest_set_has_two_parts_where_two_are_needed() -> None:
    asked = question(person("scientist", "data-scientists", clearance=INTERNAL), "ReadFile", RAW)
    assert said(STARTER, asked)[:2] == [
        ["the caller's clearance confidential (it was internal)", "the caller in the group data-engineers"],
        ["the caller's clearance confidential (it was internal)", "the label metrics on it"],
    ]


def test_a_credential_that_is_not_bound_is_told() -> None:
    admin = person("ann", "administrators")
    asked = question(admin, "ApplyPolicy", POLICIES, binding=Binding.NONE)
    assert ["the credential's binding mtls (it was none)"] in said(STARTER, asked)


def test_what_is_allowed_says_what_would_have_refused_it() -> None:
    asked = question(workload("train", segment="training", clearance=CONFIDENTIAL), "ReadFile", RAW)
    ways = said(STARTER, asked)
    assert ["the caller's clearance internal (it was confidential)"] in ways
    assert ["it classified restricted (it was confidential)"] in ways


def test_where_nothing_can_turn_it_nothing_is_told() -> None:
    found = differences(
        compiled('@id("no") forbid (principal, action, resource);'), question(person(), "ReadFile", RAW)
    )
    assert found.ways == ()


def test_what_was_read_and_considered_is_what_the_applicable_policies_say() -> None:
    asked = question(person("scientist", "data-scientists", clearance=INTERNAL), "ReadFile", RAW)
    assert {str(each) for each in what_was_read(STARTER, asked)} >= {
        "principal.clearance",
        "resource.classification",
        "resource.labels",
        "context.binding",
    }
    applied = {each.id: each.applies for each in considered(STARTER, asked)}
    assert applied["nobody-reads-above-clearance"]
    assert not applied["scientists-read-metrics"]
    assert "training-reads-datasets" not in applied


LABELS = ("metrics", "pii")
GROUPS = ("data-scientists", "data-engineers", "auditors")
CONDITIONS = (
    'resource.labels.contains("metrics")',
    'resource.labels.containsAny(["pii", "metrics"])',
    "principal.clearance >= resource.classification",
    'principal.segment == "training"',
    "resource has owner_group && principal in resource.owner_group",
    "context.auth_age < 300",
    'context.binding == "mtls"',
    'context.source.isInRange(ip("10.0.0.0/8"))',
    "principal.clearance + 1 > resource.classification",
)
SCOPES = ("principal", *(f'principal in NoMoat::Group::"{group}"' for group in GROUPS), "principal is NoMoat::Workload")
ACTIONS = ('action == NoMoat::Action::"ReadFile"', 'action in NoMoat::Action::"Read"', "action")


@st.composite
def policy_sets(draw: st.DrawFn) -> PolicySnapshot:
    texts: list[str] = []
    for number in range(draw(st.integers(1, 6))):
        effect = draw(st.sampled_from(["permit", "permit", "forbid"]))
        conditions = draw(st.lists(st.sampled_from(CONDITIONS), max_size=2, unique=True))
        kind = draw(st.sampled_from(["when", "unless"]))
        about = draw(st.sampled_from(ACTIONS))
        resource = "resource is NoMoat::File"
        scope = f"{draw(st.sampled_from(SCOPES))}, {about}, {resource}"
        texts.append(
            f'@id("p{number}") {effect} ({scope})' + "".join(f" {kind} {{ {each} }}" for each in conditions) + ";"
        )
    return compiled(*texts)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    groups = draw(st.lists(st.sampled_from(GROUPS), unique=True))
    clearance, level = draw(st.sampled_from(Classification)), draw(st.sampled_from(Classification))
    if draw(st.booleans()):
        who = person("ada", *groups, clearance=clearance)
    else:
        who = workload("w", *groups, segment=draw(st.sampled_from(["training", ""])), clearance=clearance)
    targets = [
        file(
            f"f{number}",
            classification=level,
            labels=frozenset(draw(st.lists(st.sampled_from(LABELS), unique=True))),
            owner_group=draw(st.sampled_from(["", "data-engineers"])),
        )
        for number in range(draw(st.integers(1, 2)))
    ]
    return question(
        who,
        "ReadFile",
        *targets,
        auth_age=draw(st.sampled_from([60, 900])),
        source=draw(st.sampled_from(["10.1.2.3", "192.0.2.1"])),
    )


def turned(snapshot: PolicySnapshot, asked: Question, changes: Sequence[object]) -> bool:
    return really(snapshot, varied(asked, changes)) is not really(snapshot, asked)  # type: ignore[arg-type]  # Variations


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policy_sets(), questions())
def test_every_way_is_one_that_cedar_takes_and_none_is_smaller(snapshot: PolicySnapshot, asked: Question) -> None:
    assert isinstance(decide_again(snapshot, asked), Allow) is really(snapshot, asked)
    found = differences(snapshot, asked)
    for way in found.ways:
        assert turned(snapshot, asked, way.changes)
        assert len({each.slot for each in way.changes}) == len(way.changes)
    if found.ways:
        assert {len(way.changes) for way in found.ways} == {len(found.ways[0].changes)}
    smaller = len(found.ways[0].changes) - 1 if found.ways else min(found.complete, 2)
    tried = variations(snapshot, asked)
    for size in range(1, min(smaller, 1) + 1):
        assert not any(turned(snapshot, asked, chosen) for chosen in combinations(tried, size))


def test_a_long_policy_does_not_make_it_long() -> None:
    """A search over many labels and groups ends, and says up to where it was complete."""
    labels = ", ".join(f'"l{number}"' for number in range(120))
    snapshot = compiled(
        f'@id("a") permit (principal, action, resource) when {{ resource.labels.containsAll([{labels}]) }};'
    )
    found = differences(snapshot, question(person(), "ReadFile", RAW))
    assert found.ways == ()
    assert found.complete == 1


@pytest.mark.parametrize("level", [INTERNAL, RESTRICTED])
def test_levels_that_are_nearest_are_told(level: Classification) -> None:
    snapshot = compiled('@id("a") permit (principal, action, resource) when { principal.clearance >= 1 };')
    found = said(snapshot, question(person("ada", clearance=level), "ReadFile", RAW))
    assert found == [[f"the caller's clearance public (it was {level.name.lower()})"]]
