"""Looking at a state from outside: its schema, its generation, its keys and blobs, and a copy of it.

Rules: reads one committed snapshot and never migrates, so it may look at a database that a gateway is
using, and at one of another release. What it says of itself is believed no further than SQLCipher
authenticates it: whole pages, not that they are the newest.
"""

import os
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, TypeVar, cast, final

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from nomoat.core.errors import Unavailable
from nomoat.stores.state.engine import guarded, open_engine
from nomoat.stores.state.schema import blob, directory_version, erasure, generation, subject_key

T = TypeVar("T")

_ERASURES: Final = "0006"  # the schema that has a table of them


class _Copying(Protocol):
    """What is used of a connection of sqlcipher3, which has no type stubs."""

    def execute(self, sql: str, /) -> object: ...
    def backup(self, target: "_Copying", /) -> None: ...
    def close(self) -> None: ...


_CONNECT: Final = cast("Callable[..., _Copying]", import_module("sqlcipher3.dbapi2").connect)


@final
class StateLook:
    """One snapshot of a database. `schema` is its revision, `generation` how far it has got."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.schema = self._read(lambda: connection.scalar(text("SELECT version_num FROM alembic_version"))) or ""
        self.generation = self._read(self._generation)

    @property
    def is_known(self) -> bool:
        """Whether this release knows the schema, as its newest or as an older one that it migrates."""
        return self.schema in known_schemas()

    def find_wrapped_key(self, pseudonym: str) -> bytes | None:
        """Return the wrapped key that a subject's records are sealed with. Raises `Unavailable`."""
        wanted = select(subject_key.c.wrapped_key).where(subject_key.c.pseudonym == pseudonym)
        found: bytes | None = self._read(lambda: self._connection.scalar(wanted))
        return found

    def find_erasure(self, pseudonym: str) -> int | None:
        """Return the number of the record that erased a subject's content, or None. Raises `Unavailable`."""
        if self.schema < _ERASURES:
            return None
        wanted = select(erasure.c.record).where(erasure.c.pseudonym == pseudonym)
        found: int | None = self._read(lambda: self._connection.scalar(wanted))
        return found

    def pseudonyms(self) -> set[str]:
        """Return whose records can be opened, or were erased. Raises `Unavailable`."""
        known = self._read(lambda: set(self._connection.scalars(select(subject_key.c.pseudonym))))
        if self.schema >= _ERASURES:
            known |= self._read(lambda: set(self._connection.scalars(select(erasure.c.pseudonym))))
        return known

    def declaration(self) -> tuple[str, int] | None:
        """Return the newest declaration's canonical text and generation. Raises `Unavailable`."""
        columns = directory_version.c.document, directory_version.c.generation
        newest = select(*columns).order_by(directory_version.c.generation.desc()).limit(1)
        row = self._read(lambda: self._connection.execute(newest).one_or_none())
        return None if row is None else (row.document, row.generation)

    def blobs(self) -> list[str]:
        """Return the ids of all contents that it knows. Raises `Unavailable`."""
        return self._read(lambda: list(self._connection.scalars(select(blob.c.id).order_by(blob.c.id))))

    def _generation(self) -> int:
        counts = self._connection.scalar(text("SELECT count(*) FROM sqlite_schema WHERE name = 'generation'"))
        # The first schema did not count.
        return self._connection.scalars(select(generation.c.number)).one() if counts else 0

    @staticmethod
    def _read(reading: Callable[[], T]) -> T:
        with guarded():
            return reading()


@contextmanager
def look_at_state(path: Path, key: bytes) -> Generator[StateLook]:
    """Look at the database at `path` with its 32-byte `key`.

    Raises `Unavailable` when it is missing, does not open, or is not a state.
    """
    if not path.is_file():
        raise Unavailable("state", "there is no database in the data directory")
    engine = open_engine(path, key, begin="BEGIN", connections=1)
    try:
        with guarded():
            connection = engine.connect()
        try:
            yield StateLook(connection)
        finally:
            connection.close()
    finally:
        engine.dispose()


def copy_state(path: Path, key: bytes, target: Path) -> None:
    """Copy a committed snapshot of the database to a new file `target` (mode 0600), under the same key.

    A gateway may write to it meanwhile. Raises `Unavailable` when either cannot be used.
    """
    if not path.is_file():
        raise Unavailable("state", "there is no database in the data directory")
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with closing(_unlocked(path, key)) as source, closing(_unlocked(target, key)) as copy:
            # All pages in one step: SQLite's online backup, of pages that stay encrypted under the same key.
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unavailable("backup", f"the state cannot be copied: {error.strerror}") from error
    except Exception as error:
        if isinstance(error, Unavailable) or not type(error).__module__.startswith("sqlcipher3"):
            raise
        raise Unavailable("state", f"the database cannot be copied: {error}") from error


def known_schemas() -> tuple[str, ...]:
    """Return the schema revisions that this release knows, newest first."""
    config = Config()
    config.set_main_option("script_location", "nomoat.stores.state:migrations")
    return tuple(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())


def _unlocked(path: Path, key: bytes) -> _Copying:
    connection = _CONNECT(str(path), timeout=5.0, isolation_level=None)
    connection.execute("PRAGMA cipher_log_level = NONE")
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    return connection
