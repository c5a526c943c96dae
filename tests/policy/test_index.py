"""The index decides exactly as Cedar does with every policy: permits, forbids, errors, hierarchies."""

import json
import re
from typing import Any

import cedarpy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nomoat.core.decision import Allow, Context, Deny
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, Principal
from nomoat.policy import PolicySnapshot, cedar, decide
from nomoat.policy.index import CIRCUMSTANCES, PolicyIndex, context_reads
from nomoat.policy.scope import constraint
from tests.policy.world import (
    LOG,
    POLICIES,
    compiled,
    context,
    dataset,
    directory,
    file,
    identity,
    model,
    person,
    workload,
)

# -- Policies, requests and circumstances, few enough to meet -----------------------------------------

PEOPLE = ["ada", "bob", "unnamed-0", '"__entity"']
GROUPS = ["red", "blue", "unnamed-0"]
REPOSITORIES = ["acme/digits", "acme/other", "unnamed-0"]
PATHS = ["a", "b"]

people = st.sampled_from([f'NoMoat::Person::"{json.dumps(name)[1:-1]}"' for name in PEOPLE])
jobs = st.sampled_from(['NoMoat::Workload::"ada"', 'NoMoat::Workload::"train"'])
groups = st.sampled_from([f'NoMoat::Group::"{name}"' for name in GROUPS])
repositories = st.sampled_from([f'NoMoat::{kind}::"{name}"' for kind in ("Dataset", "Model") for name in REPOSITORIES])
files = st.sampled_from([f'NoMoat::File::"{name}:{path}"' for name in REPOSITORIES for path in PATHS])
others = st.sampled_from(['NoMoat::Log::"log"', 'NoMoat::Directory::"directory"', 'NoMoat::Identity::"person:ada"'])
kinds_of_principal = st.sampled_from(["Person", "Person", "Workload", "Group"])
kinds_of_resource = st.sampled_from(["File", "File", "Dataset", "Model", "Log", "Person"])
actions = st.sampled_from(sorted(cedar.groups_of_actions())).map(lambda name: f'NoMoat::Action::"{name}"')
common = st.sampled_from(["ReadFile", "Read", "Write", "WriteFile", "ListFiles"]).map(
    lambda name: f'NoMoat::Action::"{name}"'
)


def scope(variable: str, kinds: st.SearchStrategy[str], entities: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.just(variable),
        st.just(variable),
        st.just(variable),
        entities.map(lambda uid: f"{variable} == {uid}"),
        entities.map(lambda uid: f"{variable} in {uid}"),
        kinds.map(lambda kind: f"{variable} is NoMoat::{kind}"),
        st.tuples(kinds, entities).map(lambda both: f"{variable} is NoMoat::{both[0]} in {both[1]}"),
    )


principal_scope = scope("principal", kinds_of_principal, people | jobs | groups | groups)
resource_scope = scope("resource", kinds_of_resource, repositories | repositories | files | others)
action_scope = st.one_of(
    st.just("action"),
    st.just("action"),
    st.just("action"),
    (common | actions).map(lambda uid: f"action == {uid}"),
    common.map(lambda uid: f"action in {uid}"),
    st.lists(common | actions, max_size=3).map(lambda uids: f"action in [{', '.join(uids)}]"),
)
errors = st.sampled_from(
    [
        "principal.clearance + 9223372036854775807 > 0",  # overflows for whoever is cleared; validation cannot know
        "resource.classification + 9223372036854775807 > 0",
        "resource.widens_self",  # missing on every other kind
        "resource.owner_group == resource.owner_group",  # missing where nobody owns it
        'context.colour == "red"',
    ]
)
facts = st.sampled_from(
    [
        "true",
        "false",
        "principal.clearance >= resource.classification",
        "resource.labels.contains(principal.segment)",
        "resource has owner_group && principal in resource.owner_group",
        "resource has owner_person && principal == resource.owner_person",
        'resource.repository_kind == "dataset"',
        'action in NoMoat::Action::"Read"',
    ]
)
situations = st.sampled_from(
    [
        'context.binding == "none"',
        "context.auth_age < 100",
        'context has session && context.session == "s-1"',
        'context.source.isInRange(ip("10.0.0.0/8"))',
        "context == context",
        "(if principal.clearance > 1 then context else context).at > 5",
        "context has colour",
        "!(context has colour)",
    ]
)
tests = st.one_of(
    errors,
    facts,
    situations,
    people.map(lambda uid: f"principal == {uid}"),
    groups.map(lambda uid: f"principal in {uid}"),
    (repositories | files).map(lambda uid: f"resource in {uid}"),
    (repositories | files).map(lambda uid: f"{uid} == resource"),
    st.lists(files, min_size=1, max_size=2).map(lambda uids: f"[{', '.join(uids)}].contains(resource)"),
)
clause = st.tuples(st.sampled_from(["when", "unless"]), tests).map(lambda both: f" {both[0]} {{ {both[1]} }}")
policy = st.tuples(
    st.sampled_from(["permit", "forbid"]),
    principal_scope,
    action_scope,
    resource_scope,
    st.one_of(st.just(""), clause, st.lists(clause, max_size=2).map("".join)),
).map(lambda parts: f"{parts[0]} ({parts[1]}, {parts[2]}, {parts[3]}){parts[4]};")

