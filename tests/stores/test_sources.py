"""Registered sources in the state: kept file by file, in force when all came, and nothing of the source in it."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nomoat.content.copies import kept
from nomoat.content.fingerprints import Way, fingerprints
from nomoat.core.errors import Conflict, NotFound, Revoked
from nomoat.core.names import Classification
from nomoat.stores import sources
from nomoat.stores.sources import Files, Row, StoredSources
from nomoat.stores.state import State

KEY = bytes(range(32))
FIRST, SECOND = "1" * 40, "2" * 40
ALL: Files = {"a": (b"a" * 8, b"b" * 8), "b": (b"c" * 16, b"")}


def never() -> None:
    """Nobody takes it back."""


def row(commit: str = FIRST, name: str = "acme/engine") -> Row:
    return Row(name, "source-code", Classification.CONFIDENTIAL, "engine-team", commit, 5.0, "person:admin")


class Kept:
    """A store, and what it said was in force last."""

    def __init__(self, state: State) -> None:
        self.store = StoredSources(state)
        self.in_force: list[Row] = []

    def keep(self, what: Row, base: str = "", files: Files = ALL, removed: Sequence[str] = ()) -> None:
        build = list[Row] if what.commit else None
        asyncio.run(self.store.keep(what, base, files, removed, never, build, self.use))

    def use(self, rows: list[Row]) -> None:
        self.in_force = rows

    def remove(self, name: str) -> None:
        asyncio.run(self.store.remove(name, never, list[Row], self.use))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State.create(tmp_path / "state.db", KEY)
    yield opened
    opened.close()


def test_files_are_replaced_added_and_removed(state: State) -> None:
    made = Kept(state)
    made.keep(row())
    (first,) = made.in_force
    assert (first.exact, first.blind, first.files) == (b"a" * 8 + b"c" * 16, b"b" * 8, 2)
    made.keep(row(SECOND), FIRST, {"a": (b"z" * 8, b""), "c": (b"y" * 8, b"")}, ["b"])
    (second,) = made.in_force
    assert (second.exact, second.blind, second.commit, second.files) == (b"z" * 8 + b"y" * 8, b"", SECOND, 2)
    assert made.store.all() == made.in_force
    assert made.store.listed() == [second._replace(exact=b"", blind=b"")]
    made.remove("acme/engine")
    assert (made.in_force, made.store.all()) == ([], [])
    with pytest.raises(NotFound):
        made.remove("acme/engine")


def test_what_was_known_stays_in_force_until_all_came(state: State) -> None:
    made = Kept(state)
    made.keep(row())
    before = made.in_force
    made.keep(row(""), "", {"a": (b"1" * 8, b"")})
    assert made.in_force == before
    made.keep(row(SECOND), SECOND, {"b": (b"2" * 8, b"")})
    assert [(each.exact, each.commit) for each in made.in_force] == [(b"1" * 8 + b"2" * 8, SECOND)]


def test_an_update_goes_on_from_what_is_known(state: State) -> None:
    made = Kept(state)
    with pytest.raises(Conflict, match="add it anew"):
        made.keep(row(SECOND), FIRST)
    made.keep(row())
    with pytest.raises(Conflict, match="another commit"):
        made.keep(row(SECOND), SECOND)


def test_a_registration_that_is_not_permitted_any_more_changes_nothing(state: State) -> None:
    made = Kept(state)

    def revoked() -> None:
        raise Revoked("the session ended")

    with pytest.raises(Revoked):
        asyncio.run(made.store.keep(row(), "", ALL, (), revoked, list[Row], made.use))
    with pytest.raises(Revoked):
        asyncio.run(made.store.remove("acme/engine", revoked, list[Row], made.use))
    assert (made.in_force, made.store.all()) == ([], [])


def test_attack_no_more_is_kept_than_there_is_room_for(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST", 1)
    monkeypatch.setattr(sources, "MOST_BYTES", 64)
    made = Kept(state)
    made.keep(row())
    with pytest.raises(Conflict, match="1 sources already"):
        made.keep(row(name="acme/other"))
    with pytest.raises(Conflict, match="MiB of fingerprints"):
        made.keep(row(SECOND), FIRST, {"big": (b"x" * 64, b"")})
    assert [each.commit for each in made.store.listed()] == [FIRST], "and nothing of it is kept"


def test_many_files_are_taken_at_once(state: State) -> None:
    made = Kept(state)
    made.keep(row(), files={str(number): (b"x" * 8, b"") for number in range(40_000)})
    made.keep(row(SECOND), FIRST, {}, [str(number) for number in range(40_000)])
    assert made.in_force[0].files == 0


def test_attack_what_is_stored_is_of_no_use_without_the_key(state: State) -> None:
    """Who has the database, opened, and guesses what the source says, learns nothing from it."""
    guess = Path(__file__).read_bytes()
    made, key = Kept(state), bytes(range(1, 33))
    words = {way: each.tobytes() for way, each in fingerprints(guess).items()}
    made.keep(row(), files={"f" * 64: (kept(key, words[Way.EXACT], Way.EXACT), kept(key, words[Way.BLIND], Way.BLIND))})
    (stored,) = made.store.all()
    for way, column in ((Way.EXACT, stored.exact), (Way.BLIND, stored.blind)):
        listed = [column[at : at + 8] for at in range(0, len(column), 8)]
        there = set(listed)
        plain = {words[way][at : at + 8] for at in range(0, len(words[way]), 8)}
        other = kept(bytes(32), words[way], way)
        assert len(there) == len(plain) > 20
        assert not there & plain
        assert not there & {other[at : at + 8] for at in range(0, len(other), 8)}
        # They are in an order of their own: their places tell nothing of what they were made of.
        assert listed == sorted(listed, key=lambda word: int.from_bytes(word, "little"))
