"""Leases in flight, found by session: what a revocation or a change of policy must be able to cut."""

import asyncio
from collections import defaultdict
from typing import final

from nomoat.core.connection import Presented
from nomoat.core.operation import Operation, WithdrawVersion
from nomoat.core.permit import Lease


@final
class Held:
    """One lease being held; every access makes one, so it is no generator."""

    __slots__ = ("_lease", "_leases")

    def __init__(self, leases: "Leases", lease: Lease) -> None:
        self._leases = leases
        self._lease = lease

    def __enter__(self) -> None:
        self._leases.add(self._lease)

    def __exit__(self, *_: object) -> None:
        self._leases.remove(self._lease)


@final
class Leases:
    """Every access between its authentication and its outcome."""

    def __init__(self) -> None:
        self._by_session: dict[str, set[Lease]] = defaultdict(set)
        self._described: dict[Lease, tuple[Presented, Operation]] = {}

    def register(self, lease: Lease) -> "Held":
        """Hold `lease` where a revocation finds it, for the time of a `with`."""
        return Held(self, lease)

    def add(self, lease: Lease) -> None:
        """Begin to hold a lease."""
        self._by_session[lease.principal.session].add(lease)

    def remove(self, lease: Lease) -> None:
        """Hold a lease no longer."""
        self._described.pop(lease, None)
        session = lease.principal.session
        held = self._by_session[session]
        held.discard(lease)
        if not held:
            del self._by_session[session]

    def describe(self, lease: Lease, presented: Presented, operation: Operation) -> None:
        """Note what a registered lease is for, so that it can be decided again."""
        self._described[lease] = (presented, operation)

    def revoke(self, sessions: frozenset[str], reason: str) -> None:
        """Revoke every lease of these sessions."""
        for session in sessions:
            for lease in tuple(self._by_session.get(session, ())):
                lease.revoke(reason)

    def end_version(self, commit: str, reason: str) -> None:
        """Revoke every lease whose permit is about a version, but for withdrawing it: that gives out nothing, and is answered."""
        for lease, (_, operation) in tuple(self._described.items()):
            if lease.version == commit and not isinstance(operation, WithdrawVersion):
                lease.revoke(reason)

    def in_flight(self) -> list[tuple[Lease, Presented, Operation]]:
        """Every described lease, with what it is for: as it was decided, once it was."""
        return [
            (lease, presented, lease.granted[0].operation if lease.granted else operation)
            for lease, (presented, operation) in self._described.items()
        ]

    def all(self) -> list[Lease]:
        """Every lease, described or not."""
        return [lease for held in self._by_session.values() for lease in held]

    def describes(self, lease: Lease) -> bool:
        """Whether a lease is held, and what it is for is known."""
        return lease in self._described

    def __len__(self) -> int:
        return sum(len(held) for held in self._by_session.values())


def cancel(task: "asyncio.Task[object] | None") -> None:
    """Cancel the serving task, unless it is the one that is revoking: that one ends by itself."""
    if task is not None and task is not asyncio.current_task():
        task.cancel()
