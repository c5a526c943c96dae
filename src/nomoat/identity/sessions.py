"""Sessions that survive a restart, and revocations that hold at once.

Rules: letting somebody in is stored before it takes effect for anyone; ending is the reverse: first
marked in memory, where the next request sees it, then announced so that what is being served is cut,
then stored. A revocation that the disk refused stays in force here, is reported as `Unavailable`, and
is written with the next change; only a crash before that could lose it, and its author was told.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar, final

from sqlalchemy import Connection, bindparam, delete, insert, null, select, update

from nomoat.core.directory import Directory
from nomoat.core.errors import NotPermitted, Revoked, Unavailable
from nomoat.core.names import parse_subject_name
from nomoat.core.principal import PrincipalKind
from nomoat.identity.registry import Code, Device, Ended, Registry, Revocable, Session, new_id, with_new_code
from nomoat.stores.state import State
from nomoat.stores.state.schema import code as code_table
from nomoat.stores.state.schema import device as device_table
from nomoat.stores.state.schema import revocation as revocation_table
from nomoat.stores.state.schema import session as session_table

PERSON_SESSION: Final = 12 * 3600  # seconds, from the log-in on
WORKLOAD_SESSION: Final = 3600  # seconds, from the last renewal on

T = TypeVar("T")


def _nothing(_: Connection) -> None:
    """What is done besides, where nothing is."""


@final
class Sessions:
    """The registry of `state`, kept durable. Construct it once, before the first request."""

    def __init__(self, state: State, now: float) -> None:
        self.registry = state.read(lambda connection: _load(connection, now))
        self._state = state
        self._unwritten: list[Ended] = []
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def generation(self) -> int:
        """A number that moves with every revocation, at the moment that it takes effect."""
        return self.registry.generation

    def listen(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call `listener` with what each revocation ended: ids as `Principal.session` shows them.

        It is called in the event loop, before the revocation is stored, and must not raise.
        """
        self._listeners.append(listener)

    # -- Letting in ---------------------------------------------------------------------------------

    async def restart(self, device: Device, now: float) -> Session:
        """Start a new session of a registered device. Raises `Revoked`, or `Unavailable` when it is not stored."""
        if device.revoked:
            raise Revoked(f"the device was revoked; {with_new_code()}")
        session = begin_session(PrincipalKind.PERSON, device.person, device.id, now)
        before = device.session
        self.registry.add_session(session, now)
        try:
            await self.commit(lambda connection: insert_session(connection, session))
        except Unavailable:
            self.registry.withdraw(session)
            device.session = before
            raise
        require_not_revoked(session)
        return session

    async def extend(self, session: Session, now: float) -> None:
        """Let a workload's session live for another hour. Raises `Revoked`, or `Unavailable`."""
        if session.kind is not PrincipalKind.WORKLOAD:
            raise NotPermitted("a person's session ends when it ends; run: nomoat login")
        expires_at = int(now) + WORKLOAD_SESSION
        where = (session_table.c.id == session.id) & session_table.c.revoked_at.is_(None)
        await self.commit(
            lambda connection: connection.execute(update(session_table).where(where).values(expires_at=expires_at))
        )
        require_not_revoked(session)
        session.expires_at = max(session.expires_at, expires_at)

    # -- Ending -------------------------------------------------------------------------------------

    async def revoke(self, kind: Revocable, name: str, now: float) -> Ended:
        """End a person, workload, device or session: now in memory, then on disk.

        A revoked person's devices and unused codes are gone too; a later code starts afresh. Raises
        `Malformed` or `NotFound` for the name, `Unavailable` when it is in force but not stored yet:
        doing it again stores it.
        """
        if kind in {Revocable.PERSON, Revocable.WORKLOAD}:
            parse_subject_name(name)
        # Who does it again because it was not stored has not ended less for that.
        before = [ended.anew for ended in self._unwritten if (ended.kind, ended.name) == (kind, name)]
        ended = self._mark(kind, name, now)
        await self.settle()
        return replace(ended, anew=ended.anew.union(*before))

    def revoke_now(self, kind: Revocable, name: str, now: float) -> Ended:
        """End something from code that cannot wait for the disk; `stored` waits for it."""
        ended = self._mark(kind, name, now)
        task = asyncio.get_running_loop().create_task(self._settle_quietly())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return ended

    async def stored(self) -> None:
        """Return when what `revoke_now` ended is stored, or cannot be: then it stays in force, and the next change does."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def end_all(self, now: float, also: Callable[[Connection], object] = _nothing) -> None:
        """End everybody's sessions, devices and unused codes, and do `also` in the same transaction.

        Raises `Unavailable` when that is not stored.
        """
        for kind, name in self.registry.subjects():
            self._mark(Revocable(kind.value), name, now)
        await self.commit(also)

    async def retain(self, directory: Directory, now: float) -> frozenset[str]:
        """End everything of people and workloads that `directory` does not declare; return the ended ids.

        Without it, declaring a name again later would bring the sessions of its last holder back.
        """
        handles: set[str] = set()
        for kind, name in self.registry.subjects():
            declared = directory.people if kind is PrincipalKind.PERSON else directory.workloads
            if name not in declared:
                handles |= self._mark(Revocable(kind.value), name, now).handles
        if handles:
            await self.settle()
        return frozenset(handles)

    async def settle(self) -> None:
        """Store every revocation that is in force and not stored yet; raise `Unavailable` if that fails."""
        if self._unwritten:
            await self.commit(lambda _: None)

    # -- Storing ------------------------------------------------------------------------------------

    async def commit(self, change: Callable[[Connection], T]) -> T:
        """Store a change, and before it in the same transaction every revocation that still has to be."""
        unwritten = tuple(self._unwritten)

        def transact(connection: Connection) -> T:
            for ended in unwritten:
                _store_ended(connection, ended)
            return change(connection)

        def written(_: T) -> None:
            self._unwritten = [ended for ended in self._unwritten if ended not in unwritten]

        return await self._state.write(transact, written)

    def _mark(self, kind: Revocable, name: str, now: float) -> Ended:
        # INVARIANT (order): in force, then announced, then stored.
        ended = self.registry.end(kind, name, now)
        self._unwritten.append(ended)
        for listener in self._listeners:
            listener(ended.handles)
        return ended

    async def _settle_quietly(self) -> None:
        try:
            await self.settle()
        except Unavailable:
            return  # in force and still in `_unwritten`: the next change stores it


def begin_session(kind: PrincipalKind, subject: str, device: str, now: float) -> Session:
    """Return a new session that starts now and is not stored yet."""
    life = PERSON_SESSION if kind is PrincipalKind.PERSON else WORKLOAD_SESSION
    return Session(new_id("s"), kind, subject, device, int(now), int(now) + life)


def require_not_revoked(session: Session) -> None:
    """Raise `Revoked` if `session` was ended, possibly while it was being stored."""
    if session.revoked:
        raise Revoked(f"the session was revoked; {with_new_code(session.holder)}")


def insert_session(connection: Connection, session: Session) -> None:
    """Store a new session."""
    row = {
        "id": session.id,
        "subject_kind": session.kind.value,
        "subject": session.subject,
        "device": session.device or None,
        "authenticated_at": float(session.authenticated_at),
        "expires_at": float(session.expires_at),
    }
    connection.execute(insert(session_table).values(row))


def _store_ended(connection: Connection, ended: Ended) -> None:
    """Store a revocation. By exact ids: done twice, or late, it still ends only what it ended at its time."""
    at = float(ended.at)
    for table, ids in ((session_table, ended.sessions), (device_table, ended.devices)):
        if ids:
            where = (table.c.id == bindparam("ended")) & table.c.revoked_at.is_(None)
            connection.execute(update(table).where(where).values(revoked_at=at), [{"ended": name} for name in ids])
    if ended.codes:
        where = (code_table.c.hash == bindparam("ended")) & code_table.c.used_at.is_(None)
        connection.execute(delete(code_table).where(where), [{"ended": digest} for digest in ended.codes])
    row = {"kind": ended.kind.value, "name": ended.name, "at": at}
    if connection.execute(select(revocation_table).filter_by(**row).limit(1)).first() is None:
        connection.execute(insert(revocation_table).values(row))


def _load(connection: Connection, now: float) -> Registry:
    """Read everything that can still authenticate somebody, and the used codes whose replay would matter."""
    devices = [
        Device(row.id, row.person, row.public_key)
        for row in connection.execute(select(device_table).where(device_table.c.revoked_at.is_(None)))
    ]
    alive = session_table.c.revoked_at.is_(None) & (session_table.c.expires_at > now)
    sessions = [
        Session(
            id=row.id,
            kind=PrincipalKind(row.subject_kind),
            subject=row.subject,
            device=row.device or "",
            authenticated_at=int(row.authenticated_at),
            expires_at=int(row.expires_at),
        )
        for row in connection.execute(select(session_table).where(alive))
    ]
    made = code_table.join(session_table).outerjoin(device_table)
    matters = alive | (session_table.c.device.is_not(None) & device_table.c.revoked_at.is_(None))
    used = select(code_table, session_table.c.device).select_from(made).where(matters)
    usable = code_table.c.used_at.is_(None) & (code_table.c.expires_at > now)
    unused = select(code_table, null().label("device")).where(usable)
    codes = [
        Code(
            digest=row.hash,
            kind=PrincipalKind(row.subject_kind),
            subject=row.subject,
            expires_at=int(row.expires_at),
            used=row.used_at is not None,
            session=row.session or "",
            device=row.device or "",
        )
        for statement in (used, unused)
        for row in connection.execute(statement)
    ]
    return Registry(devices, sessions, codes)
