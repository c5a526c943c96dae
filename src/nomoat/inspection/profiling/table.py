"""Rows → Profile: what is counted while they go by. Memory is bounded by columns and different values, not by rows."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import Final

from nomoat.core.profile import (
    LONGEST,
    MOST_COLUMNS,
    MOST_SIGNED,
    MOST_VALUES,
    Column,
    Profile,
    Signature,
    packed,
    step_of,
)
from nomoat.core.verdict import printable
from nomoat.inspection.content import Exhausted
from nomoat.inspection.profiling.minhash import bands_of

_TYPES: Final[Mapping[type[object], str]] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}


class Table:
    """Takes rows, each a mapping of columns to values, and says at the end what they were like.

    A part `share` of them is examined, chosen by `key`, which who wrote them does not know; all are counted.
    """

    def __init__(self, key: bytes, share: float = 1.0) -> None:
        self._key = key
        self._share = share
        self._chance = random.Random(key)  # noqa: S311 - its seed is secret, and its numbers are told to nobody
        self._columns: dict[str, _Column] = {}
        self._signatures: list[bytes] = []
        self.rows = 0
        self._looked = 0

    def add(self, row: Mapping[str, object], types: Mapping[str, str] | None = None, number: int | None = None) -> None:
        """Take a row; `types` are what the format says of its columns. Raises `Exhausted` for too many columns."""
        number = self.rows if number is None else number
        self.rows += 1
        if self._share < 1.0 and self._chance.random() >= self._share:
            return
        for name, value in row.items():
            column = self._columns.get(name)
            if column is None:
                if len(self._columns) >= MOST_COLUMNS:
                    raise Exhausted(f"more than {MOST_COLUMNS} columns")
                column = self._columns[name] = _Column((types or {}).get(name, ""), missing=self._looked)
            column.add(value)
        for name in self._columns.keys() - row.keys():
            self._columns[name].add(None)
        place = self._looked if self._looked < MOST_SIGNED else self._chance.randrange(self._looked + 1)
        self._looked += 1
        if place < MOST_SIGNED:  # a reservoir: every row has the same chance to be in it
            signature = packed(Signature(number & 0xFFFFFFFF, bands_of(row, self._key)))
            self._signatures[place : place + 1] = [signature]

    def profile(self, form: str, rows: int | None = None) -> Profile:
        """What the rows were like; `rows` is how many there are where that is known otherwise."""
        columns = {_short(name): column.counted() for name, column in self._columns.items()}
        return Profile(form, self.rows if rows is None else rows, self._looked, columns, b"".join(self._signatures))


class _Column:
    def __init__(self, kind: str, missing: int) -> None:
        self._kind = kind
        self._kinds: set[str] = set()
        self._missing = missing
        self._values: Counter[str] | None = Counter()
        self._lengths: Counter[int] = Counter()

    def add(self, value: object) -> None:
        if value is None or value == "":
            self._missing += 1
            return
        self._kinds.add(_TYPES.get(type(value), "other"))
        if isinstance(value, str):
            self._lengths[step_of(len(value))] += 1
        if self._values is None:
            return
        if isinstance(value, (list, dict, bytes, bytearray)):
            self._values = None
            return
        self._values[_short(str(value))] += 1
        if len(self._values) > MOST_VALUES:
            self._values = None

    def counted(self) -> Column:
        kind = self._kind or "/".join(sorted(self._kinds)) or "empty"
        return Column(_short(kind), self._missing, self._values, self._lengths)


def _short(text: str) -> str:
    return printable(text)[:LONGEST]
