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
    who, on, context = fields(record, "who"), fields(record, "on"), fields(record, "context")
    return (
        number(record, "n"),
        text(record, "at"),
        text(record, "enforcer"),
        text(record, "kind"),
        number(record, "of"),
        text(who, "kind"),
        text(who, "name") or ("" if text(who, "kind") else text(who, "pseudonym")),
        text(who, "session"),
        text(who, "binding"),
        text(record, "what"),
        text(on, "kind"),
        text(on, "name") or text(on, "requested"),
        text(on, "version"),
        text(on, "classification"),
        listed(on, "labels"),
        text(record, "decision"),
        listed(record, "policies"),
        text(record, "why"),
        text(record, "outcome"),
        number(record, "bytes"),
        number(record, "ms"),
        text(context, "source"),
        text(fields(record, "request"), "protocol"),
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
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode("utf-8", "backslashreplace")


def _inert(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA) else cell


def fields(record: Record, name: str) -> Record:
    """Return a field that has fields; none if there are none."""
    value = record.get(name)
    return value if isinstance(value, Mapping) else {}


def text(record: Record, name: str) -> str:
    """Return a text; '' if there is none."""
    value = record.get(name)
    return value if isinstance(value, str) else ""


def number(record: Record, name: str) -> int | None:
    """Return a whole number; None if there is none."""
    value = record.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def listed(record: Record, name: str) -> str:
    """Return a list's items with spaces between; '' if there is none."""
    value = record.get(name)
    return " ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else ""
