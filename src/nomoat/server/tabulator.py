"""The tabulator: a process of the gateway's own that finds the numbers of a metric in one file (DuckDB).

Rules: as of the scanner (`nomoat.server.scanner`): no environment, no key, no content, and a child for each file, which
is confined before it reads a byte. So who wrote a file that takes a child over can lie about that file, and reach no
other. Only statements that are made here run; of a metric they take names of columns, quoted, and values, bound.

What a row tells is decided row by row: a value that is missing, no number or NaN is of no row, one outside the bounds
is clamped, a group that was not declared is of no row. No row can make a question fail, and so betray itself.

On its socket a child is told the question and the size of the file (two lines), asks for ranges as the scanner's does,
and at the end says a line of JSON: a list of rows, or what the file lacks.
"""

import csv
import datetime
import io
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, final

import duckdb

from nomoat.core.errors import NoMoatError
from nomoat.core.metrics import Metric, MetricKind
from nomoat.resources.metrics.mechanism import Question, load_question, offset, step
from nomoat.server.confinement import Confinement
from nomoat.server.scanner import BLOCK, NICENESS, Ranges, receive_line, send, serve_children

fsspec: Any = import_module("fsspec")  # which has no types

MEMORY: Final = 2 << 30
CPU_S: Final = 300
MOST_ROWS: Final = 1_000_000  # of persons, where they may be in several files

LONGEST_HEADER: Final = 1 << 20  # bytes

_PLACE: Final = "nomoat://0"
_WRITTEN: Final = datetime.datetime.fromtimestamp(0, datetime.UTC)
# One thread: the confined process can start none. Nothing can be loaded, and nothing is written.
_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": 1,
    "async_threads": 0,
    "memory_limit": "1GiB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "temp_directory": "",
}
"""Settings of DuckDB."""

# Nothing is guessed from the rows: one of them would change what all others mean.
_STRICT: Final = "auto_detect = false, ignore_errors = true"


@final
class OneFile(fsspec.AbstractFileSystem):  # type: ignore[misc]  # no types
    """The one file that there is, as DuckDB asks for files."""

    protocol = "nomoat"
    cachable = False

    def __init__(self, channel: int, size: int) -> None:
        fsspec.AbstractFileSystem.__init__(self)
        self._channel = channel
        self._size = size

    def open(self, path: str, mode: str = "rb", **_: object) -> io.BufferedReader:
        """Open it. Raises `PermissionError` for anything but reading."""
        if mode != "rb":
            raise PermissionError(path)
        return io.BufferedReader(Ranges(self._channel, 0, self._size), BLOCK)

    def info(self, path: str, **_: object) -> dict[str, object]:
        """What there is to know of it."""
        return {"name": path, "size": self._size, "type": "file"}

    def glob(self, path: str, **_: object) -> list[str]:
        """Itself."""
        return [path]

    def exists(self, path: str, **_: object) -> bool:
        """It does."""
        del path
        return True

    def modified(self, path: str) -> datetime.datetime:
        """Never."""
        del path
        return _WRITTEN


def tabulate(question: Question, files: Any) -> object:
    """Find the numbers of the file: rows of (cell, count, sum), or of (person, cell, value); or what it lacks."""
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        connection.register_filesystem(files)
        try:
            found = connection.execute(*statement(question, header_of(question, files))).fetchmany(MOST_ROWS + 1)
        except duckdb.BinderException:
            return {"lacks": "column"}
        except (duckdb.Error, ValueError, csv.Error):
            return {"lacks": "table"}
    return {"lacks": "room"} if len(found) > MOST_ROWS else found


