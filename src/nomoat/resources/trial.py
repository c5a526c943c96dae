"""Policies on trial: a candidate set that decides beside the active one, and changes no answer.

Rules: one candidate at a time, compiled as strictly as an active set. Where it decides otherwise, the
record of the access says so. It survives a restart, and ends when it is ended or comes into force.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import orjson
from sqlalchemy import desc, insert, select
from sqlalchemy.engine import Connection

from nomoat.core.operation import Resolved, Target, TryPolicy
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.policy.engine import PolicySnapshot, compile_policies
from nomoat.stores.state.engine import State
from nomoat.stores.state.schema import policy_trial

NONE: Final = ""


@dataclass(frozen=True, slots=True)
class OnTrial:
    """What is on trial now: the digest of the set, '' for none; and the digest of the active set."""

    candidate: str
    active: str


@final
class Trial:
    """The candidate, if there is one."""

    def __init__(self, state: State, active: Callable[[], PolicySnapshot], clock: Callable[[], float]) -> None:
        self._state = state
        self._active = active
        self._clock = clock
        self._candidate = state.read(_newest)

    @property
    def candidate(self) -> PolicySnapshot | None:
        """The set on trial; None where that is the active one, or none."""
        candidate = self._candidate
        return candidate if candidate is not None and candidate.digest != self._active().digest else None

    def resolve(self, principal: Principal, operation: TryPolicy) -> Resolved[TryPolicy]:
        """Say what a trial is about, without a look at the texts: compiling them is for who may try them."""
        del principal
        return Resolved(operation, (Target("PolicySet", "policies", "policies", self._active().digest),))

    async def begin(self, permit: Permit[TryPolicy]) -> OnTrial:
        """Put a set on trial in the place of the one before, or end the trial. Raises `Malformed`."""
        files = dict(permit.claim(TryPolicy).operation.files)
        candidate = await asyncio.to_thread(compile_policies, files) if files else None
        digest = candidate.digest if candidate else NONE
        at, by = self._clock(), permit.principal.subject
        row = {"digest": digest, "files": orjson.dumps(files).decode(), "begun_at": at, "begun_by": by}

        def change(connection: Connection) -> PolicySnapshot | None:
            permit.check()
            connection.execute(insert(policy_trial).values(row))
            return candidate

        await self._state.write(change, self._swap)
        permit.note(candidate=digest)
        return OnTrial(digest, self._active().digest)

    def _swap(self, candidate: PolicySnapshot | None) -> None:
        self._candidate = candidate


def _newest(connection: Connection) -> PolicySnapshot | None:
    row = connection.execute(select(policy_trial).order_by(desc(policy_trial.c.number)).limit(1)).one_or_none()
    return None if row is None or row.digest == NONE else compile_policies(orjson.loads(row.files))
