"""Registrations are kept, replaced and forgotten in the state, and in force as soon as they are."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from nomoat.core.errors import Conflict, NotFound, Revoked
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.stores import registrations
from nomoat.stores.registrations import CANARY, VALUES, Registrations, Row
from nomoat.stores.state import State

LABEL = Label(Classification.CONFIDENTIAL, frozenset({"projects"}))


def row(name: str, kind: str = VALUES, size: int = 1, hashes: bytes = b"12345678") -> Row:
    return Row(name, kind, LABEL, size, (hashes, b"", hashes), 5.0, "person:admin")


def permitted() -> None:
    return None


def over() -> None:
    raise Revoked("the session was revoked")


def names(rows: Sequence[Row]) -> list[str]:
    return [each.name for each in rows]


def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    in_force: list[list[str]] = []

    async def keep(state: State) -> None:
        store = Registrations(state)
        await store.keep(row("a"), permitted, names, in_force.append)
        await store.keep(row("b", CANARY), permitted, names, in_force.append)
        await store.keep(row("a", size=2, hashes=b"abcdefgh"), permitted, names, in_force.append)

    state = State.create(tmp_path / "state.db", bytes(range(32)))
    asyncio.run(keep(state))
    state.close()
    assert in_force == [["a"], ["a", "b"], ["a", "b"]]
    state = State.open(tmp_path / "state.db", bytes(range(32)))
    try:
        assert Registrations(state).all() == [row("a", size=2, hashes=b"abcdefgh"), row("b", CANARY)]
        assert [each.hashes for each in Registrations(state).listed()] == [(b"", b"", b"")] * 2
    finally:
        state.close()


def test_what_is_refused_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force: list[list[str]] = []

    async def ask(store: Registrations) -> None:
        await store.keep(row("a"), permitted, names, in_force.append)
        await store.keep(row("b", CANARY), permitted, names, in_force.append)
        for refused in (row("a", CANARY), row("b"), row("b", CANARY)):
            with pytest.raises(Conflict, match="registered already"):
                await store.keep(refused, permitted, names, in_force.append)
        with pytest.raises(NotFound):
            await store.remove("c", permitted, names, in_force.append)
        with pytest.raises(Revoked):
            await store.remove("a", over, names, in_force.append)
        with pytest.raises(Revoked):
            await store.keep(row("c"), over, names, in_force.append)
        with pytest.raises(Conflict, match="at most"):
            await store.keep(row("c", size=registrations.MOST_HASHED), permitted, names, in_force.append)
        monkeypatch.setattr(registrations, "MOST", 2)
        with pytest.raises(Conflict, match="at most"):
            await store.keep(row("c"), permitted, names, in_force.append)
        await store.remove("a", permitted, names, in_force.append)

    state = State.create(tmp_path / "state.db", bytes(range(32)))
    try:
        asyncio.run(ask(Registrations(state)))
        assert in_force == [["a"], ["a", "b"], ["b"]]
    finally:
        state.close()
