"""Attacks on a decision, each by name: what cannot be evaluated denies, and data stays data."""

from dataclasses import replace
from typing import Any

import pytest

from nomoat.core.decision import Allow
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Principal
from nomoat.policy.entities import MAX_GROUPS, MAX_LABELS, MAX_STRING
from tests.policy.world import (
    CONFIDENTIAL,
    EVERYTHING,
    LOG,
    allowed,
    ask,
    compiled,
    context,
    dataset,
    denied,
    directory,
    file,
    identity,
    person,
    workload,
)

NOT_EVALUATED = "it could not be evaluated"
OVERFLOW = "principal.clearance + 9223372036854775807 > 0"  # valid Cedar; an error for whoever is cleared


def changed(what: Any, **fields: Any) -> Any:
    """A principal, target or context with fields of types that it must not have."""
    return replace(what, **fields) if isinstance(what, Principal) else what._replace(**fields)


# -- policies that err -----------------------------------------------------------------------


def test_attack_an_erring_forbid_is_not_skipped() -> None:
    """Cedar alone allows this, with the error only in its diagnostics."""
    policies = EVERYTHING + f'@id("guard") forbid (principal, action, resource) when {{ {OVERFLOW} }};'
    decision = denied(ask(policies, person(clearance=CONFIDENTIAL), "ReadFile", file()))
    assert (decision.policies, decision.reason) == ((), NOT_EVALUATED)
    assert "guard" in decision.detail
    assert "overflow" in decision.detail


def test_attack_an_erring_permit_beside_another_refuses() -> None:
    policies = EVERYTHING + f'@id("also") permit (principal, action, resource) when {{ {OVERFLOW} }};'
    assert denied(ask(policies, person(clearance=CONFIDENTIAL), "ReadFile", file())).reason == NOT_EVALUATED


def test_a_forbid_that_applied_is_named_beside_an_error() -> None:
    policies = f'@id("never") forbid (principal, action, resource); @id("odd") forbid (principal, action, resource) when {{ {OVERFLOW} }};'
    decision = denied(ask(policies, person(clearance=CONFIDENTIAL), "ReadFile", file()))
    assert (decision.policies, decision.reason) == (("never",), "refused by never")
    assert "odd" in decision.detail


def test_an_error_in_a_policy_that_cannot_apply_does_no_harm() -> None:
    policies = (
        EVERYTHING
        + f'@id("log") forbid (principal, action == NoMoat::Action::"ReadLog", resource) when {{ {OVERFLOW} }};'
    )
    assert allowed(ask(policies, person(clearance=CONFIDENTIAL), "ReadFile", file())) == ("everything",)


# -- data that would be code -----------------------------------------------------------------

INJECTIONS = [
    '{"__entity": {"type": "NoMoat::Person", "id": "admin"}}',
    '{"__extn": {"fn": "ip", "arg": "127.0.0.1"}}',
    "__entity",
    "__extn",
    'admin"',
    'x"} , {"uid":',
    'NoMoat::Person::"admin"',
    "*",
    "a\nb\x00\\",
    "unnamed-0",
    "\u202eadmin",
]
ADMIN = """
@id("admin") permit (principal == NoMoat::Person::"admin", action, resource);
@id("admins") permit (principal in NoMoat::Group::"admins", action, resource);
@id("owner") permit (principal, action, resource)
when { resource has owner_person && resource.owner_person == NoMoat::Person::"admin" };
@id("owners") permit (principal, action, resource)
when { resource has owner_group && resource.owner_group == NoMoat::Group::"admins" };
@id("label") permit (principal, action, resource) when { resource.labels.contains("open") };
@id("place") permit (principal, action, resource in NoMoat::Dataset::"open");
@id("segment") permit (principal, action, resource) when { principal.segment == "trusted" };
@id("here") permit (principal, action, resource) when { context.session == "admin" };
"""


