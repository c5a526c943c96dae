"""Upgrades: a state of every schema that was ever released opens, is brought to the newest, and keeps what it has.

`schemas/REVISION.sql` is the schema that the migrations up to it make, as it was when it was released.
It never changes: a migration that is edited after its release makes another one, and is found here.
`python -m tests.stores.test_upgrades` writes those that are missing.
"""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, func, select, text

from nomoat.core.errors import Unavailable
from nomoat.stores.state import State
from nomoat.stores.state.engine import open_engine
from nomoat.stores.state.look import known_schemas, look_at_state
from nomoat.stores.state.schema import metadata
from tests.stores.test_migrations import KEY, left_in, schema_of

SCHEMAS = Path(__file__).with_name("schemas")
RELEASED = sorted(known_schemas())
ROWS = {
    "device": "INSERT INTO device VALUES ('d', 'alice', x'00', 't', 1.5, NULL)",
    "session": "INSERT INTO session VALUES ('s', 'person', 'alice', 'd', 1.5, 2.5, NULL)",
    "revocation": "INSERT INTO revocation (kind, name, at) VALUES ('person', 'alice', 1.5)",
    "subject_key": "INSERT INTO subject_key VALUES ('p', x'01')",
    "policy_version": "INSERT INTO policy_version (digest, files, applied_at, applied_by) VALUES ('d', '{}', 1.5, 'a')",
    "directory_version": "INSERT INTO directory_version VALUES (1, '', 1.5, 'a')",
}


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "nomoat.stores.state:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def made_by_migrations(revision: str) -> str:
    """The schema of a revision as text, the same every time."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        upgrade(connection, revision)
        # Tables before the indexes on them.
        statements = sorted(schema_of(connection).values(), key=lambda sql: (not sql.startswith("CREATE TABLE"), sql))
    engine.dispose()
    return ";\n".join(statements) + ";\n"


def released(path: Path, revision: str) -> None:
    """Make a database as that release left it: from its dump, not from today's migrations."""
    path.touch(0o600)
    engine = open_engine(path, KEY, begin="BEGIN IMMEDIATE", connections=1)
    with engine.begin() as connection:
        for statement in (SCHEMAS / f"{revision}.sql").read_text().split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
        there = schema_of(connection)
        if "generation" in there:
            connection.execute(text("INSERT INTO generation VALUES (7)"))
        for table, row in ROWS.items():
            assert table in there
            connection.execute(text(row))
    engine.dispose()


@pytest.mark.parametrize("revision", RELEASED)
def test_a_released_schema_is_what_its_migrations_make(revision: str) -> None:
    assert (SCHEMAS / f"{revision}.sql").read_text() == made_by_migrations(revision), "a released migration changed"


@pytest.mark.parametrize("revision", RELEASED)
def test_a_state_of_every_released_schema_opens_and_keeps_what_it_has(tmp_path: Path, revision: str) -> None:
    released(tmp_path / "state.db", revision)
    with look_at_state(tmp_path / "state.db", KEY) as look:
        assert (look.schema, look.is_known) == (revision, True)
        assert look.generation == (0 if revision == "0001" else 7)
    state = State.open(tmp_path / "state.db", KEY)
    try:
        fresh = State.create(tmp_path / "fresh.db", KEY)
        assert state.read(schema_of) == fresh.read(schema_of)
        fresh.close()
        for table in ROWS:
            assert state.read(partial(count, table=table)) == 1, table
        assert state.generation == (0 if revision == "0001" else 7)
        asyncio.run(state.write(lambda _: None))
    finally:
        state.close()
    with look_at_state(tmp_path / "state.db", KEY) as look:
        assert look.schema == RELEASED[-1]


def test_a_state_of_a_newer_release_is_refused_with_what_to_do_and_left_alone(tmp_path: Path) -> None:
    released(tmp_path / "state.db", RELEASED[-1])
    engine = open_engine(tmp_path / "state.db", KEY, begin="BEGIN IMMEDIATE", connections=1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("CREATE TABLE of_the_future (x INTEGER)"))
    engine.dispose()
    before = left_in(tmp_path / "state.db")
    with pytest.raises(Unavailable) as refused:
        State.open(tmp_path / "state.db", KEY)
    assert "schema 9999" in refused.value.reason
    assert f"knows {RELEASED[-1]} at most" in refused.value.reason
    assert "run that NoMoat, or restore a backup of this one" in refused.value.reason
    assert left_in(tmp_path / "state.db") == before


def count(connection: Connection, table: str) -> int | None:
    return connection.scalar(select(func.count()).select_from(metadata.tables[table]))


def test_every_dump_is_of_a_schema_that_is_known() -> None:
    assert sorted(path.stem for path in SCHEMAS.glob("*.sql")) == RELEASED


if __name__ == "__main__":
    for each in RELEASED:
        if not (dump := SCHEMAS / f"{each}.sql").exists():
            dump.write_text(made_by_migrations(each))
