"""Denied for nothing but the age of the authentication? Then how old it may be (RFC 9470).

Rules: nothing is derived from the text of policies. The engine that denied is asked again about the same request,
with no difference but that age; only if a fresh authentication would be allowed, the denial says up to which age
it is. An access that is allowed is never asked about, nor is one under policies that do not read the age. What
is said is for whoever may know of the thing: the guard words a denial of anything else as before.
"""

from dataclasses import replace
from typing import Final

from nomoat.core.decision import Allow, Context, Deny
from nomoat.core.errors import NotPermitted, StepUpRequired
from nomoat.core.operation import Operation, Resolved
from nomoat.core.principal import Principal
from nomoat.policy.engine import MAX_TARGETS, NOTHING_PERMITS, PolicySnapshot, alike, decide

SOURCE: Final = "Source"  # the kind of a target that is registered source code
BEARERS: Final = {
    "InvokeModel": ("the prompt", "; take it out, or ask its owners to be cleared for it"),
    "ReleaseAnswer": ("the answer", ""),
}


def weighed_by_age(
    deny: Deny, policies: PolicySnapshot, principal: Principal, resolved: Resolved[Operation], context: Context
) -> Deny:
    """Add to a denial up to which age of the authentication the same would be allowed, if that is all there is to it.

    Found by halving, so at most 17 questions, each about one target of a sort. Where more than one age is a
    boundary, it is one of them.
    """
    if (
        "auth_age" not in policies.index.reads
        or principal.confined_to is not None  # a new log-in makes no such credential any younger
        or max(len(resolved.parts), len(resolved.targets)) > MAX_TARGETS
    ):
        return deny
    sorts = alike(policies, resolved.targets)

    def allowed_at(age: int) -> bool:
        given = context._replace(auth_age=age)
        return isinstance(decide(policies, principal, resolved.operation.action, sorts, given), Allow)

    if not sorts or not allowed_at(0):
        return deny
    good, bad = 0, context.auth_age
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if allowed_at(middle) else (good, middle)
    return replace(deny, max_age=good)


def denial(principal: Principal, resolved: Resolved[Operation], deny: Deny) -> NotPermitted:
    """Word a denial for who may know of the thing, with the challenge if there is one."""
    # Of a folder's files, the first is one that the caller did not name.
    thing = resolved.discovery if resolved.found and resolved.discovery else resolved.target
    asked = f"{resolved.operation.action} {thing.name}".rstrip()
    reason = f"{principal.name} may not {asked}: {_worded(resolved, deny)}"
    if deny.max_age is None:
        return NotPermitted(reason, detail=deny.detail)
    return StepUpRequired(reason, max_age=deny.max_age, detail=deny.detail)


def _worded(resolved: Resolved[Operation], deny: Deny) -> str:
    """Why, to the caller. Whose the source code is that something has is nothing that they need to know."""
    if deny.policies or deny.detail or resolved.targets[deny.place].kind != SOURCE:
        return deny.reason
    bearer, then = BEARERS.get(resolved.operation.action, ("it", ""))
    return f"{bearer} has registered source code that they are not cleared for ({NOTHING_PERMITS}){then}"