@pytest.mark.parametrize("text", INJECTIONS)
def test_attack_entity_and_extension_syntax_stays_text(text: str) -> None:
    """Wherever a client's or a declaration's text ends up, it is compared and never interpreted."""
    place = dataset(text)
    for who, on, now in [
        (person(text), file(), context()),
        (person("ada", text), file(), context()),
        (workload(text, segment=text), file(), context()),
        (person(), file(text), context()),
        (person(), file("a", of=place), context()),
        (person(), place, context()),
        (person(), file(labels=frozenset({text})), context()),
        (person(), file(owner_group=text), context()),
        (person(), file(owner_person=text), context()),
        (person(), file(name=text), context()),
        (person(), file(), context()._replace(session=text)),
    ]:
        action = "ReadFile" if on.kind == "File" else "ListFiles"
        decision = denied(ask(ADMIN, who, action, on, given=now))
        assert (decision.policies, decision.reason, decision.detail) == ((), "no policy permits it", "")


@pytest.mark.parametrize("text", INJECTIONS)
def test_attack_such_text_can_be_named_and_matches_itself_alone(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\x00", "\\0")
    policies = f'@id("it") permit (principal == NoMoat::Person::"{quoted}", action, resource);'
    assert allowed(ask(policies, person(text), "ReadFile", file())) == ("it",)
    assert denied(ask(policies, workload(text), "ReadFile", file())).detail == ""
    assert denied(ask(policies, person("admin"), "ReadFile", file())).detail == ""


def test_attack_source_that_is_no_address() -> None:
    for source in ("", "10.0.0", "example.org", '127.0.0.1"', "10.0.0.1/8", "unix", "1" * 10_000):
        decision = denied(ask(EVERYTHING, person(), "ReadFile", file(), given=context(source=source)))
        assert (decision.reason, decision.detail) == (NOT_EVALUATED, "Unrepresentable: the source is not an IP address")


def test_addresses_compare_as_addresses() -> None:
    policies = '@id("inside") permit (principal, action, resource) when { context.source.isInRange(ip("10.0.0.0/8")) };'
    for source, inside in [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
    ]:
        decision = ask(policies, person(), "ReadFile", file(), given=context(source=source))
        assert isinstance(decision, Allow) is inside, source


# -- facts that are more than facts ----------------------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [
        (("classification", 0),),
        (("classification", True),),
        (("labels", "open"),),
        (("owner_group", "admins"),),
        (("owner_person", "admin"),),
        (("repository_kind", "model"),),
        (("__entity", "x"),),
        (("__extn", "x"),),
        (("colour", "red"),),
        (("", ""),),
        ((None, "x"),),
        (("repository_kind",),),
        ("repository_kind",),
    ],
)
def test_attack_a_fact_replaces_or_invents_an_attribute(facts: Any) -> None:
    decision = denied(ask(EVERYTHING, person(), "ReadFile", file(classification=CONFIDENTIAL, facts=facts)))
    assert decision.reason == NOT_EVALUATED
    assert decision.detail


def test_attack_more_facts_than_any_kind_has() -> None:
    many = tuple((f"fact{number}", 1) for number in range(1_000))
    assert "more than" in denied(ask(EVERYTHING, person(), "ReadFile", file(facts=many))).detail


def test_a_fact_may_repeat_what_is_known() -> None:
    on = file(facts=(("repository_kind", "dataset"),))
    assert allowed(ask(EVERYTHING, person(), "ReadFile", on)) == ("everything",)


def test_attack_a_second_fact_of_the_same_name() -> None:
    twice = directory()._replace(facts=(("widens_self", True), ("widens_self", False)))
    assert denied(ask(EVERYTHING, person(), "ApplyDirectory", twice)).reason == NOT_EVALUATED


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        float("nan"),
        2**63,
        -(2**63) - 1,
        2**200,
        ["x"],
        {"__entity": {"type": "NoMoat::Group", "id": "admins"}},
        b"x",
    ],
)
def test_attack_values_that_cedar_does_not_have(value: object) -> None:
    """Floats, nulls and integers beyond 64 bits would leave no decision at all."""
    for name in ("widens_self", "subject"):
        on = changed(directory(), facts=((name, value),))
        assert denied(ask(EVERYTHING, person(), "ApplyDirectory", on)).reason == NOT_EVALUATED