BASE = "permit (principal, action, resource);"  # so that what is forbidden or errs shows
policies_of_many_kinds = st.builds(
    lambda base, more: [*base, *more], st.sampled_from([[], [BASE]]), st.lists(policy, min_size=2, max_size=8)
)

clearances = st.sampled_from(Classification)
memberships = st.lists(st.sampled_from(GROUPS), max_size=3)
callers = st.one_of(
    st.builds(
        lambda name, groups, level: person(name, *groups, clearance=level),
        st.sampled_from(PEOPLE),
        memberships,
        clearances,
    ),
    st.builds(
        lambda name, groups, segment, level: workload(name, *groups, segment=segment, clearance=level),
        st.sampled_from(["ada", "train", "unnamed-0"]),
        memberships,
        st.sampled_from(["", "metrics"]),
        clearances,
    ),
)
wholes = st.builds(
    lambda make, name, level, group, owner: make(name, classification=level, owner_group=group, owner_person=owner),
    st.sampled_from([dataset, model]),
    st.sampled_from(REPOSITORIES),
    clearances,
    st.sampled_from(["", *GROUPS]),
    st.sampled_from(["", *PEOPLE]),
)
parts = st.builds(
    lambda whole, path, labels: file(path, of=whole, labels=labels),
    wholes,
    st.sampled_from(PATHS),
    st.sampled_from([frozenset[str](), frozenset({"metrics"}), frozenset({"metrics", ""})]),
)
matters = st.one_of(
    st.tuples(st.sampled_from(["ReadFile", "WriteFile"]), parts),
    st.tuples(st.sampled_from(["ReadFile", "WriteFile"]), parts),
    st.tuples(st.sampled_from(["ListFiles", "Discover"]), wholes),
    st.tuples(st.just("ApplyDirectory"), st.sampled_from([directory(), directory(widens_self=True)])),
    st.tuples(st.just("Whoami"), st.sampled_from([identity(), identity("workload:ada", "workload")])),
    st.tuples(st.sampled_from(["ReadLog", "ReadFile", "Fly"]), st.sampled_from([LOG, POLICIES])),
)
circumstances = st.builds(
    lambda binding, source, age: context(binding, source=source, auth_age=age),
    st.sampled_from(Binding),
    st.sampled_from(["10.0.4.7", "fe80::1", "192.0.2.1"]),
    st.sampled_from([0, 60, 1_000]),
)
asked = st.tuples(callers, matters, circumstances)

# -- The whole set at once, with nothing of ours but the ids ------------------------------------------


