"""Leases in flight, found by session: what a revocation or a change of policy must be able to cut."""

from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import final

from nomoat.core.connection import Presented
from nomoat.core.operation import Operation
from nomoat.core.permit import Lease


@final
class Leases:
    """Every access between its authentication and its outcome."""

    def __init__(self) -> None:
        self._by_session: dict[str, set[Lease]] = defaultdict(set)
        self._described: dict[Lease, tuple[Presented, Operation]] = {}

    @contextmanager
    def register(self, lease: Lease) -> Generator[None]:
        """Hold `lease` where a revocation finds it, for the time of the `with`."""
        session = lease.principal.session
        self._by_session[session].add(lease)
        try:
            yield
        finally:
            self._described.pop(lease, None)
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

    def in_flight(self) -> list[tuple[Lease, Presented, Operation]]:
        """Every described lease, with what it is for."""
        return [(lease, presented, operation) for lease, (presented, operation) in self._described.items()]

    def __len__(self) -> int:
        return sum(len(held) for held in self._by_session.values())
