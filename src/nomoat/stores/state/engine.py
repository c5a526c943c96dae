"""The state: one encrypted SQLite database (SQLCipher), read by many, written by one thread.

Rules: the key is 32 raw bytes and no passphrase. Reads see only what was committed. A write is one
transaction that is durable before `write` returns, or did not happen; whatever goes wrong below the
caller's function raises `Unavailable("state", …)`. Migrations run when the state opens, all or none.
The back end is trusted to keep what it acknowledged; it is not trusted with plaintext, and a
page that somebody changed does not verify. An old copy of the whole file does: it has an older
generation, and who follows the generations can tell.
"""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast, final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, bindparam, create_engine, event, func, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from nomoat.core.errors import Conflict, Misuse, Unavailable
from nomoat.stores.disk import sync_directory
from nomoat.stores.state.schema import generation

T = TypeVar("T")

KEY_SIZE: Final = 32

# FULL in WAL mode syncs the log at every commit (https://sqlite.org/pragma.html#pragma_synchronous).
# `secure_delete` overwrites what is deleted, so that a destroyed subject key is gone from free pages.
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA trusted_schema = OFF",
)
_READERS: Final = 8  # connections kept open for reads; one is in use unless threads read at once
_ADVANCE: Final = (
    update(generation)
    .values(number=func.max(generation.c.number, bindparam("beyond")) + 1)
    .returning(generation.c.number)
)

Follower: TypeAlias = Callable[[int], Awaitable[None]]


class _Cursor(Protocol):
    def fetchone(self) -> tuple[object, ...] | None: ...
    def fetchall(self) -> list[tuple[object, ...]]: ...


class DriverConnection(Protocol):
    """A connection of sqlcipher3, as far as it is used."""

    def execute(self, sql: str, values: Sequence[object] = (), /) -> _Cursor:
        """Run a statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[object]], /) -> _Cursor:
        """Run a statement for each row."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class _Driver(Protocol):
    """The part of DB-API 2.0 (PEP 249) and `sqlite3` that is used of sqlcipher3, which has no type stubs."""

    DatabaseError: type[Exception]

    def connect(
        self, database: str, *, timeout: float, isolation_level: None, check_same_thread: bool
    ) -> DriverConnection: ...


DRIVER: Final = cast("_Driver", import_module("sqlcipher3.dbapi2"))


