"""What prompts are looked through for by an administrator's word: sets of values, and canaries.

Rules: in force from the next request on, before who registered it is answered. A canary is told once, to who asked for it.
"""

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, final

from nomoat.content.registered import CANARY, CANARY_LETTERS, Hashes, Registered, Registration, hashes_of
from nomoat.core.directory import Directory
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import (
    ListRegistrations,
    Operation,
    PlantCanary,
    RegisterValues,
    RemoveRegistration,
    Resolved,
    Target,
)
from nomoat.core.permit import Permit
from nomoat.resources.repositories.resolution import Resolver
from nomoat.stores.registrations import CANARY as CANARY_KIND
from nomoat.stores.registrations import VALUES, Registrations, Row

CANARY_LABEL: Final = Label(Classification.RESTRICTED, frozenset({"canary"}))


class Listed(NamedTuple):
    """A registration, without what it is of: `kind` is `values` or `canary`; `at` in Unix seconds."""

    name: str
    kind: str
    label: Label
    size: int
    at: float
    by: str


@final
class Registering:
    """What is registered. There is one for a gateway."""

    def __init__(
        self, store: Registrations, key: bytes, directory: Callable[[], Directory], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._key = key
        self._directory = directory
        self._clock = clock
        self._generation = 0
        self._current = self._built(store.all())

    @property
    def current(self) -> Registered:
        """What is in force."""
        return self._current

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return dict.fromkeys((RegisterValues, PlantCanary, ListRegistrations, RemoveRegistration), self.resolve)

    def resolve(self, who: object, operation: Operation) -> Resolved[Operation]:
        """Resolve to the directory, beside which this stands."""
        del who
        generation, facts = str(self._directory().generation), (("widens_self", False),)
        return Resolved(operation, (Target("Directory", "directory", "directory", generation, facts=facts),))

    async def register(self, permit: Permit[RegisterValues]) -> int:
        """Keep the hashes of some values; return how many there are. Raises `Malformed`, `Conflict`."""
        operation = permit.claim(RegisterValues).operation
        values = sorted(set(operation.values))
        hashes = await asyncio.to_thread(hashes_of, self._key, values)
        label = Label(operation.classification, frozenset({operation.label}))
        await self._keep(permit, Row(operation.name, VALUES, label, len(values), hashes, self._clock(), ""))
        permit.note(values=str(len(values)))
        return len(values)

    async def plant(self, permit: Permit[PlantCanary]) -> str:
        """Make a canary; return it, for the one time that it is told. Raises `Conflict`."""
        operation = permit.claim(PlantCanary).operation
        letters = base64.b32encode(secrets.token_bytes(CANARY_LETTERS * 5 // 8)).decode("ascii").lower()
        canary = CANARY + letters
        hashes = hashes_of(self._key, [canary])
        await self._keep(permit, Row(operation.name, CANARY_KIND, CANARY_LABEL, 1, hashes, self._clock(), ""))
        return canary

    def list_registrations(self, permit: Permit[ListRegistrations]) -> list[Listed]:
        """What is registered, by name."""
        permit.claim(ListRegistrations)
        return [Listed(row.name, row.kind, row.label, row.size, row.at, row.by) for row in self._store.listed()]

    async def remove(self, permit: Permit[RemoveRegistration]) -> None:
        """Look for it no more. Raises `NotFound`."""
        operation = permit.claim(RemoveRegistration).operation
        await self._store.remove(operation.name, permit.check, self._built, self._use)

    async def _keep(self, permit: Permit[RegisterValues] | Permit[PlantCanary], row: Row) -> None:
        by = row._replace(by=permit.principal.subject)
        await self._store.keep(by, permit.check, self._built, self._use)

    def _built(self, rows: Sequence[Row]) -> Registered:
        """What finds these; it may be called in the thread that writes."""
        self._generation += 1
        found = [Registration(row.name, row.label, row.kind == CANARY_KIND, Hashes(*row.hashes)) for row in rows]
        return Registered(self._generation, self._key, found)

    def _use(self, built: Registered) -> None:
        self._current = built
