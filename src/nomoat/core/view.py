"""Views of a dataset: which rows and columns of its files may be queried, and what is masked in them.

Rules: a view says what is in it; a column that it does not name is not there, whatever a new version of the files
brings. Nothing of it is SQL: a row filter compares one column with stated values.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from nomoat.core.names import Classification

Scalar: TypeAlias = str | int | float | bool

FORMATS: Final = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
"""The formats that a view can be made of, by the end of a file's name."""


class Mask(StrEnum):
    """What becomes of a column's values."""

    NONE = "none"
    DROP = "drop"  # not in the view, as everything that a view does not name
    REDACT = "redact"  # one and the same word in every row, also where there was no value
    TRUNCATE = "truncate"  # a text's first characters, or the beginning of a moment's year, month or day
    BUCKET = "bucket"  # a number's bucket, by its lower end
    PSEUDONYM = "pseudonym"  # HMAC-SHA256 of the value under a key of the view's project


class Comparison(StrEnum):
    """How a row filter compares. A row without a value in the column, or with NaN, is never kept."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    AMONG = "in"
    NOT_AMONG = "not in"


UNITS: Final = ("year", "month", "day")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view. `keep` is how many characters, `to` which of `UNITS` is left by `TRUNCATE`; `width` a bucket's."""

    name: str
    mask: Mask = Mask.NONE
    keep: int = 0
    to: str = ""
    width: float = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """A row is in the view only if its `column` (of the file, before any mask) compares so with the values."""

    column: str
    comparison: Comparison
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A declared view. `files` are patterns of paths, all of one shape; `conditions` must all hold.

    `quasi_identifiers` are columns of the view: rows whose masked values in them are shared by fewer than `k` rows are
    left out (0: none is); with `unit`, a column of the file, fewer than `k` different values of that. Pseudonyms of
    the same `project` are the same, of others are not comparable.
    """

    name: str
    classification: Classification
    files: tuple[str, ...]
    columns: tuple[Column, ...]
    conditions: tuple[Condition, ...] = ()
    labels: frozenset[str] = frozenset()
    project: str = ""
    k: int = 0
    quasi_identifiers: tuple[str, ...] = ()
    unit: str = ""
