"""A content → Profile: by its bytes, never by its name.

Rules: Parquet by DuckDB, for its pages are compressed in ways of which Python has none; everything else by the standard
library, in one pass. Nothing raises: a content that cannot be profiled is said to be so, and why. All imports happen
with this module.
"""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final, cast

import duckdb
from fsspec import AbstractFileSystem  # pyright: ignore[reportMissingTypeStubs]  # it has none

from nomoat.core.profile import LONGEST, Profile
from nomoat.core.verdict import printable
from nomoat.inspection import sniffing
from nomoat.inspection.content import Budget, Exhausted, Malformed, Outermost
from nomoat.inspection.profiling.table import Table

LARGEST_WHOLE: Final = 64 << 20  # bytes of a text of which every row is examined, and of one JSON document
MOST_ROWS: Final = 200_000  # of a Parquet file, that are examined
_HEAD: Final = 64 << 10
_BLOCK: Final = 256 << 10
_PIECE: Final = 16 << 10
_LONGEST_LINE: Final = 16 << 20
_LONGEST_NUMBER: Final = 40  # characters
_AT_ONCE: Final = 500
_MEMORY: Final = "512MB"
_PLACE: Final = "content://it"

csv.field_size_limit(1 << 20)


def profile(raw: io.RawIOBase, size: int, key: bytes, database: "duckdb.DuckDBPyConnection") -> Profile:
    """Profile a content of `size` bytes behind a seekable file, with a `database` of `connect`. Never raises."""
    form = "unknown"
    content = io.BufferedReader(raw, _BLOCK)
    try:
        form = sniffing.format_of(Outermost(content, size, Budget())) if size else "empty"
        content.seek(0)
        if form == "empty":
            return Profile("empty")
        if form == "parquet":
            # Its parts lie here and there: a large buffer would be filled anew for each.
            return _parquet(io.BufferedReader(raw, _PIECE), size, key, database)
        if form == "text":
            return _text(content, size, key)
        why = f"its format ({form}) is none that rows are read of"
    except (Malformed, Exhausted, ValueError, csv.Error, duckdb.Error, RecursionError) as error:
        why = str(error)
    except (OSError, MemoryError, EOFError) as error:
        why = type(error).__name__
    return Profile(form, why=printable(why)[: 2 * LONGEST] or "unknown")


def connect() -> "duckdb.DuckDBPyConnection":
    """A database in memory for one content: no thread, no temporary file, no extension."""
    # Threads of its own for reading would move the one content's place under each other.
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "async_threads": 0,
        "memory_limit": _MEMORY,
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET temp_directory = ''")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    return connection


class _Content(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """One content as a file system, as DuckDB reads what is no file."""

    protocol = "content"
    cachable = False

    def __init__(self, content: BinaryIO, size: int) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._content = content
        self._size = size

    def _open(self, *_: Any, **__: Any) -> Any:
        return _Lent(self._content)

    def info(self, path: str, **_: Any) -> dict[str, object]:
        return {"name": path, "size": self._size, "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        return path in _PLACE

    def glob(self, path: str, *_: Any, **__: Any) -> list[str]:
        return [path]

    def modified(self, path: str) -> datetime:
        del path
        return datetime.fromtimestamp(0, UTC)


class _Lent(io.BufferedIOBase):
    """A file that whoever reads it cannot close, because it is opened more than once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)


def _parquet(content: BinaryIO, size: int, key: bytes, database: "duckdb.DuckDBPyConnection") -> Profile:
    database.register_filesystem(_Content(content, size))
    counted = database.execute("SELECT count(*) FROM read_parquet(?)", [_PLACE]).fetchone()
    rows = int(counted[0]) if counted else 0
    share = min(1.0, MOST_ROWS / rows) if rows else 1.0
    table = Table(key)
    chosen = (
        "" if share == 1.0 else f" USING SAMPLE {share * 100:.9f} PERCENT (bernoulli, {int.from_bytes(key[:3], 'big')})"
    )
    statement = f"SELECT * FROM read_parquet(?, file_row_number = true){chosen}"  # noqa: S608 - numbers of ours
    found = database.execute(statement, [_PLACE])
    names = [str(column[0]) for column in found.description or []]
    types = {str(column[0]): str(column[1]) for column in found.description or []}
    while part := found.fetchmany(_AT_ONCE):
        for values in part:
            row: dict[str, object] = dict(zip(names, cast("tuple[object, ...]", values), strict=True))
            number = row.pop("file_row_number")
            table.add(row, types, int(cast("int", number)))
    return table.profile("parquet", rows)


def _text(content: BinaryIO, size: int, key: bytes) -> Profile:
    head = content.read(_HEAD).decode("utf-8-sig", "replace")
    content.seek(0)
    table = Table(key, min(1.0, LARGEST_WHOLE / size))
    lines = _lines(content)
    begin = head.lstrip()[:1]
    if begin in {"{", "["}:
        if _is_json(head.split("\n", 1)[0]) and "\n" in head.strip():
            for line in lines:
                if line.strip():
                    table.add(_row(json.loads(line)))
            return table.profile("json-lines")
        if size > LARGEST_WHOLE:
            raise Exhausted(f"one document of JSON of {size} bytes")
        document = json.loads("".join(lines))
        for each in cast("list[object]", document if isinstance(document, list) else [document]):
            table.add(_row(each))
        return table.profile("json")
    if delimiter := _delimiter(head):
        return _csv(csv.reader(lines, delimiter=delimiter, strict=True), table)
    for line in lines:
        if line.strip():
            table.add({"text": line.rstrip("\n")})
    return table.profile("text")


def _csv(reader: Iterator[list[str]], table: Table) -> Profile:
    first = next(reader)
    headed = len(set(first)) == len(first) and not any(map(_is_number, first)) and all(first)
    names = first if headed else [f"column {number}" for number in range(1, len(first) + 1)]
    if not headed:
        table.add(dict(zip(names, map(_cell, first), strict=True)))
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(names):
            raise Malformed(f"a row of {len(cells)} cells under {len(names)} columns")
        table.add(dict(zip(names, map(_cell, cells), strict=True)))
    return table.profile("csv")


def _lines(content: BinaryIO) -> Iterator[str]:
    first = True
    while line := content.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise Exhausted(f"a line of more than {_LONGEST_LINE} bytes")
        yield line.decode("utf-8-sig" if first else "utf-8", "replace")
        first = False


def _delimiter(head: str) -> str:
    """What separates the cells of the first lines, if it does so in each of them equally often; '' for nothing."""
    whole = head.rpartition("\n")[0] if len(head) >= _HEAD // 2 else head
    for delimiter in ",\t;|":
        try:
            rows = [row for row in csv.reader(io.StringIO(whole), delimiter=delimiter, strict=True) if row][:20]
        except csv.Error:
            continue
        if len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            return delimiter
    return ""


def _row(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {"value": value}


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cell(text: str) -> object:
    if not _is_number(text) or len(text) > _LONGEST_NUMBER:
        return text
    return int(text) if text.lstrip("+-").isdecimal() else float(text)
