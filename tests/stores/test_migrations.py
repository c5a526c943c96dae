"""Migrations: they make the schema that the code knows, whole or not at all, and ship with the package."""

import asyncio
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from nomoat.core.errors import Unavailable
from nomoat.stores.state import State
from nomoat.stores.state.schema import metadata

KEY = bytes(range(32))


def schema_of(connection: Connection) -> dict[str, str]:
    """Every table and index, as the SQL that made it."""
    rows = connection.execute(text("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    return {name: " ".join(sql.split()) for name, sql in rows if name not in {"alembic_version", "sqlite_sequence"}}


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "nomoat.stores.state:migrations")
    return ScriptDirectory.from_config(config)


def test_the_migrations_make_the_schema_that_the_code_knows(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state.db", KEY)
    migrated = state.read(schema_of)
    differences = state.read(lambda connection: compare_metadata(MigrationContext.configure(connection), metadata))
    state.close()
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        declared = schema_of(connection)
    engine.dispose()
    assert migrated == declared
    assert differences == []
    assert set(metadata.tables) < set(migrated)


def test_there_is_one_newest_revision_and_every_revision_leads_to_it() -> None:
    newest = scripts().get_heads()
    assert len(newest) == 1
    chain = [revision.revision for revision in scripts().walk_revisions()]
    assert chain == sorted(chain, reverse=True)


def test_the_migrations_are_in_the_package() -> None:
    migrations = files("nomoat.stores.state") / "migrations"
    assert (migrations / "env.py").is_file()
    assert (migrations / "versions" / "0001_first.py").is_file()


def test_opening_twice_migrates_once(tmp_path: Path) -> None:
    State.create(tmp_path / "state.db", KEY).close()
    state = State.open(tmp_path / "state.db", KEY)
    version = state.read(lambda connection: connection.scalars(text("SELECT version_num FROM alembic_version")).all())
    state.close()
    assert version == scripts().get_heads()


def test_a_state_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state.db", KEY)
    asyncio.run(
        state.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    )
    state.close()
    before = (tmp_path / "state.db").read_bytes()
    with pytest.raises(Unavailable, match="newer NoMoat"):
        State.open(tmp_path / "state.db", KEY)
    assert (tmp_path / "state.db").read_bytes() == before


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The first migration meets a table that is in its way, after having made others."""
    state = State.create(tmp_path / "state.db", KEY)

    def rewind(connection: Connection) -> None:
        connection.execute(text("DELETE FROM alembic_version"))
        for table in reversed(metadata.sorted_tables):
            if table.name != "code":
                table.drop(connection)

    asyncio.run(state.write(rewind))
    before = state.read(schema_of)
    state.close()
    with pytest.raises(Unavailable):
        State.open(tmp_path / "state.db", KEY)
    assert left_in(tmp_path / "state.db") == before


def left_in(path: Path) -> dict[str, str]:
    """Read the schema without migrating, past the public door, which would migrate."""
    state = State(path, KEY)
    try:
        return state.read(schema_of)
    finally:
        state.close()
