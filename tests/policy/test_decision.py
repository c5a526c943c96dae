"""One decision: what it says, how several targets make one, and that it depends on nothing else."""

from nomoat.core.decision import Allow, Context
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, Principal, PrincipalKind
from nomoat.policy import decide
from nomoat.policy.engine import MAX_TARGETS, evaluate
from nomoat.policy.entities import MAX_GROUPS, MAX_LABELS, MAX_STRING
from tests.policy.world import (
    CONFIDENTIAL,
    EVERYTHING,
    PUBLIC,
    allowed,
    ask,
    compiled,
    context,
    dataset,
    denied,
    file,
    model,
    person,
    workload,
)

NOT_EVALUATED = "it could not be evaluated"


# -- What a decision says -----------------------------------------------------------------------------


def test_no_policy_permits() -> None:
    snapshot = compiled()
    decision = denied(ask(snapshot, person(), "ReadFile", file()))
    assert (decision.policies, decision.reason, decision.detail) == ((), "no policy permits it", "")
    assert decision.snapshot == snapshot.digest


def test_permits_are_named_and_sorted() -> None:
    policies = "\n".join(f'@id("{name}") permit (principal, action, resource);' for name in ["zebra", "ant", "mole"])
    assert allowed(ask(policies, person(), "ReadFile", file())) == ("ant", "mole", "zebra")


def test_forbids_win_and_are_named_and_sorted() -> None:
    forbids = "\n".join(f'@id("no-{name}") forbid (principal, action, resource);' for name in ["zebra", "ant", "mole"])
    decision = denied(ask(EVERYTHING + forbids, person(), "ReadFile", file()))
    assert decision.policies == ("no-ant", "no-mole", "no-zebra")
    assert decision.reason == "refused by no-ant, no-mole, no-zebra"


# -- Several targets ----------------------------------------------------------------------------------

SOME = """
@id("open-ones") permit (principal, action, resource) when { resource.labels.contains("open") };
@id("public-ones") permit (principal, action, resource) when { resource.classification == 0 };
@id("not-secret") forbid (principal, action, resource) when { resource.labels.contains("secret") };
"""


def labelled(path: str, *labels: str, classification: Classification = CONFIDENTIAL) -> Target:
    return file(path, labels=frozenset(labels), classification=classification)


def test_every_target_must_be_allowed_and_all_permits_are_named() -> None:
    both = (labelled("a", "open"), labelled("b", classification=PUBLIC))
    assert allowed(ask(SOME, person(), "WriteFile", *both)) == ("open-ones", "public-ones")
    decision = denied(ask(SOME, person(), "WriteFile", *both, labelled("c"), labelled("d", "secret")))
    assert (decision.policies, decision.reason) == ((), "no policy permits it (on acme/digits:c)")


def test_the_first_refused_target_is_the_one_spoken_of() -> None:
    first = denied(ask(SOME, person(), "WriteFile", labelled("d", "secret"), labelled("c")))
    assert first.reason == "refused by not-secret"  # the refusal names the first target anyway
    second = denied(ask(SOME, person(), "WriteFile", labelled("a", "open"), labelled("d", "open", "secret")))
    assert (second.policies, second.reason) == (("not-secret",), "refused by not-secret (on acme/digits:d)")


def test_many_targets_alike_cost_one_evaluation_and_too_many_are_refused() -> None:
    many = [labelled(f"data/{number}", "open") for number in range(MAX_TARGETS)]
    snapshot = compiled(SOME)
    before = evaluate.cache_info()
    assert allowed(decide(snapshot, person(), "WriteFile", many, context())) == ("open-ones",)
    after = evaluate.cache_info()
    assert after.hits + after.misses == before.hits + before.misses + 1
    decision = denied(decide(snapshot, person(), "WriteFile", [*many, labelled("one", "open")], context()))
    assert "more than" in decision.reason


