"""The policies as the gateway holds them: the set in force and the one on trial, with since when and by whom.

Rules: texts are those that decide now, not what somebody's files say. Reading them is an Operation, because
they name people, groups and what is guarded how.
"""

import asyncio
from dataclasses import dataclass
from typing import final

import orjson
from sqlalchemy import Table, desc, select
from sqlalchemy.engine import Connection

from nomoat.core.operation import ReadPolicy, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.policy.engine import PolicySnapshot
from nomoat.resources.policies import Policies
from nomoat.resources.trial import Trial
from nomoat.stores.state.engine import State
from nomoat.stores.state.schema import policy_trial, policy_version


@dataclass(frozen=True, slots=True)
class Held:
    """A set of policies: its texts by file, its `version` (a number that grows), since when (Unix seconds) and by whom."""

    digest: str
    version: int
    since: float
    by: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class HeldSets:
    """What decides, and what is on trial beside it (None for nothing)."""

    active: Held
    candidate: Held | None


@final
class PolicyReading:
    """The sets of policies, for those who may read them."""

    def __init__(self, state: State, policies: Policies, trial: Trial) -> None:
        self._state = state
        self._policies = policies
        self._trial = trial

    def resolve(self, _: Principal, operation: ReadPolicy) -> Resolved[ReadPolicy]:
        """Resolve which policies are meant: those in force now."""
        return Resolved(operation, (Target("PolicySet", "policies", "policies", self._policies.current.digest),))

    async def read(self, permit: Permit[ReadPolicy]) -> HeldSets:
        """Return the sets as they are now."""
        permit.claim(ReadPolicy)
        active, candidate = self._policies.current, self._trial.candidate
        permit.note(active=active.digest, candidate=candidate.digest if candidate else "")

        def find(connection: Connection) -> HeldSets:
            tried = candidate and _held(connection, policy_trial, "begun", candidate)
            return HeldSets(_held(connection, policy_version, "applied", active), tried)

        found = await asyncio.to_thread(self._state.read, find)
        permit.check()
        return found


def _held(connection: Connection, table: Table, how: str, snapshot: PolicySnapshot) -> Held:
    """The newest row that put this set into its place."""
    wanted = select(table).where(table.c.digest == snapshot.digest).order_by(desc(table.c.number)).limit(1)
    row = connection.execute(wanted).mappings().one()
    return Held(snapshot.digest, row["number"], row[f"{how}_at"], row[f"{how}_by"], orjson.loads(row["files"]))
