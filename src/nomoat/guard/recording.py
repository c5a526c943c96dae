"""What the log keeps of an access: the readable content of openings, refusals and outcomes.

Rules: everything here is sealed by the log; still no secret, capability URL, query string or body
enters a record.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from nomoat.core.connection import Presented
from nomoat.core.decision import Allow, Context, Decision
from nomoat.core.errors import Refused
from nomoat.core.names import Classification
from nomoat.core.operation import Operation, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.core.record import Json, Receipt, Record, RecordKind

LEVELS: Final = {level: level.name.lower() for level in Classification}
MANY: Final = 100  # targets named one by one in a record; of more, the number and a digest of all names


def opening(
    principal: Principal, resolved: Resolved[Operation], decision: Decision, context: Context, presented: Presented
) -> Record:
    """The record of a decision, Allow or Deny."""
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
    if not isinstance(decision, Allow):
        content["why"] = decision.reason
        if decision.detail:
            content["detail"] = decision.detail
    if len(resolved.targets) > 1:
        content["all"] = _all(resolved.targets)
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
    if facts:
        content["facts"] = facts
    return Record(
        kind=RecordKind.OUTCOME, subject=subject, what=action, on="", decision="", content=content, of=receipt.index
    )


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
    }


def _on(target: Target) -> dict[str, Json]:
    return {
        "kind": target.kind,
        "id": target.id,
        "name": target.name,
        "version": target.version,
        "classification": LEVELS[target.classification],
        "labels": sorted(target.labels) if target.labels else (),
    }


def _all(targets: Sequence[Target]) -> dict[str, Json]:
    names = [target.name for target in targets]
    return {"count": len(names), "names": names[:MANY], "sha256": sha256("\n".join(names).encode()).hexdigest()}


def _context(context: Context) -> dict[str, Json]:
    return {
        "at": context.at,
        "binding": context.binding,
        "obtained": context.obtained,
        "auth_age": context.auth_age,
        "source": context.source,
    }
