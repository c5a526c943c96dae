"""Postings: which records have which terms, in blocks, in one encrypted SQLite file (SQLCipher).

Rules: a derived file. It is never synced, may be lost at any moment, and is then made anew by its owner.
Terms are numbers that its owner made under a key; no name is in it, encrypted or not. One process writes,
others read what it committed. A page that was changed does not verify (SQLCipher's HMAC). Where that page is the overflow of a
long row, the driver may give it out as zeros and say so only later: so each row has a checksum besides, and damage is an
error, never a wrong answer. Every method raises `Damaged` when the file is not what this wrote.
"""

import os
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, final
from zlib import crc32

from nomoat.core.errors import Unavailable
from nomoat.stores.state.engine import DRIVER, DriverConnection, unlock

T = TypeVar("T")

VERSION: Final = 3
_SCHEMA: Final = (
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE block (
      id INTEGER PRIMARY KEY, ordinal INTEGER NOT NULL, start INTEGER NOT NULL, last BLOB NOT NULL,
      earliest INTEGER NOT NULL, latest INTEGER NOT NULL, offsets BLOB NOT NULL, outcomes BLOB NOT NULL,
      times BLOB NOT NULL, crc INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE posting (
      block INTEGER, term INTEGER, places BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (block, term)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE late (opening INTEGER PRIMARY KEY, outcome INTEGER NOT NULL)",
)
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = OFF",  # what is lost is made anew
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cache_size = -16384",
)
_COLUMNS: Final = "id, ordinal, start, last, earliest, latest, offsets, outcomes, times, crc"


class Damaged(Exception):
    """The file is not what was written, or was written by another edition, or for another log."""


class BlockRow(NamedTuple):
    """A block of consecutive records: where its first one lies, the hash of its last one, and columns.

    `offsets` are places of frames in their segments, `outcomes` distances to an opening's outcome (0: none in
    this block), `times` Unix seconds.
    """

    id: int
    ordinal: int
    start: int
    last: bytes
    earliest: int
    latest: int
    offsets: "array[int]"
    outcomes: "array[int]"
    times: "array[int]"


class Changes(NamedTuple):
    """What one commit adds: blocks and postings replace those of the same key."""

    facts: Mapping[str, str]
    blocks: Sequence[BlockRow]
    postings: Iterable[tuple[int, int, "array[int]"]]
    late: Sequence[tuple[int, int]]


def forget(path: Path) -> None:
    """Remove the file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@final
class Postings:
    """The open file. `create` and `open` are for the one writer, `reader` for everybody else; any thread may use it."""

    def __init__(self, connection: DriverConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path, key: bytes) -> "Postings":
        """Make an empty file in place of whatever is there. Raises `OSError`."""
        forget(path)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        postings = cls(_connect(path, key, *_SCHEMA))
        postings.save(Changes({"version": str(VERSION)}, (), (), ()))
        return postings

    @classmethod
    def open(cls, path: Path, key: bytes) -> "Postings":
        """Open the file to write in it."""
        return cls._opened(path, key)

    @classmethod
    def reader(cls, path: Path, key: bytes) -> "Postings":
        """Open the file to read what was committed."""
        return cls._opened(path, key, "PRAGMA query_only = ON")

    @classmethod
    def _opened(cls, path: Path, key: bytes, *pragmas: str) -> "Postings":
        if not path.is_file():
            raise Damaged("there is none")
        postings = cls(_connect(path, key, *pragmas))
        try:
            if postings.fact("version") != str(VERSION):
                raise Damaged("it is of another edition")
        except BaseException:
            postings.close()
            raise
        return postings

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(DRIVER.DatabaseError):
            self._connection.close()

    # -- Reading --------------------------------------------------------------------------------------

    def fact(self, name: str) -> str:
        """Return a fact ('' if there is none)."""
        rows = self._rows("SELECT value FROM fact WHERE name = ?", name)
        return str(rows[0][0]) if rows else ""

    def blocks(self) -> list[tuple[int, int, int]]:
        """Return (id, earliest, latest) of every block, newest first; times in Unix seconds."""
        return [
            (_int(a), _int(b), _int(c))
            for a, b, c in self._rows("SELECT id, earliest, latest FROM block ORDER BY id DESC")
        ]

    def block(self, number: int) -> BlockRow | None:
        """Return a block."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM block WHERE id = ?", number)  # noqa: S608 - our own names
        return _block(rows[0]) if rows else None

    def places(self, block: int, term: int) -> "array[int]":
        """Return the places in a block of the records that have a term, ascending."""
        rows = self._rows("SELECT places, crc FROM posting WHERE block = ? AND term = ?", block, term)
        if not rows:
            return array("H")
        (places, crc) = rows[0]
        _require_sound(crc, places)
        return _array("H", places)

    def outcome(self, opening: int) -> int | None:
        """Return the outcome of an opening if it came in a later block."""
        rows = self._rows("SELECT outcome FROM late WHERE opening = ?", opening)
        return _int(rows[0][0]) if rows else None

    def check(self) -> None:
        """Read every page of the file."""
        for pragma in ("cipher_integrity_check", "integrity_check"):
            for row in self._rows(f"PRAGMA {pragma}"):
                if (said := str(row[0])) != "ok":
                    raise Damaged(said)

    # -- Writing --------------------------------------------------------------------------------------

    def save(self, changes: Changes) -> None:
        """Add changes, all or none."""
        blocks = [
            (*row[:6], *(columns := [column.tobytes() for column in row[6:]]), _crc(*columns)) for row in changes.blocks
        ]
        postings = [(block, term, said := places.tobytes(), _crc(said)) for block, term, places in changes.postings]

        def work(connection: DriverConnection) -> None:
            connection.executemany(f"REPLACE INTO block ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", blocks)  # noqa: S608
            connection.executemany("REPLACE INTO posting VALUES (?,?,?,?)", sorted(postings))
            connection.executemany("REPLACE INTO late VALUES (?,?)", changes.late)
            connection.executemany("REPLACE INTO fact VALUES (?,?)", list(changes.facts.items()))

        self._within(work)

    def cut(self, block: int, first: int) -> None:
        """Forget blocks from `block` on, whose first record is `first`, and what only they knew."""

        def work(connection: DriverConnection) -> None:
            connection.execute("DELETE FROM block WHERE id >= ?", (block,))
            connection.execute("DELETE FROM posting WHERE block >= ?", (block,))
            connection.execute("DELETE FROM late WHERE outcome >= ?", (first,))

        self._within(work)

    def _within(self, work: Callable[[DriverConnection], None]) -> None:
        def transaction(connection: DriverConnection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

        self._do(transaction)

    def _rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        return self._do(lambda connection: connection.execute(statement, values).fetchall())

    def _do(self, work: Callable[[DriverConnection], T]) -> T:
        with self._lock:
            try:
                return work(self._connection)
            except DRIVER.DatabaseError as error:
                raise Damaged(str(error)) from error


def _connect(path: Path, key: bytes, *statements: str) -> DriverConnection:
    try:
        connection = DRIVER.connect(str(path), timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            unlock(connection, key)
            for statement in (*_PRAGMAS, *statements):
                connection.execute(statement).fetchone()
        except BaseException:
            connection.close()
            raise
    except (DRIVER.DatabaseError, Unavailable) as error:
        raise Damaged(str(error)) from error
    return connection


def _block(row: tuple[object, ...]) -> BlockRow:
    number, ordinal, start, last, earliest, latest, offsets, outcomes, times, crc = row
    _require_sound(crc, offsets, outcomes, times)
    return BlockRow(
        _int(number),
        _int(ordinal),
        _int(start),
        _bytes(last),
        _int(earliest),
        _int(latest),
        _array("I", offsets),
        _array("H", outcomes),
        _array("I", times),
    )


def _crc(*columns: bytes) -> int:
    crc = 0
    for column in columns:
        crc = crc32(column, crc)
    return crc


def _require_sound(crc: object, *columns: object) -> None:
    if _crc(*map(_bytes, columns)) != crc:
        raise Damaged("a row is not what was written")


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise Damaged("a number is none")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise Damaged("bytes are none")
    return value


def _array(kind: str, value: object) -> "array[int]":
    try:
        return array(kind, _bytes(value))
    except ValueError:
        raise Damaged("a column is cut") from None
