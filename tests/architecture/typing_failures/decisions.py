"""A decision is Allow or Deny: never a bool, never changed, never half handled."""

from typing import assert_never

from nomoat.core.decision import Allow, Decision, Deny


def a_decision_is_not_true_or_false(decision: Decision) -> str:
    if decision:  # E: truthy-bool
        return "served"
    return "refused"


def nor_is_it_returned_as_one(decision: Decision) -> bool:
    return decision  # E: return-value


def it_has_no_flag(decision: Decision) -> object:
    return decision.allowed  # E: union-attr


def only_a_denial_has_a_reason(decision: Decision) -> str:
    return decision.reason  # E: union-attr


def a_denial_does_not_become_an_allowance(denial: Deny) -> Allow:
    denial.policies = ()  # E: misc
    return denial  # E: return-value


def every_case_is_handled(decision: Decision) -> str:
    match decision:
        case Allow():
            return "served"
        case _:
            assert_never(decision)  # E: arg-type


def and_this_is_how(decision: Decision) -> str:
    match decision:
        case Allow(policies=policies):
            return f"allowed by {policies}"
        case Deny(reason=reason):
            return f"refused: {reason}"
        case _:
            assert_never(decision)
