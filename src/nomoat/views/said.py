"""What the gateway and the processes say to each other, besides bytes: a view, bounds, how a query ended."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from nomoat.core.names import Classification
from nomoat.core.view import Column, Comparison, Condition, Mask, View


class Ending(StrEnum):
    """How a query ends that has no answer."""

    STATEMENT = "statement"  # no single SELECT
    SQL = "sql"  # DuckDB refused it, or it failed on the data
    MEMORY = "memory"
    ROWS = "rows"
    BYTES = "bytes"


class Bounds(NamedTuple):
    """Limits: bytes of the database's memory, threads, rows and bytes of the answer."""

    memory: int
    threads: int
    rows: int
    size: int


def described(view: View) -> dict[str, Any]:
    """What has to be known to make a view, as JSON can carry it."""
    return {
        "columns": [[column.name, column.mask, column.keep, column.to, column.width] for column in view.columns],
        "conditions": [[each.column, each.comparison, list(each.values)] for each in view.conditions],
        "k": view.k,
        "quasi_identifiers": list(view.quasi_identifiers),
        "unit": view.unit,
    }


def parse_described(said: Mapping[str, Any]) -> View:
    """The inverse of `described`; the rest of a view is not known here."""
    return View(
        name="",
        classification=Classification.RESTRICTED,
        files=(),
        columns=tuple(Column(name, Mask(mask), keep, to, width) for name, mask, keep, to, width in said["columns"]),
        conditions=tuple(Condition(name, Comparison(how), tuple(values)) for name, how, values in said["conditions"]),
        k=said["k"],
        quasi_identifiers=tuple(said["quasi_identifiers"]),
        unit=said["unit"],
    )
