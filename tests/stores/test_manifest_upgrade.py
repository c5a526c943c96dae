"""Versions from before there were manifests get theirs, as if they had been made with one."""

from pathlib import Path

from sqlalchemy import text

from nomoat.core.chain import faults, files_of
from nomoat.stores.rounds import links
from nomoat.stores.state import State
from nomoat.stores.state.engine import open_engine
from tests.stores.test_migrations import KEY
from tests.stores.test_upgrades import released

ROWS = (
    "INSERT INTO repository VALUES ('r', 'dataset', 'acme', 'old', 1.5, 'person:ann')",
    "INSERT INTO blob (id, repository, digest, size, git_oid, wrapped_key, created_at) VALUES ('b', 'r', 'dd', 3, '', x'00', 1.5)",
    "INSERT INTO revision VALUES ('second', 'r', 'first', 't', 'person:eve', 3.25)",  # by its id before its parent
    "INSERT INTO revision VALUES ('first', 'r', NULL, 't', 'person:ann', 1800000000.0)",
    "INSERT INTO revision VALUES ('third', 'r', 'second', 't', 'person:ann', 4.0)",
    "INSERT INTO change (revision, path, blob) VALUES ('second', 'a b', 'b'), ('second', 'ü', 'b'), ('third', 'ü', NULL)",
)


def test_the_versions_of_an_older_state_are_chained(tmp_path: Path) -> None:
    released(tmp_path / "state.db", "0008")
    engine = open_engine(tmp_path / "state.db", KEY, begin="BEGIN IMMEDIATE", connections=1)
    with engine.begin() as connection:
        for row in ROWS:
            connection.execute(text(row))
    engine.dispose()
    state = State.open(tmp_path / "state.db", KEY)
    try:
        chain = state.read(lambda connection: links(connection, "third"))
    finally:
        state.close()
    assert [link.commit for link in chain] == ["first", "second", "third"]
    assert faults(chain) == []
    assert {path: held.contributor for path, held in files_of(chain).items()} == {"a b": "person:eve"}