@pytest.mark.parametrize("value", [1, "true", 0])
def test_attack_a_number_for_a_truth_value_after_the_right_one(value: object) -> None:
    """True == 1: a cache of what was built for one must not answer for the other."""
    snapshot = compiled(EVERYTHING)
    for known in (True, False):
        allowed(ask(snapshot, person(), "ApplyDirectory", directory(widens_self=known)))
    on = changed(directory(), facts=(("widens_self", value),))
    assert denied(ask(snapshot, person(), "ApplyDirectory", on)).reason == NOT_EVALUATED


@pytest.mark.parametrize(
    ("action", "on"),
    [
        ("ApplyDirectory", directory()._replace(facts=())),
        ("Whoami", identity()._replace(facts=(("subject_kind", "person"),))),
    ],
)
def test_attack_an_attribute_left_out(action: str, on: Target) -> None:
    """What the schema requires and nobody said would make the forbids that read it err, or vanish."""
    decision = denied(ask(EVERYTHING, person(), action, on))
    assert decision.reason == NOT_EVALUATED
    assert "does not conform to the schema" in decision.detail


# -- things that are not where they should be ------------------------------------------------


@pytest.mark.parametrize(
    "parents",
    [
        (),
        (("Dataset", "acme/digits"), ("Dataset", "acme/other")),
        (("Group", "admins"),),
        (("File", "acme/digits:a"),),
        (("Dataset", ""),),
        (("Dataset", None),),
        (("Dataset", "x" * (MAX_STRING + 1)),),
        ("Dataset",),
        None,
    ],
)
def test_attack_a_missing_or_wrong_ancestor(parents: Any) -> None:
    """Without its parent a file would slip through a forbid on everything in a dataset."""
    policies = EVERYTHING + '@id("closed") forbid (principal, action, resource in NoMoat::Dataset::"acme/digits");'
    assert denied(ask(policies, person(), "ReadFile", file())).policies == ("closed",)
    decision = denied(ask(policies, person(), "ReadFile", file(parents=parents)))
    assert (decision.policies, decision.reason) == ((), NOT_EVALUATED)


def test_attack_a_repository_inside_another() -> None:
    inside = dataset(parents=(("Dataset", "acme/other"),))
    assert denied(ask(EVERYTHING, person(), "ListFiles", inside)).reason == NOT_EVALUATED


@pytest.mark.parametrize(
    "action", ["", "Fly", "readfile", "Read", "Write", "Administer", "Identify", "*", 'ReadFile"', "ReadFile "]
)
def test_attack_an_action_that_is_none(action: str) -> None:
    """Groups of actions are for policies; nothing is done by that name."""
    assert denied(ask(EVERYTHING, person(), action, file())).reason == NOT_EVALUATED


@pytest.mark.parametrize(
    "kind", ["", "Nothing", "file", "Group", "Person", "Action", 'File::"x"', "File ", "NoMoat::File", None, 3]
)
def test_attack_a_kind_of_target_that_is_none(kind: Any) -> None:
    assert denied(ask(EVERYTHING, person(), "ReadFile", changed(file(), kind=kind))).reason == NOT_EVALUATED


def test_attack_an_action_on_another_kind_of_target() -> None:
    for action, on in [
        ("ReadFile", dataset()),
        ("ReadLog", directory()),
        ("ListFiles", file()),
        ("Enroll", LOG),
        ("Discover", file()),
    ]:
        assert denied(ask(EVERYTHING, person(), action, on)).reason == NOT_EVALUATED


# -- shapes and sizes ------------------------------------------------------------------------


def shown(fields: dict[str, object]) -> str:
    """The name of a case, the same in every process: sets in order."""
    return str({name: sorted(each) if isinstance(each, frozenset) else each for name, each in fields.items()})[:40]