@final
class State:
    """The open database. `read` may be called from any thread, `write` from a running event loop.

    `generation` grows with every write that is committed: an older copy has a smaller one.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._writer = open_engine(path, key, begin="BEGIN IMMEDIATE", connections=1)
        self._readers = open_engine(path, key, begin="BEGIN", connections=_READERS)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._closed = False
        self._follower: Follower | None = None
        self._beyond = 0
        self.generation = 0

    @classmethod
    def create(cls, path: Path, key: bytes) -> "State":
        """Make an empty database at `path` (mode 0600), which appears whole or not at all, and open it.

        `key` is 32 bytes. Raises `Conflict` when something is there already, `Unavailable` when the
        file cannot be made.
        """
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            unfinished.unlink(missing_ok=True)
            os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            try:
                cls._opened(unfinished, key).close()  # closing moves everything from the -wal file into this one
                os.link(unfinished, path)  # unlike rename, never replaces
            finally:
                unfinished.unlink()
            sync_directory(path.parent)
        except FileExistsError:
            raise Conflict("there is a state already; it is never overwritten") from None
        except OSError as error:
            raise Unavailable("state", f"the database cannot be made: {error.strerror}") from error
        return cls._opened(path, key)

    @classmethod
    def open(cls, path: Path, key: bytes) -> "State":
        """Open the database at `path` with its 32-byte `key` and bring it to the newest schema.

        Raises `Unavailable` when it is missing or empty (a new one in its place would forget every
        revocation), when the key is another one, when the file is damaged, or when a newer NoMoat
        wrote it.
        """
        try:
            status = path.stat()
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                path.chmod(0o600)  # SQLite gives its -wal and -shm files the mode of the database
        except FileNotFoundError:
            raise Unavailable("state", "there is no database in the data directory") from None
        except OSError as error:
            raise Unavailable("state", f"the database cannot be opened: {error.strerror}") from error
        if status.st_size == 0:
            raise Unavailable("state", "the database was cut to nothing: restore it from its copy")
        return cls._opened(path, key)

    @classmethod
    def _opened(cls, path: Path, key: bytes) -> "State":
        if len(key) != KEY_SIZE:
            raise Misuse(f"the key of the state has {len(key)} bytes instead of {KEY_SIZE}")
        state = cls(path, key)
        try:
            with guarded(), state._writer.begin() as connection:
                _migrate(connection)
                state.generation = connection.scalars(select(generation.c.number)).one()
        except BaseException:
            state.close()
            raise
        return state

    def read(self, fn: Callable[[Connection], T]) -> T:
        """Call `fn` with a connection that sees one committed snapshot and cannot write; return its result.

        Raises `Unavailable` when the database fails, and whatever `fn` raises.
        """
        self._require_open()
        with guarded(), self._readers.connect() as connection:
            return fn(connection)

    def follow(self, follower: Follower) -> None:
        """Have `follower` told the generation after each commit; the write returns when it does."""
        self._follower = follower

    def overtake(self, number: int) -> None:
        """Have the next write go beyond generation `number`: this state takes the place of one that got that far."""
        self._beyond = number

    async def write(
        self, fn: Callable[[Connection], T], then: Callable[[T], None] | None = None, *, followed: bool = True
    ) -> T:
        """Call `fn` in the writer's thread, in one transaction; return its result once that is durable.

        `then` is called with the result in the event loop right after the commit, in the order of the
        commits: what keeps a snapshot in memory swaps it there. A caller that is cancelled meanwhile
        changes nothing of this. An exception of `fn` rolls the transaction back and is raised. Raises
        `Unavailable` when the database fails: nothing was kept. Raises what the follower raises: then it
        is kept and in force, but an older copy without it could pass for the newest.

        Without `followed` the follower learns of it with a later write only: for what nothing is decided
        on, and for what the follower itself needs.
        """
        writing = asyncio.get_running_loop().create_task(self._write(fn, then, followed))
        writing.add_done_callback(_heard)
        return await asyncio.shield(writing)

    async def empty_journal(self) -> bool:
        """Move what is in the write-ahead log into the database and cut the log to nothing.

        Returns False when a reader held it, and it will be overwritten later. Raises `Unavailable`.
        """
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._empty_journal)

    def _empty_journal(self) -> bool:
        with guarded(), self._writer.connect() as connection:
            # Not in a transaction: a checkpoint inside of one is an error (https://sqlite.org/c3ref/wal_checkpoint_v2.html).
            held = connection.execution_options(isolation_level="AUTOCOMMIT")
            driver = cast("DriverConnection", held.connection.driver_connection)
            row = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return row is not None and row[0] == 0

    def close(self) -> None:
        """Finish the writes under way and close every connection; what comes later is `Unavailable`."""
        self._closed = True
        self._thread.shutdown(wait=True)
        self._readers.dispose()
        self._writer.dispose()

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("state", "the database is closed")

    async def _write(self, fn: Callable[[Connection], T], then: Callable[[T], None] | None, followed: bool) -> T:
        self._require_open()
        result = await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, fn)
        if then is not None:
            then(result)
        if followed and self._follower is not None:
            await self._follower(self.generation)
        return result

    def _transact(self, fn: Callable[[Connection], T]) -> T:
        with guarded(), self._writer.begin() as connection:
            reached = connection.scalars(_ADVANCE, {"beyond": self._beyond}).one()
            result = fn(connection)
        # INVARIANT (never ahead): only what is committed has a generation that anybody is told.
        self.generation = reached
        return result


def _heard(writing: "asyncio.Task[Any]") -> None:
    """Take note of how a write ended: where its caller was cancelled, nobody else asks, and asyncio would print it."""
    if not writing.cancelled():
        writing.exception()


def open_engine(path: Path, key: bytes, *, begin: str, connections: int) -> Engine:
    """Make the connections of one purpose: `BEGIN IMMEDIATE` to write, `BEGIN` to read one snapshot."""
    # hide_parameters: an error names the statement, never the values.
    engine = create_engine(
        "sqlite://",
        module=DRIVER,
        creator=lambda: _connect(path, key, writable=begin == "BEGIN IMMEDIATE"),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
    )

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", on_begin)
    return engine


def _connect(path: Path, key: bytes, *, writable: bool) -> DriverConnection:
    """Open, unlock and verify one connection; transactions are begun by the engine, not the driver."""
    connection = DRIVER.connect(str(path), timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        unlock(connection, key)
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchone()
        if not writable:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def unlock(connection: DriverConnection, key: bytes) -> None:
    """Hand SQLCipher the key before anything else touches the file, and see that it fits."""
    connection.execute("PRAGMA cipher_log_level = NONE")  # what it has to say about a wrong key is raised below
    # A raw key, so no passphrase is stretched (https://www.zetetic.net/sqlcipher/sqlcipher-api/#key).
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    if connection.execute("PRAGMA cipher_version").fetchone() is None:  # a plain SQLite ignores the key
        raise Unavailable("state", "the database driver cannot encrypt: it is not SQLCipher")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except DRIVER.DatabaseError as error:
        reason = f"the database does not open: another key-encryption key, or a damaged file ({error})"
        raise Unavailable("state", reason) from error


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "nomoat.stores.state:migrations")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise Unavailable(
            "state",
            f"the database was written by a newer NoMoat: it has schema {found}, and this one knows {max(known)} at "
            "most; run that NoMoat, or restore a backup of this one",
        )
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Unavailable("state", f"the database cannot be brought to the newest schema ({error})") from error


@contextmanager
def guarded() -> Generator[None]:
    """Turn the database's errors into `Unavailable`; everything else passes."""
    try:
        yield
    except DBAPIError as error:
        raise Unavailable("state", f"the database failed: {error.orig}") from error
    except SQLAlchemyError as error:  # for example no connection became free in time
        raise Unavailable("state", f"the database failed: {type(error).__name__}") from error