def plainly(policies: dict[str, Any], who: Principal, action: str, on: Target, given: Context) -> Any:
    """Cedar's answer with every policy, every id and the whole context."""
    kind = {"person": "NoMoat::Person", "workload": "NoMoat::Workload"}[who.kind]
    attributes: dict[str, object] = {
        "classification": int(on.classification),
        "labels": list(on.labels),
        "repository_kind": {"Dataset": "dataset", "Model": "model"}.get(
            on.parents[0][0] if on.parents else on.kind, ""
        ),
        **dict(on.facts),
    }
    if on.owner_group:
        attributes["owner_group"] = {"type": "NoMoat::Group", "id": on.owner_group}
    if on.owner_person:
        attributes["owner_person"] = {"type": "NoMoat::Person", "id": on.owner_person}
    entities = [
        {
            "uid": {"type": kind, "id": who.name},
            "attrs": {"subject": who.subject, "clearance": int(who.clearance), "segment": who.segment},
            "parents": [{"type": "NoMoat::Group", "id": group} for group in who.groups],
        },
        {
            "uid": {"type": f"NoMoat::{on.kind}", "id": on.id},
            "attrs": attributes,
            "parents": [{"type": f"NoMoat::{above}", "id": name} for above, name in on.parents],
        },
    ]
    request = {
        "principal": {"type": kind, "id": who.name},
        "action": {"type": "NoMoat::Action", "id": action},
        "resource": {"type": f"NoMoat::{on.kind}", "id": on.id},
        "context": {
            "at": given.at,
            "binding": str(given.binding),
            "obtained": str(given.obtained),
            "auth_age": given.auth_age,
            "source": {"__extn": {"fn": "ip", "arg": given.source}},
            "session": given.session,
        },
    }
    document = {"staticPolicies": policies, "templates": {}, "templateLinks": []}
    return cedarpy.is_authorized(
        request,
        cedarpy.PolicySet.from_json_str(json.dumps(document)),
        cedarpy.Entities.from_json_str(json.dumps(entities), cedar.SCHEMA),
        cedar.SCHEMA,
    )


def nameless(errors: str) -> str:
    """Errors without the ids in them: an id that no policy names is not the target's own there."""
    return re.sub(r'::"(?:[^"\\]|\\.)*"', "", errors)


def snapshot(texts: list[str]) -> tuple[PolicySnapshot, dict[str, Any]]:
    """A snapshot that skips validation: what is wrong only at run time must be equal, too."""
    parsed, templates = cedar.parse_text("\n".join(texts))
    assert templates == 0
    policies: dict[str, Any] = {f"p{number}": policy for number, policy in enumerate(parsed)}
    return PolicySnapshot("sha256:test", tuple(policies), {}, {}, policies, PolicyIndex(policies)), policies


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies_of_many_kinds, st.lists(asked, min_size=1, max_size=8))
@example(
    ['permit (principal, action, resource == NoMoat::File::"unnamed-0");'],
    [(person(), ("ReadFile", file()), context())],
)
@example(
    [
        'forbid (principal, action, resource is NoMoat::File in NoMoat::Dataset::"acme/digits");',
        "permit (principal, action, resource);",
    ],
    [(person(), ("ReadFile", file()), context())],
)
def test_an_indexed_decision_is_cedars_decision(
    texts: list[str], requests: list[tuple[Principal, tuple[str, Target], Context]]
) -> None:
    indexed, policies = snapshot(texts)
    for who, (action, on), now in requests:
        expected = plainly(policies, who, action, on, now)
        ids = tuple(sorted(expected.diagnostics.reasons))
        decision = decide(indexed, who, action, (on,), now)
        if expected.allowed and not expected.diagnostics.errors:
            assert decision == Allow(ids, "sha256:test")
        else:
            assert isinstance(decision, Deny)
            assert decision.policies == (() if expected.allowed else ids)
            assert nameless(decision.detail) == nameless("; ".join(sorted(expected.diagnostics.errors)))[:500]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies_of_many_kinds, callers, st.lists(parts, min_size=1, max_size=5), circumstances)
def test_a_joint_decision_allows_what_each_of_its_parts_allows(
    texts: list[str], who: Principal, several: list[Target], given: Context
) -> None:
    indexed, _ = snapshot(texts)
    single = [decide(indexed, who, "ReadFile", (target,), given) for target in several]
    joint = decide(indexed, who, "ReadFile", several, given)
    first = next((decision for decision in single if isinstance(decision, Deny)), None)
    if first is None:
        permits = {name for decision in single for name in decision.policies}
        assert joint == Allow(tuple(sorted(permits)), "sha256:test")
    else:
        assert isinstance(joint, Deny)
        assert (joint.policies, joint.detail) == (first.policies, first.detail)


