"""Records as rows: one set of columns for CSV and Parquet.

Rules: pure. A cell of CSV that a spreadsheet would take for a formula is given an apostrophe in front
(OWASP, CSV injection): names are chosen by clients, and auditors open such files. CSV is RFC 4180 in
UTF-8, with a heading. Times are UTC.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import orjson

from nomoat.core.record import Json

Record = Mapping[str, Json]
Cell = str | int | None


class Column(NamedTuple):
    """A column: its name, and whether it holds whole numbers."""

    name: str
    numeric: bool = False


COLUMNS: Final = (
    Column("n", numeric=True),
    Column("at"),
    Column("enforcer"),
    Column("kind"),
    Column("of", numeric=True),
    Column("who_kind"),
    Column("who"),
    Column("session"),
    Column("binding"),
    Column("what"),
    Column("on_kind"),
    Column("on"),
    Column("version"),
    Column("classification"),
    Column("labels"),
    Column("decision"),
    Column("policies"),
    Column("why"),
    Column("outcome"),
    Column("bytes", numeric=True),
    Column("ms", numeric=True),
    Column("source"),
    Column("protocol"),
    Column("content"),
)
"""`content` is `readable`, `erased`, `forgotten` (its time was over) or `damaged`; `of` is the opening that an outcome ends."""

# What the common spreadsheets begin a formula with, in full width too, or pass over before one.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def row(record: Record) -> tuple[Cell, ...]:
    """Return a readable record's cells, in the order of `COLUMNS`."""
    who, on, context = _fields(record, "who"), _fields(record, "on"), _fields(record, "context")
    return (
        _number(record, "n"),
        _text(record, "at"),
        _text(record, "enforcer"),
        _text(record, "kind"),
        _number(record, "of"),
        _text(who, "kind"),
        _text(who, "name") or ("" if _text(who, "kind") else _text(who, "pseudonym")),
        _text(who, "session"),
        _text(who, "binding"),
        _text(record, "what"),
        _text(on, "kind"),
        _text(on, "name") or _text(on, "requested"),
        _text(on, "version"),
        _text(on, "classification"),
        _list(on, "labels"),
        _text(record, "decision"),
        _list(record, "policies"),
        _text(record, "why"),
        _text(record, "outcome"),
        _number(record, "bytes"),
        _number(record, "ms"),
        _text(context, "source"),
        _text(_fields(record, "request"), "protocol"),
        next((state for state in ("erased", "damaged", "forgotten") if record.get(state)), "readable"),
    )


def csv_heading() -> bytes:
    """Return the first line of a CSV file."""
    return _csv([tuple(column.name for column in COLUMNS)])


def csv_lines(records: Iterable[Record]) -> bytes:
    """Return the lines of these records."""
    return _csv(tuple(_inert(cell) for cell in row(record)) for record in records)


def json_row(record: Record) -> bytes:
    """Return a record's row as one line of JSON, for who makes columns of them."""
    cells = zip(COLUMNS, row(record), strict=True)
    return orjson.dumps({column.name: cell for column, cell in cells}, option=orjson.OPT_APPEND_NEWLINE)


def _csv(rows: Iterable[tuple[Cell, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _inert(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA) else cell


def _fields(record: Record, name: str) -> Record:
    value = record.get(name)
    return value if isinstance(value, Mapping) else {}


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _number(record: Record, name: str) -> int | None:
    value = record.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list(record: Record, name: str) -> str:
    value = record.get(name)
    return " ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else ""