def statement(question: Question, header: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The statement that finds the numbers, and the values that it takes; `header` has the columns of a CSV file."""
    metric, values = question.metric, dict[str, Any]()
    cell, value = _cell(metric, values), "0"
    if metric.kind in {MetricKind.SUM, MetricKind.MEAN}:
        values |= {"low": metric.bounds[0], "high": metric.bounds[1], "offset": offset(metric), "step": step(metric)}
        value = "CAST(round((least(greatest(number, $low), $high) - $offset) / $step) AS BIGINT)"
    told = f"SELECT person, {cell} AS cell, {value} AS value FROM ({_rows(question, header)})"
    where = " WHERE NOT isnan(number)" if metric.column else ""
    kept = f"SELECT * FROM ({told}{where}) WHERE cell IS NOT NULL AND value IS NOT NULL"
    if metric.person:
        # Which rows of a person count depends on that person's rows alone.
        order = "hash(cell, value), cell, value"
        placed = f"SELECT *, row_number() OVER (PARTITION BY person ORDER BY {order}) AS place FROM ({kept})"
        values["rows"] = metric.rows
        kept = f"SELECT person, cell, value FROM ({placed}) WHERE place <= $rows"
    if metric.person and not question.alone:
        return kept, values
    return f"SELECT cell, count(*), sum(value) FROM ({kept}) GROUP BY cell", values


def _rows(question: Question, header: Sequence[str]) -> str:
    """The columns that count, as `person`, `of` (its group) and `number`."""
    metric = question.metric
    columns = {"person": metric.person, "of": metric.group, "number": metric.column}
    expressions = {
        "person": "left(sha256(coalesce(CAST({} AS VARCHAR), '')), 32)",
        "of": "CAST({} AS VARCHAR)",
        "number": "TRY_CAST({} AS DOUBLE)",
    }
    chosen = ", ".join(
        f"{expressions[what].format(_quoted(column)) if column else 'NULL'} AS {_quoted(what)}"
        for what, column in columns.items()
    )
    return f"SELECT {chosen} FROM {_source(question.format, [each for each in columns.values() if each], header)}"


def _source(format_: str, columns: list[str], header: Sequence[str]) -> str:
    if format_ == "parquet":
        return f"read_parquet('{_PLACE}')"
    if format_ == "csv":
        dialect = "header = true, delim = ',', quote = '\"', escape = '\"', null_padding = true, strict_mode = false"
        return f"read_csv('{_PLACE}', columns = {_typed(header)}, {dialect}, parallel = false, {_STRICT})"
    names = _typed(list(dict.fromkeys(columns)) or ["none"])
    return f"read_json('{_PLACE}', format = 'newline_delimited', records = true, columns = {names}, {_STRICT})"


def _typed(names: Sequence[str]) -> str:
    return "{" + ", ".join(f"{_text(each)}: 'VARCHAR'" for each in names) + "}"


def header_of(question: Question, files: Any) -> list[str]:
    """The names of a CSV file's columns, in its first line. Raises `ValueError` for ones that are none."""
    if question.format != "csv":
        return []
    with files.open(_PLACE) as file:
        line: bytes = file.readline(LONGEST_HEADER)
    names = next(csv.reader([line.decode("utf-8-sig")]), list[str]())
    if not all(names) or len({name.lower() for name in names}) != len(names) or not line.endswith(b"\n"):
        raise ValueError(names)
    return names


def _cell(metric: Metric, values: dict[str, Any]) -> str:
    """The number of a row's cell; NULL where it is of none."""
    group, bin_ = "0", "0"
    if metric.group:
        values["groups"] = list(metric.values)
        group = 'list_position(CAST($groups AS VARCHAR[]), "of") - 1'
    if metric.edges:
        values["edges"] = list(metric.edges[1:-1])
        bin_ = "len(list_filter(CAST($edges AS DOUBLE[]), lambda edge: edge <= number))"
    return f"({group}) * {max(1, len(metric.edges) - 1)} + {bin_}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _child(channel: int, confinement: Confinement) -> int:
    try:
        confinement.enter(keep={channel}, memory=MEMORY, cpu_s=CPU_S)
        question, size = load_question(receive_line(channel)), int(receive_line(channel))
        send(channel, json.dumps(tabulate(question, OneFile(channel, size))).encode() + b"\n")
    except BaseException:  # noqa: BLE001 - there is nobody to tell: the gateway sees that the answer is missing
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(serve_children(_child, NICENESS))
    except (NoMoatError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
