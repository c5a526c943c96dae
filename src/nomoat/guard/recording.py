"""What the log keeps of an access: the readable content of openings, refusals and outcomes.

Rules: everything here is sealed by the log; still no secret, capability URL, query string or body
enters a record. A record of a decision holds all that policies could read, so that it can be explained
and decided again (`policy/question.py` reads it back).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate
from typing import Final

from nomoat.core.connection import Presented
from nomoat.core.decision import CONFINED, Allow, Context, Decision
from nomoat.core.errors import Disconnected, NoMoatError, NotPermitted, Refused, Rejected, Revoked
from nomoat.core.names import Classification
from nomoat.core.operation import Operation, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.core.record import REFUSED, Json, Receipt, Record, RecordKind
from nomoat.guard.obligations import recorded
from nomoat.policy.engine import PolicySnapshot, decide

LEVELS: Final = {level: level.name.lower() for level in Classification}
MANY: Final = 100  # targets named one by one in a record; of more, the number and a digest of all names
ROOM: Final = 16 * 1024  # characters for such names, and for what policies saw of many targets
UNLIKE: Final = frozenset({"id", "name", "version"})  # tells targets of one sort apart
MENTIONED: Final = 16  # policies of a set on trial that a record names
FEW: Final = 256  # characters of its reason
ENDINGS: Final[Mapping[type[NoMoatError], str]] = {
    Revoked: "cut",
    Disconnected: "left",
    Rejected: REFUSED,
    NotPermitted: REFUSED,
}
DERIVED: Final = frozenset({"repository_kind"})  # facts that follow from what else a record says


def opening(
    principal: Principal,
    resolved: Resolved[Operation],
    decision: Decision,
    context: Context,
    presented: Presented,
    candidate: PolicySnapshot | None = None,
) -> Record:
    """The record of a decision, Allow or Deny; and of what `candidate` would have decided, where that differs."""
    operation, target = resolved.operation, resolved.target
    allowed = isinstance(decision, Allow)
    content: dict[str, Json] = {
        "who": _who(principal, context),
        "what": operation.action,
        "on": _on(target),
        "decision": "allow" if allowed else "deny",
        "policies": decision.policies,
        "snapshot": decision.snapshot,
        "context": _context(context),
        "request": {"protocol": presented.protocol, "method": presented.method},
    }
    if operation.asked:
        content["asked"] = operation.asked
    if not isinstance(decision, Allow):
        content["why"] = decision.reason
        if decision.detail:
            content["detail"] = decision.detail
        if decision.max_age is not None:
            content["max_age"] = decision.max_age  # the challenge, if the caller may know of the thing
        if resolved.discovery is not None:
            content["within"] = _on(resolved.discovery)  # its existence is asked for before the refusal is worded
    elif decision.obligations:
        content["obligations"] = recorded(decision.obligations, resolved.parts)
    if resolved.found:
        content["found"] = True  # its author named a folder; an explanation for them names what they may see
    if len(resolved.targets) > 1:
        content["all"] = _all(resolved.targets)
    if candidate is not None and (otherwise := _otherwise(candidate, principal, resolved, decision, context)):
        content["candidate"] = otherwise
    return Record(
        kind=RecordKind.OPENING,
        subject=principal.subject,
        what=operation.action,
        on=target.name,
        decision="allow" if allowed else "deny",
        content=content,
        priority=operation.priority,
    )


def refusal_without_target(
    principal: Principal, context: Context, action: str, requested: str, presented: Presented, refusal: Refused
) -> Record:
    """The record of a request that was refused before it meant a thing that exists."""
    content: dict[str, Json] = {
        "who": _who(principal, context),
        "what": action,
        "on": {"requested": requested[:512]},
        "decision": "deny",
        "refusal": type(refusal).__name__,
        "why": refusal.reason,
        "detail": refusal.detail,
        "context": _context(context),
        "request": {"protocol": presented.protocol, "method": presented.method},
    }
    return Record(
        kind=RecordKind.OPENING,
        subject=principal.subject,
        what=action,
        on=requested[:512],
        decision="deny",
        content=content,
    )


def ending_of(error: NoMoatError) -> str:
    """How an access ends that this happens to."""
    return ENDINGS.get(type(error), "failed")


def reasons(error: NoMoatError) -> dict[str, str]:
    """What an outcome says of an error: why, and of a content that was refused the rule that it breaks."""
    return {"why": str(error), **({"rule": error.rule} if isinstance(error, Rejected) else {})}


def outcome(permit: Permit[Operation], action: str, ending: str, seconds: float) -> Record:
    """The record of how an allowed access ended after so long."""
    return _outcome(permit.principal.subject, action, permit.receipt, ending, permit.bytes, permit.outcome, seconds)


def overtaken(subject: str, action: str, receipt: Receipt) -> Record:
    """The record that an allowed access never began: what it rested on changed meanwhile."""
    return _outcome(subject, action, receipt, "overtaken", 0, {}, 0.0)


def _outcome(
    subject: str, action: str, receipt: Receipt, ending: str, size: int, facts: Mapping[str, str], seconds: float
) -> Record:
    """`size` in bytes served or stored."""
    content: dict[str, Json] = {"outcome": ending, "bytes": size, "ms": round(seconds * 1000)}
    refused = ending == REFUSED
    if facts:
        told = {name: fact for name, fact in facts.items() if refused and name in {"why", "rule"}}
        content |= told  # where a refusal says it
        if others := {name: fact for name, fact in facts.items() if name not in told}:
            content["facts"] = others
    decision = "deny" if refused else ""
    return Record(RecordKind.OUTCOME, subject, action, on="", decision=decision, content=content, of=receipt.index)


def _otherwise(
    candidate: PolicySnapshot, principal: Principal, resolved: Resolved[Operation], decision: Decision, context: Context
) -> dict[str, Json]:
    """What policies on trial decide, where it is not what was decided. Short, so that it costs no record its room."""
    if not isinstance(decision, Allow) and decision.detail == CONFINED:
        return {}
    other = decide(candidate, principal, resolved.operation.action, resolved.targets, context)
    if isinstance(other, Allow) is isinstance(decision, Allow):
        return {}
    said = {} if isinstance(other, Allow) else {"why": other.reason[:FEW]}
    verdict = "allow" if isinstance(other, Allow) else "deny"
    return {"snapshot": other.snapshot, "decision": verdict, "policies": other.policies[:MENTIONED], **said}


def _who(principal: Principal, context: Context) -> dict[str, Json]:
    return {
        "kind": principal.kind,
        "name": principal.name,
        "id": principal.identifier,
        "binding": principal.binding,
        "auth_age_s": context.auth_age,
        "session": principal.session,
        "device": principal.device,
        "chain": principal.chain,
        "groups": _sorted(principal.groups),
        "clearance": LEVELS[principal.clearance],
        "segment": principal.segment,
    }


def _on(target: Target) -> dict[str, Json]:
    on: dict[str, Json] = {
        "kind": target.kind,
        "id": target.id,
        "name": target.name,
        "version": target.version,
        "classification": LEVELS[target.classification],
        "labels": _sorted(target.labels),
        "in": target.parents,
    }
    if target.owner_group or target.owner_person:
        on["owner"] = f"group:{target.owner_group}" if target.owner_group else f"person:{target.owner_person}"
    if target.facts and (facts := _facts(target.facts)):
        on["facts"] = facts
    return on


@lru_cache(maxsize=1024)
def _sorted(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _facts(facts: tuple[tuple[str, str | int | bool], ...]) -> dict[str, Json]:
    return {name: value for name, value in facts if name not in DERIVED}


def _all(targets: Sequence[Target]) -> dict[str, Json]:
    names = [target.name for target in targets]
    return {
        "count": len(names),
        "names": _within(names[:MANY], ROOM),
        "sha256": sha256("\n".join(names).encode()).hexdigest(),
        **_sorts(targets),
    }


def _sorts(targets: Sequence[Target]) -> dict[str, Json]:
    """What policies could see of many targets: each sort of them once, with as many ids as there is room for."""
    ids: dict[Target, list[str]] = {}
    for target in targets:
        ids.setdefault(target._replace(id="", name="", version=""), []).append(target.id)
    sorts = [{name: value for name, value in _on(sort).items() if name not in UNLIKE} for sort in ids]
    if sum(len(str(sort)) for sort in sorts) > ROOM:
        return {"sorts": ()}  # it can be told from its decision only
    told = [_within(each[:MANY], ROOM // len(ids)) or each[:1] for each in ids.values()]
    found: dict[str, Json] = {"sorts": [{**sort, "ids": each} for sort, each in zip(sorts, told, strict=True)]}
    if sum(map(len, told)) < len(targets):
        found["sampled"] = True
    return found


def _within(texts: list[str], room: int) -> list[str]:
    """The first of some texts, as many as have `room` characters together."""
    ends = accumulate(map(len, texts))
    return [text for text, end in zip(texts, ends, strict=True) if end <= room]


def _context(context: Context) -> dict[str, Json]:
    return {
        "at": context.at,
        "binding": context.binding,
        "obtained": context.obtained,
        "auth_age": context.auth_age,
        "source": context.source,
    }
