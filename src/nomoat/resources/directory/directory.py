"""The directory as a resource: one active declaration, replaced whole in one transaction.

INVARIANT (generation): the snapshot in memory is the newest committed one; it is swapped in the loop
before the change is answered, and everything in flight is decided again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from sqlalchemy import desc, insert, select
from sqlalchemy.engine import Connection

from nomoat.core.directory import Directory, Person, Repository, Workload
from nomoat.core.errors import Conflict, Misuse
from nomoat.core.inference import Endpoint
from nomoat.core.operation import ApplyDirectory, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.resources.directory.document import Change, dump, load, merge, parse_declarations, plan
from nomoat.stores.state.engine import State
from nomoat.stores.state.schema import directory_version


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of `apply`: the plan, the generation it was made against or led to."""

    plan: tuple[Change, ...]
    generation: int
    applied: bool


@final
class Declarations:
    """What is declared now. `current` is the snapshot that every decision reads."""

    def __init__(self, state: State, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self.current = state.read(_newest)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the event loop after each change, before the change is answered."""
        self._listeners.append(listener)

    def glance(self, principal: Principal, operation: ApplyDirectory) -> Resolved[ApplyDirectory]:
        """Say what is about to change, without a look at the document: parsing it is for who may declare at all."""
        del principal
        return Resolved(operation, (_target(self.current, widens=False),))

    def resolve(self, principal: Principal, operation: ApplyDirectory) -> Resolved[ApplyDirectory]:
        """Resolve a declaration to its plan.

        Raises `Malformed`, or `Conflict` when the base moved or nobody would be left who administers.
        """
        current = self.current
        if operation.base is not None and operation.base != current.generation:
            raise Conflict("the directory changed since the plan was made; look at the new plan and apply again")
        merged = merge(current, parse_declarations(operation.document))
        if current.administrators and not merged.administrators:
            raise Conflict("this would leave nobody who administers: keep one person in the group administrators")
        widens = _widens(current, merged, principal)
        return Resolved(operation, (_target(current, widens=widens),), {"base": current, "merged": merged})

    async def apply(self, permit: Permit[ApplyDirectory]) -> Applied:
        """Apply a declaration, or only plan it. Raises `Conflict` when another one came between."""
        resolved = permit.claim(ApplyDirectory)
        base, merged = resolved.coordinates["base"], resolved.coordinates["merged"]
        if not isinstance(base, Directory) or not isinstance(merged, Directory):
            raise Misuse("a declaration resolved to something else")
        changes = plan(base, merged)
        permit.note(changes=str(len(changes)))
        if resolved.operation.dry_run or not changes:
            return Applied(changes, base.generation, applied=False)
        at, by = self._clock(), permit.principal.subject

        def change(connection: Connection) -> Directory:
            permit.check()  # here, not before: other changes may have been ahead of this one in the queue
            return _store(connection, merged, at, by)

        await self._state.write(change, self._swap)
        return Applied(changes, merged.generation, applied=True)

    def _swap(self, directory: Directory) -> None:
        self.current = directory
        for listener in self._listeners:
            listener()


def declare(connection: Connection, text: str, at: float, by: str) -> Directory:
    """Store a first declaration while a data directory is being made; there is no path yet."""
    directory = merge(_newest(connection), parse_declarations(text))
    return _store(connection, directory, at, by)


def _newest(connection: Connection) -> Directory:
    newest = select(directory_version).order_by(desc(directory_version.c.generation)).limit(1)
    row = connection.execute(newest).one_or_none()
    return Directory() if row is None else load(row.document, row.generation)


def _store(connection: Connection, directory: Directory, at: float, by: str) -> Directory:
    # The generation is the primary key and exactly one above the newest: a lost race changes nothing.
    if _newest(connection).generation != directory.generation - 1:
        raise Conflict("the directory changed since the plan was made; look at the new plan and apply again")
    row = {"generation": directory.generation, "document": dump(directory), "applied_at": at, "applied_by": by}
    connection.execute(insert(directory_version).values(row))
    return directory


def _target(directory: Directory, *, widens: bool) -> Target:
    facts = (("widens_self", widens),)
    return Target("Directory", "directory", "directory", str(directory.generation), facts=facts)


def _widens(old: Directory, new: Directory, principal: Principal) -> bool:
    """Whether a declaration gives its own author more than they have: groups, clearance or ownership."""
    before, after = _declared(old, principal), _declared(new, principal)
    if before is None or after is None:
        return after is not None
    if after.groups - before.groups or after.clearance > before.clearance:
        return True
    return bool(_owned(new, after, principal) - _owned(old, before, principal))


def _owned(directory: Directory, who: Person | Workload, principal: Principal) -> set[object]:
    """The names of what somebody owns, with these groups."""
    things: list[tuple[object, Repository | Endpoint]] = [*directory.repositories.items(), *directory.endpoints.items()]
    return {name for name, thing in things if thing.owner_group in who.groups or thing.owner_person == principal.name}


def _declared(directory: Directory, principal: Principal) -> Person | Workload | None:
    person = principal.kind is PrincipalKind.PERSON
    return directory.people.get(principal.name) if person else directory.workloads.get(principal.name)