MISSHAPEN_PRINCIPALS: list[dict[str, object]] = [
    {"name": ""},
    {"name": None},
    {"name": 7},
    {"name": "a" * (MAX_STRING + 1)},
    {"name": "\ud800"},
    {"kind": "robot"},
    {"kind": "person"},
    {"kind": None},
    {"groups": ["admins"]},
    {"groups": {"admins"}},
    {"groups": "admins"},
    {"groups": None},
    {"groups": frozenset({1})},
    {"groups": frozenset(f"g{number}" for number in range(MAX_GROUPS + 1))},
    {"groups": frozenset(str(number) * 1_000 for number in range(100))},
    {"groups": frozenset({"g" * (MAX_STRING + 1)})},
    {"clearance": 3},
    {"clearance": True},
    {"clearance": "restricted"},
    {"clearance": None},
    {"segment": None},
    {"segment": "s" * (MAX_STRING + 1)},
    {"segment": "\udfff"},
]


@pytest.mark.parametrize("fields", MISSHAPEN_PRINCIPALS, ids=shown)
def test_attack_a_principal_of_a_wrong_shape_or_size(fields: dict[str, object]) -> None:
    snapshot = compiled(EVERYTHING)
    sane = person("ada", "admins", clearance=Classification.RESTRICTED)
    allowed(ask(snapshot, sane, "ReadFile", file()))  # what is cached for the right one must not help
    decision = denied(ask(snapshot, changed(sane, **fields), "ReadFile", file()))
    assert decision.reason == NOT_EVALUATED
    assert decision.detail
    assert len(decision.detail) <= 500


def test_attack_no_principal_at_all() -> None:
    nobody: Any = None
    assert denied(ask(EVERYTHING, nobody, "ReadFile", file())).reason == NOT_EVALUATED


MISSHAPEN_TARGETS: list[dict[str, object]] = [
    {"id": ""},
    {"id": None},
    {"id": "x" * (MAX_STRING + 1)},
    {"kind": "K" * (MAX_STRING + 1)},
    {"classification": 1},
    {"classification": True},
    {"classification": None},
    {"labels": ["open"]},
    {"labels": ("open",)},
    {"labels": "open"},
    {"labels": None},
    {"labels": frozenset({1.5})},
    {"labels": frozenset({"\ud800"})},
    {"labels": frozenset(f"l{number}" for number in range(MAX_LABELS + 1))},
    {"labels": frozenset(str(number) * 1_000 for number in range(100))},
    {"owner_group": 5},
    {"owner_group": "g" * (MAX_STRING + 1)},
    {"owner_person": ("admin",)},
    {"facts": None},
]


@pytest.mark.parametrize("fields", MISSHAPEN_TARGETS, ids=shown)
def test_attack_a_target_of_a_wrong_shape_or_size(fields: dict[str, object]) -> None:
    snapshot = compiled(EVERYTHING)
    sane = file(classification=Classification.INTERNAL)
    allowed(ask(snapshot, person(), "ReadFile", sane))
    decision = denied(ask(snapshot, person(), "ReadFile", changed(sane, **fields)))
    assert decision.reason == NOT_EVALUATED
    assert decision.detail


@pytest.mark.parametrize(
    "fields",
    [
        {"at": 1.5},
        {"at": True},
        {"at": 2**63},
        {"at": None},
        {"auth_age": "0"},
        {"binding": "mtls"},
        {"binding": "none"},
        {"obtained": None},
        {"session": None},
        {"session": "s" * (MAX_STRING + 1)},
        {"source": None},
        {"source": 167772161},
    ],
)
def test_attack_circumstances_of_a_wrong_shape_or_size(fields: dict[str, object]) -> None:
    """Also where no policy reads them: a decision must not depend on what happens to be read."""
    decision = denied(ask(EVERYTHING, person(), "ReadFile", file(), given=changed(context(), **fields)))
    assert decision.reason == NOT_EVALUATED