# -- What makes it fast -------------------------------------------------------------------------------


def crowd(total: int, applying: int) -> PolicySnapshot:
    """`total` policies of which `applying` can apply to a member of `mine` who reads a file."""
    mine = 'principal in NoMoat::Group::"mine", action in NoMoat::Action::"Read"'
    other = 'principal in NoMoat::Group::"g{}", action in NoMoat::Action::"Read"'
    return compiled(
        "\n".join(
            f'@id("p{n}") permit ({mine if n < applying else other.format(n % 97)}, resource) '
            f'when {{ resource.labels.contains("l{n}") }};'
            for n in range(total)
        )
    )


def test_only_policies_that_can_apply_are_evaluated() -> None:
    policies = crowd(300, 20)
    reader = ("NoMoat::Person", "ada")
    of_file = (("NoMoat::File", "acme/digits:a"), [("NoMoat::Dataset", "acme/digits")])
    assert len(policies.index.slice("ReadFile", reader, frozenset({"mine"}), *of_file).ids) == 20
    assert policies.index.slice("ReadFile", reader, frozenset({"yours"}), *of_file).ids == ()
    assert policies.index.slice("WriteFile", reader, frozenset({"mine"}), *of_file).ids == ()


def test_callers_and_targets_that_no_policy_names_share_a_slice() -> None:
    index = crowd(20, 10).index
    slices = {
        id(
            index.slice(
                "ReadFile",
                ("NoMoat::Person", f"p{n}"),
                frozenset({"mine", f"x{n}"}),
                ("NoMoat::File", f"f{n}"),
                [("NoMoat::Dataset", f"d{n}")],
            )
        )
        for n in range(50)
    }
    assert len(slices) == 1


def test_only_attributes_that_a_policy_reads_are_sent() -> None:
    policies = compiled(
        '@id("a") permit (principal, action, resource) when { context.binding == "mtls" || context has at };'
    )
    request = (
        "ReadFile",
        ("NoMoat::Person", "ada"),
        frozenset[str](),
        ("NoMoat::File", "f"),
        [("NoMoat::Dataset", "d")],
    )
    assert policies.index.slice(*request).reads == ("at", "binding")


def test_a_policy_that_uses_the_whole_context_gets_all_of_it() -> None:
    [policy], _ = cedar.parse_text("permit (principal, action, resource) when { context == context };")
    assert context_reads(policy["conditions"]) == set(CIRCUMSTANCES)


def test_a_constraint_that_is_not_understood_is_left_to_cedar() -> None:
    uid: cedar.Est = {"type": "NoMoat::Person", "id": "ada"}
    unknown: list[cedar.Est] = [
        {"op": "near", "entity": uid},
        {"op": "==", "slot": "?principal"},
        {"op": "==", "entity": uid, "unless": "Tuesday"},
        {"op": "in", "entity": uid, "slot": "?principal"},
        {"op": "in", "entities": [uid, {"slot": "?principal"}]},
        {"op": "is", "entity_type": "NoMoat::Person", "of": 1},
        {"op": "is", "entity_type": "NoMoat::Person", "in": {"slot": "?principal"}},
        {"op": "All", "but": uid},
        None,
    ]
    assert [constraint(part) for part in unknown] == [None] * len(unknown)


def test_a_slice_keeps_the_constraints_that_are_not_understood() -> None:
    [policy], _ = cedar.parse_text("permit (principal is NoMoat::Person, action, resource);")
    policies: dict[str, cedar.Policy] = {
        "odd": {**policy, "principal": {"op": "is", "entity_type": "NoMoat::Person", "in": None}}  # Cedar reads it so
    }
    odd = PolicySnapshot("sha256:test", ("odd",), {}, {}, policies, PolicyIndex(policies))
    assert decide(odd, person(), "ReadFile", (file(),), context()) == Allow(("odd",), "sha256:test")
    assert isinstance(decide(odd, workload(), "ReadFile", (file(),), context()), Deny)
