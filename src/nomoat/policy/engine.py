"""The decision: whether this caller may do this to these targets, in these circumstances.

Rules: a pure function of its arguments. Deny unless every target is permitted and none forbidden.
Whatever cannot be evaluated denies: a policy that errs (Cedar alone would skip it, forbids
included), a shape or size that policies cannot be asked about, an action or kind that the schema
does not know, no target at all. Only the detail, which is for the log, says what it was.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from nomoat.core.decision import Allow, Context, Decision, Deny
from nomoat.core.operation import Target
from nomoat.core.principal import Principal
from nomoat.policy import cedar
from nomoat.policy.compilation import compile_policies
from nomoat.policy.entities import (
    PRINCIPAL_TYPES,
    Caller,
    Traits,
    caller,
    circumstances,
    context_json,
    entities,
    traits,
)
from nomoat.policy.index import Slice
from nomoat.policy.question import Question
from nomoat.policy.snapshot import PolicySnapshot

__all__ = ["MAX_TARGETS", "PolicySnapshot", "compile_policies", "decide", "decide_again"]

MAX_TARGETS: Final = 10_000
MAX_DETAIL: Final = 500
EVALUATIONS: Final = 8_192  # answers of Cedar that are kept

# What a principal or target of a wrong shape raises on its way into Cedar.
UNFIT: Final = (ValueError, TypeError, AttributeError, OverflowError)

DOCUMENT: Final = "Document"
NOTHING_PERMITS: Final = "no policy permits it"
NOT_EVALUATED: Final = "it could not be evaluated"


def decide(
    snapshot: PolicySnapshot, who: Principal, action: str, targets: Sequence[Target], context: Context
) -> Decision:
    """Decide one action on targets that belong together: allowed only if each of them is.

    `Allow.policies` are the permits of all targets, `Deny.policies` the forbids of the first target
    that is refused; both sorted. Never raises for what its arguments contain.
    """
    try:
        return weigh(snapshot, caller(who), action, targets, circumstances(context))
    except UNFIT as error:
        return _unfit(snapshot, error)


def decide_again(snapshot: PolicySnapshot, question: Question) -> Decision:
    """Decide what was asked before, or a variation of it, under any policies; exactly as `decide` would."""
    try:
        return weigh(snapshot, question.who, question.action, question.targets, question.given)
    except UNFIT as error:
        return _unfit(snapshot, error)


def weigh(
    snapshot: PolicySnapshot, who: Caller, action: str, targets: Sequence[Target], given: Mapping[str, str | int]
) -> Decision:
    """Decide on what policies can see of a caller and a context; raises one of `UNFIT` for a wrong shape."""
    if not targets:
        return Deny((), snapshot.digest, NOT_EVALUATED, "no target")
    if len(targets) > MAX_TARGETS:
        return Deny((), snapshot.digest, f"it is about more than {MAX_TARGETS} things at once")
    index, uid = snapshot.index, (PRINCIPAL_TYPES[who[0]], who[1])
    permits: tuple[str, ...] = ()
    answered: set[Traits] = set()
    for number, target in enumerate(targets):
        on = traits(target, index.known)
        if number and on in answered:
            continue
        applicable = index.slice(action, uid, who[2], on[0], on[1])
        read = tuple([given[name] for name in applicable.reads])
        answer = evaluate(applicable, action, who, on, read)
        if answer.errors or not answer.allowed:
            return _deny(snapshot, answer, _told(target) if number else "", number)
        if len(targets) == 1:
            return Allow(answer.applied, snapshot.digest)
        permits = tuple(sorted({*permits, *answer.applied})) if number else answer.applied
        answered.add(on)
    return Allow(permits, snapshot.digest)


def alike(snapshot: PolicySnapshot, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Return one target of each sort that these policies can tell apart; of a wrong shape, none."""
    try:
        return tuple({traits(target, snapshot.index.known): target for target in targets}.values())
    except UNFIT:
        return ()


@lru_cache(maxsize=EVALUATIONS)
def evaluate(
    applicable: Slice, action: str, who: Caller, on: Traits, circumstances: tuple[str | int, ...]
) -> cedar.Evaluation:
    """Ask Cedar about one caller, action, target and context, by the policies that apply.

    `circumstances` are the values of what the policies read of the context (`Slice.reads`).
    INVARIANT (pure): the arguments are everything that Cedar is given, so an answer that is kept is
    the answer that it would give again. What policies read of the time is one of them.
    """
    request = {
        "principal": {"type": PRINCIPAL_TYPES[who[0]], "id": who[1]},
        "action": {"type": cedar.ACTION, "id": action},
        "resource": {"type": on[0][0], "id": on[0][1]},
        "context": context_json(applicable.reads, circumstances),
    }
    return cedar.evaluate(request, applicable.policies, entities(who, on))


def _unfit(snapshot: PolicySnapshot, error: Exception) -> Deny:
    return Deny((), snapshot.digest, NOT_EVALUATED, f"{type(error).__name__}: {error}"[:MAX_DETAIL])


def _told(target: Target) -> str:
    """What a refusal calls one of many targets: of a document by its name alone, as a version is a digest of what it says."""
    return target.id if target.kind == DOCUMENT else target.name


def _deny(snapshot: PolicySnapshot, answer: cedar.Evaluation, name: str, place: int) -> Deny:
    """Say no, of the target at `place`. `name` is its, where it is not the one that the refusal speaks of anyway."""
    forbids = () if answer.allowed else answer.applied
    if forbids:
        reason = f"refused by {', '.join(forbids)}"
    elif answer.errors:
        reason = NOT_EVALUATED
    else:
        reason = NOTHING_PERMITS
    if name:
        reason += f" (on {name:.600})"
    return Deny(forbids, snapshot.digest, reason, "; ".join(sorted(answer.errors))[:MAX_DETAIL], place=place)
