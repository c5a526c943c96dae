"""The analysis: what it shows is what Cedar says, and what it calls proven no request contradicts."""

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomoat.core.decision import Allow
from nomoat.policy import PolicySnapshot, compile_policies, decide_again, starter_policies
from nomoat.policy.analysis import Analysis, analyse, shapes
from nomoat.policy.question import Question
from tests.policy.edits import chance, edited
from tests.policy.plain import PlainCedar
from tests.policy.test_explanation import questions
from tests.policy.test_schema import SUBJECTS
from tests.policy.world import compiled

STARTER = compile_policies(starter_policies())
READ = 'action == NoMoat::Action::"ReadFile", resource'


def changed(was: str, becomes: str) -> PolicySnapshot:
    files = {name: text.replace(was, becomes) for name, text in starter_policies().items()}
    assert files != starter_policies()
    return compile_policies(files)


def confirmed(found: Analysis, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    before, after = PlainCedar(old), PlainCedar(new)
    for example in found.examples:
        now = after.allows(example.question)
        assert now is (example.turn == "allowed")
        assert before.allows(example.question) is not now


def turns(found: Analysis) -> set[tuple[str, str]]:
    return {(example.turn, example.question.action) for example in found.examples}


def test_every_shape_that_a_request_can_have_is_searched() -> None:
    assert {(each.action, each.resource.removeprefix("NoMoat::")) for each in shapes()} == {
        (action, kind) for action, kinds in SUBJECTS.items() for kind in kinds
    }
    assert {each.parent for each in shapes() if each.resource == "NoMoat::File"} == {"NoMoat::Dataset", "NoMoat::Model"}


def test_a_set_and_itself_are_proven_alike() -> None:
    found = analyse(STARTER, compile_policies({"all.cedar": "\n".join(starter_policies().values())}))
    assert (found.examples, found.proven) == ([], True)


def test_what_other_policies_permit_anyway_is_no_difference() -> None:
    found = analyse(
        STARTER,
        changed(
            'principal.segment == "training" && resource.repository_kind == "dataset"',
            'principal.segment == "training"',
        ),
    )
    assert (found.examples, found.proven) == ([], True)


def test_a_forbid_that_is_gone_is_found_with_an_example() -> None:
    new = changed(">= resource.classification", ">= 0")
    found = analyse(STARTER, new)
    confirmed(found, STARTER.files, new.files)
    assert {("allowed", "ReadFile"), ("allowed", "WriteFile")} <= turns(found)
    assert {turn for turn, _ in turns(found)} == {"allowed"}
    assert found.proven


def test_owners_levels_and_names_are_in_the_fragment() -> None:
    old = compiled(
        f'@id("a") permit (principal, {READ}) when {{ resource has owner_person && principal == resource.owner_person }};'
    )
    new = compiled(
        f'@id("a") permit (principal, {READ}) when {{ resource has owner_person && principal == resource.owner_person }};',
        f'@id("b") permit (principal == NoMoat::Person::"eve", {READ}) when {{ principal.clearance > 2 }};',
        f'@id("c") forbid (principal, {READ}) when {{ principal.subject == "person:mallory" }};',
    )
    found = analyse(old, new)
    confirmed(found, old.files, new.files)
    assert found.proven
    told = {(example.turn, example.question.who[1], example.policies) for example in found.examples}
    assert told == {("allowed", "eve", ("b",)), ("refused", "mallory", ("c",))}


@pytest.mark.parametrize(
    ("condition", "found_anyway"),
    [
        ('principal.subject like "person:zz*"', False),
        ('context.source.isInRange(ip("10.0.0.0/8"))', True),
        ("principal.clearance + 1 > 3", False),
    ],
)
def test_what_is_outside_of_the_fragment_is_said(condition: str, found_anyway: bool) -> None:
    new = compiled(f'@id("p") permit (principal, {READ}) when {{ {condition} }};')
    found = analyse(compiled(""), new)
    confirmed(found, {"a": ""}, new.files)
    assert found.outside == {"p"}
    assert not found.proven
    assert bool(found.examples) or not found_anyway


def test_without_z3_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from nomoat.core.errors import Unavailable

    monkeypatch.setitem(sys.modules, "z3", None)
    with pytest.raises(Unavailable, match=r"nomoat\[analysis\]"):
        analyse(STARTER, STARTER)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.lists(questions(), min_size=20, max_size=40))
def test_under_random_edits_cedar_confirms_everything(seed: int, asked: list[Question]) -> None:
    new = edited(chance(seed), starter_policies())
    found = analyse(STARTER, new)
    confirmed(found, STARTER.files, new.files)
    seen = turns(found)
    for question in asked if found.proven else []:
        was, now = (isinstance(decide_again(each, question), Allow) for each in (STARTER, new))
        assert was is now or (("allowed" if now else "refused"), question.action) in seen
