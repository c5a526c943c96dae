"""What an allowed operation must leave out of its answer: decided here, applied by the resource.

Rules: an operation is allowed or refused as a whole; of what its answer would tell besides, each part
is decided as what alone would tell it (a file: `DescribeFile`), and a denied one is withheld. What cannot be decided is withheld, too.
"""

from collections.abc import Sequence
from typing import Final

from nomoat.core.decision import Allow, Confine, Context, Decision, Deny, Obligation, Withhold, withheld_parts
from nomoat.core.operation import Operation, Resolved, Target
from nomoat.core.principal import Principal
from nomoat.core.record import Json
from nomoat.guard.step_up import weighed_by_age
from nomoat.policy.classes import permitted
from nomoat.policy.engine import MAX_TARGETS, PolicySnapshot, decide

MANY: Final = 32  # withheld parts that a record shows one by one
SERVER: Final = "Upstream"  # the kind of a part that is a server, which no caller needs to be kept from an auditor


def decide_resolved(
    policies: PolicySnapshot, principal: Principal, resolved: Resolved[Operation], context: Context
) -> Decision:
    """Decide an operation on its targets and, if it is allowed, on the parts of its answer."""
    decision = decide(policies, principal, resolved.operation.action, resolved.targets, context)
    if isinstance(decision, Deny):
        return weighed_by_age(decision, policies, principal, resolved, context)
    if resolved.classes is not None:
        within = permitted(policies, principal, resolved.operation.part, resolved.classes, context)
        return Allow(decision.policies, decision.snapshot, (Confine(within),))
    if not resolved.parts:
        return decision
    if len(resolved.parts) > MAX_TARGETS:
        return Deny((), policies.digest, f"it is about more than {MAX_TARGETS} things at once")
    denied = {
        number: each.policies
        for number, part in enumerate(resolved.parts)
        if isinstance(each := decide(policies, principal, resolved.operation.part, (part,), context), Deny)
    }
    if not denied:
        return decision
    return Allow(decision.policies, decision.snapshot, (Withhold(frozenset(denied), tuple(denied.values())),))


def withholds_more(
    granted: tuple[Resolved[Operation], Allow] | None, resolved: Resolved[Operation], allow: Allow
) -> bool:
    """Whether something that was granted is withheld, or is no part of the answer any more."""
    return granted is not None and not _permitted(*granted) <= _permitted(resolved, allow)


def _permitted(resolved: Resolved[Operation], allow: Allow) -> set[tuple[str, str, object]]:
    if resolved.classes is not None:
        targets = resolved.classes.targets
        confined = [each.classes for each in allow.obligations if isinstance(each, Confine)]
        return {(*targets[number][:2], targets[number]) for numbers in confined for number in numbers}
    withheld = withheld_parts(allow.obligations)
    return {
        (part.kind, part.id, dict(part.facts).get("redacted"))
        for number, part in enumerate(resolved.parts)
        if number not in withheld
    }


def recorded(obligations: Sequence[Obligation], parts: Sequence[Target]) -> list[Json]:
    """What a record says of obligations: of withheld files how they are classified and labelled, no name; of servers, which and why."""
    said: list[Json] = []
    for obligation in obligations:
        match obligation:
            case Withhold(withheld, policies) if all(parts[number].kind == SERVER for number in withheld):
                servers = zip(sorted(withheld), policies, strict=True)
                said.append(
                    {"withhold": [_server(parts[number], by) for number, by in servers][:MANY], "kinds": len(withheld)}
                )
            case Withhold(withheld):
                kinds = [
                    (parts[number].classification.name.lower(), sorted(parts[number].labels)) for number in withheld
                ]
                shown = [{"classification": level, "labels": labels} for level, labels in sorted(kinds)[:MANY]]
                said.append({"withhold": shown, "kinds": len(withheld)})
            case Confine(classes):
                said.append({"confine": len(classes)})
    return said


def _server(part: Target, policies: Sequence[str]) -> Json:
    """A server that a prompt may not be sent to, what the prompt would be there, and the policies that forbid it (none permits it)."""
    return {
        "upstream": part.name,
        "redacted": dict(part.facts).get("redacted", False),
        "classification": part.classification.name.lower(),
        "labels": sorted(part.labels),
        "policies": list(policies),
    }