def test_of_many_targets_alike_the_one_that_a_policy_names_is_told_apart() -> None:
    named = '@id("not-b") forbid (principal, action, resource == NoMoat::File::"acme/digits:b");'
    files = [labelled(path, "open") for path in "abc"]
    decision = denied(ask(SOME + named, person(), "WriteFile", *files))
    assert decision.reason == "refused by not-b (on acme/digits:b)"


def test_nothing_to_decide_is_refused() -> None:
    decision = denied(ask(EVERYTHING, person(), "ReadFile"))
    assert (decision.reason, decision.detail) == (NOT_EVALUATED, "no target")


# -- What is kept between decisions -------------------------------------------------------------------


def test_as_much_as_is_allowed_is_decided() -> None:
    who = person("a" * MAX_STRING, *(f"g{number}" for number in range(MAX_GROUPS)))
    on = file("x" * 500, labels=frozenset(f"l{number}" for number in range(MAX_LABELS)))
    policies = (
        EVERYTHING
        + '@id("group") permit (principal in NoMoat::Group::"g7", action, resource) when { resource.labels.contains("l9") };'
    )
    assert allowed(ask(policies, who, "ReadFile", on)) == ("everything", "group")


def test_callers_and_targets_are_told_apart_although_handles_are_cached() -> None:
    """The same name as person and workload, the same id as dataset and model, other groups, other labels."""
    policies = compiled(
        '@id("people") permit (principal is NoMoat::Person in NoMoat::Group::"red", action, resource is NoMoat::Dataset)'
        ' when { principal.clearance >= resource.classification && resource.labels.contains("open") };'
    )
    expected: list[tuple[Principal, Target, bool]] = [
        (person("ada", "red"), dataset(labels=frozenset({"open"})), True),
        (workload("ada", "red"), dataset(labels=frozenset({"open"})), False),
        (person("ada", "red"), model("acme/digits", labels=frozenset({"open"})), False),
        (person("ada", "blue"), dataset(labels=frozenset({"open"})), False),
        (person("ada", "red"), dataset(), False),
        (person("ada", "red"), dataset(labels=frozenset({"open"}), classification=CONFIDENTIAL), False),
        (
            person("ada", "red", clearance=CONFIDENTIAL),
            dataset(labels=frozenset({"open"}), classification=CONFIDENTIAL),
            True,
        ),
    ]
    for _ in range(2):
        for who, on, yes in expected:
            assert isinstance(ask(policies, who, "ListFiles", on), Allow) is yes


def test_what_a_policy_reads_of_the_moment_is_read_at_each_decision() -> None:
    """An answer is kept for what it was an answer to: age, binding, address and action included."""
    policies = compiled(
        '@id("fresh") permit (principal, action in NoMoat::Action::"Read", resource)'
        ' when { context.auth_age < 100 && context.binding == "mtls" && action != NoMoat::Action::"DescribeFile" };'
        '@id("away") forbid (principal, action in NoMoat::Action::"Read", resource)'
        ' unless { context.source.isInRange(ip("10.0.0.0/8")) };'
    )
    for _ in range(2):
        assert allowed(ask(policies, person(), "ReadFile", file())) == ("fresh",)
        assert denied(ask(policies, person(), "DescribeFile", file())).policies == ()
        for given in (context(auth_age=100), context(Binding.NONE)):
            assert denied(ask(policies, person(), "ReadFile", file(), given=given)).policies == ()
        assert denied(ask(policies, person(), "ReadFile", file(), given=context(source="::1"))).policies == ("away",)


def test_a_decision_depends_on_nothing_before_it() -> None:
    one, other = compiled(EVERYTHING), compiled()
    now = Context(at=1, binding=Binding.NONE, obtained=Binding.NONE, auth_age=0, source="::1", session="")
    who = person()
    assert who.kind is PrincipalKind.PERSON
    for _ in range(2):
        allowed(ask(one, who, "ReadFile", file(), given=now))
        denied(ask(other, who, "ReadFile", file(), given=now))
