"""Profiles: what a content's rows are like, in figures.

Rules: pure. A profile holds no row. What it has of values is how often each of a few occurs in a column. It is a claim
of a process that read hostile bytes: `parse_profile` takes nothing on trust.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from nomoat.core import claims

MOST_COLUMNS: Final = 512
MOST_VALUES: Final = 64
"""A column with more different values than that has no distribution of them."""

LONGEST: Final = 100  # characters of a name, a type or a value
BANDS: Final = 8
BAND_SIZE: Final = 8  # bytes
_ROW: Final = 4  # bytes of a row's number
_SIGNATURE: Final = _ROW + BANDS * BAND_SIZE
MOST_SIGNED: Final = 2_000
"""Rows of one content that have a signature: all of them, or a random part."""

_STEPS: Final = 4  # lengths are told apart to a fourth of an octave


class Signature(NamedTuple):
    """A row by its number from 0 on, and what is alike in rows that are nearly the same (MinHash, in bands)."""

    row: int
    bands: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type as the format has it, how many rows lack a value, how often each value occurs.

    `values` is None where there are more than `MOST_VALUES` different ones. `lengths` counts the texts of each step of
    length (`step_of`).
    """

    type: str
    missing: int
    values: Mapping[str, int] | None
    lengths: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a content. With a `why` nothing is: it says what kept from looking.

    `rows` were counted, `looked` of them examined for `columns`, at random.
    """

    format: str
    rows: int = 0
    looked: int = 0
    columns: Mapping[str, Column] = field(default_factory=dict[str, Column])
    signatures: bytes = b""
    why: str = ""

    def signed(self) -> Iterator[Signature]:
        """The signatures of some of its rows."""
        for at in range(0, len(self.signatures), _SIGNATURE):
            number = int.from_bytes(self.signatures[at : at + _ROW], "big")
            begins = range(at + _ROW, at + _SIGNATURE, BAND_SIZE)
            yield Signature(number, tuple(self.signatures[begin : begin + BAND_SIZE] for begin in begins))


def packed(signature: Signature) -> bytes:
    """A signature as `Profile.signatures` has it."""
    return signature.row.to_bytes(_ROW, "big") + b"".join(signature.bands)


def step_of(length: int) -> int:
    """The step that a length in characters belongs to."""
    return round(_STEPS * math.log2(length + 1))


def length_of(step: int) -> int:
    """About how long texts of a step are."""
    return round(2 ** (step / _STEPS)) - 1


def described(profile: Profile) -> dict[str, object]:
    """A profile as JSON, without its signatures."""
    columns = [
        [name, each.type, each.missing, each.values and dict(each.values), {str(k): n for k, n in each.lengths.items()}]
        for name, each in profile.columns.items()
    ]
    said: dict[str, object] = {"format": profile.format, "rows": profile.rows, "looked": profile.looked}
    return {**said, "columns": columns, "why": profile.why}


def parse_profile(answer: object, signatures: bytes) -> Profile:
    """The inverse of `described`. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
    said = claims.table(answer)
    columns = claims.items(said["columns"], MOST_COLUMNS)
    if len(signatures) % _SIGNATURE or len(signatures) > MOST_SIGNED * _SIGNATURE:
        raise ValueError("signatures")
    return Profile(
        claims.text(said["format"], LONGEST),
        claims.count(said["rows"]),
        claims.count(said["looked"]),
        dict(map(_column, columns)),
        signatures,
        claims.text(said["why"], 2 * LONGEST),
    )


def _column(answer: object) -> tuple[str, Column]:
    name, kind, missing, values, lengths = claims.items(answer, 5)
    counts = None if values is None else _counts(values)
    steps = {int(step): number for step, number in _counts(lengths, 256).items()}
    return claims.text(name, LONGEST), Column(claims.text(kind, LONGEST), claims.count(missing), counts, steps)


def _counts(answer: object, most: int = MOST_VALUES) -> dict[str, int]:
    said = claims.table(answer)
    if len(said) > most:
        raise ValueError("values")
    return {claims.text(value, LONGEST): claims.count(number) for value, number in said.items()}
