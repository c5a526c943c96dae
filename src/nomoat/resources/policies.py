"""The active policies as a resource: one compiled set, replaced whole by compare-and-swap.

Rules: what does not compile strictly never becomes active, and the set in force stays in force. A set
under which its own author could not apply the next one is refused: nobody locks the door from inside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import orjson
from sqlalchemy import desc, insert, select
from sqlalchemy.engine import Connection

from nomoat.core.decision import Context, Deny
from nomoat.core.errors import Conflict, Misuse, Unavailable
from nomoat.core.operation import ApplyPolicy, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.policy.engine import PolicySnapshot, compile_policies, decide
from nomoat.policy.plan import PolicyChange, plan
from nomoat.stores.state.engine import State
from nomoat.stores.state.schema import policy_version


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of `apply`: the plan, the digest it leads to, the digest now active."""

    plan: tuple[PolicyChange, ...]
    digest: str
    active: str
    applied: bool


@final
class Policies:
    """The policies in force. `current` is the snapshot that every decision reads."""

    def __init__(self, state: State, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        files = state.read(_newest)
        if files is None:
            raise Unavailable("policy", "no policies were ever applied; run: nomoat init")
        self.current = compile_policies(files)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the event loop after each change, before the change is answered."""
        self._listeners.append(listener)

    def glance(self, principal: Principal, operation: ApplyPolicy) -> Resolved[ApplyPolicy]:
        """Say what is about to change, without a look at the texts: compiling them is for who may apply them."""
        del principal
        return Resolved(operation, (Target("PolicySet", "policies", "policies", self.current.digest),))

    def resolve(self, principal: Principal, operation: ApplyPolicy) -> Resolved[ApplyPolicy]:
        """Resolve policy texts to a compiled set. Raises `Malformed`, or `Conflict` when the base moved."""
        current = self.current
        if operation.base and operation.base != current.digest:
            raise Conflict("the active policies changed since the plan was made; look at the new plan and apply again")
        candidate = compile_policies(dict(operation.files))
        targets = self.glance(principal, operation).targets
        return Resolved(operation, targets, {"base": current, "candidate": candidate})

    async def apply(self, permit: Permit[ApplyPolicy]) -> Applied:
        """Activate a set, or only plan it. Raises `Conflict` on a lost race or a self-made lock-out."""
        resolved = permit.claim(ApplyPolicy)
        base, candidate = resolved.coordinates["base"], resolved.coordinates["candidate"]
        if not isinstance(base, PolicySnapshot) or not isinstance(candidate, PolicySnapshot):
            raise Misuse("policies resolved to something else")
        changes = tuple(plan(base, candidate))
        permit.note(changes=str(len(changes)), candidate=candidate.digest)
        self._require_a_way_back(permit.principal, candidate, resolved.targets[0])
        if resolved.operation.dry_run or not changes:
            return Applied(changes, candidate.digest, base.digest, applied=False)
        at, by = self._clock(), permit.principal.subject

        def change(connection: Connection) -> PolicySnapshot:
            permit.check()  # here, not before: other changes may have been ahead of this one in the queue
            return _replace(connection, base, candidate, at, by)

        await self._state.write(change, self._swap)
        return Applied(changes, candidate.digest, candidate.digest, applied=True)

    def _swap(self, policies: PolicySnapshot) -> None:
        self.current = policies
        for listener in self._listeners:
            listener()

    def _require_a_way_back(self, author: Principal, candidate: PolicySnapshot, target: Target) -> None:
        now = int(self._clock())
        context = Context(
            at=now,
            binding=author.binding,
            obtained=author.obtained,
            auth_age=max(0, now - author.authenticated_at),
            source="127.0.0.1",
            session=author.session,
        )
        if isinstance(decide(candidate, author, ApplyPolicy.action, (target,), context), Deny):
            raise Conflict("under these policies you could not apply policies again; keep a permit for ApplyPolicy")


def install(connection: Connection, files: Mapping[str, str], at: float, by: str) -> PolicySnapshot:
    """Store a first set while a data directory is being made; there is no path yet."""
    compiled = compile_policies(files)
    return _store(connection, compiled, at, by)


def former(state: State, digest: str) -> PolicySnapshot | None:
    """The policies with this digest, if they were ever in force; compiled again, for a thread."""

    def find(connection: Connection) -> Mapping[str, str] | None:
        texts = connection.scalar(select(policy_version.c.files).where(policy_version.c.digest == digest).limit(1))
        found: Mapping[str, str] | None = None if texts is None else orjson.loads(texts)
        return found

    files = state.read(find)
    return None if files is None else compile_policies(files)


def versions(state: State) -> list[tuple[str, float]]:
    """The digests of all sets that were in force and since when (Unix seconds), newest first."""
    columns = select(policy_version.c.digest, policy_version.c.applied_at).order_by(desc(policy_version.c.number))
    return state.read(lambda connection: [(row.digest, row.applied_at) for row in connection.execute(columns)])


def _newest(connection: Connection) -> Mapping[str, str] | None:
    row = connection.execute(select(policy_version).order_by(desc(policy_version.c.number)).limit(1)).one_or_none()
    if row is None:
        return None
    files: Mapping[str, str] = orjson.loads(row.files)
    return files


def _replace(
    connection: Connection, base: PolicySnapshot, candidate: PolicySnapshot, at: float, by: str
) -> PolicySnapshot:
    digest = connection.scalar(select(policy_version.c.digest).order_by(desc(policy_version.c.number)).limit(1))
    if digest != base.digest:
        raise Conflict("the active policies changed since the plan was made; look at the new plan and apply again")
    return _store(connection, candidate, at, by)


def _store(connection: Connection, compiled: PolicySnapshot, at: float, by: str) -> PolicySnapshot:
    files = orjson.dumps(dict(compiled.files), option=orjson.OPT_SORT_KEYS).decode()
    row = {"digest": compiled.digest, "files": files, "applied_at": at, "applied_by": by}
    connection.execute(insert(policy_version).values(row))
    return compiled
