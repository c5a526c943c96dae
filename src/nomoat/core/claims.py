"""Claims: what a process apart answers, taken strictly.

Rules: pure. A process that read hostile bytes may say anything, so its answer is parsed as a stranger's. What is not
exactly what was asked for raises `ValueError` (of a table, `KeyError` for what it lacks), and counts as no answer.
"""

import json
import sys
from typing import NoReturn, cast


def parse(line: bytes) -> object:
    """Parse an answer: JSON, without the numbers that JSON does not have, and not too deep to be parsed."""
    try:
        found: object = json.loads(line, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("an answer that is nested too deeply") from None
    return found


def table(value: object) -> dict[str, object]:
    """An object, by names."""
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - a claim that is wrong, not a call
    return cast("dict[str, object]", value)


def items(value: object, most: int) -> list[object]:
    """A list of at most `most` items."""
    if not isinstance(value, list) or len(cast("list[object]", value)) > most:
        raise ValueError(f"no list of at most {most}")
    return cast("list[object]", value)


def text(value: object, longest: int) -> str:
    """A text of at most `longest` characters, each of which can be printed."""
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise ValueError("no text")
    return value


def shown(value: object, longest: int) -> str:
    """A text to be shown on one line: cut to `longest` characters, with '?' for what cannot be printed."""
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004
    line = " ".join(value.split())
    return "".join(each if each.isprintable() else "?" for each in line)[:longest]


def count(value: object, most: int = (1 << 62) - 1) -> int:
    """A number of things, from 0 to `most`; True is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError("no count")
    return value


def whole(value: object) -> int:
    """A whole number; True is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("no whole number")  # noqa: TRY004
    return value


def number(value: object) -> float:
    """A finite number; True is none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
        raise ValueError("no number")
    return float(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
