"""How the command prints: tables and colour for people, JSON for programs, both safe to look at.

Rules: text that came from elsewhere is printed without its control characters, which a terminal
would obey. Colour, bold and drawn tables appear on terminals only (the first two not under NO_COLOR), and never
carry meaning alone. Answers go to standard output, everything else to standard error.
"""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

TIME = "%Y-%m-%d %H:%M:%S %Z"
STYLES = {"allowed": "green", "refused": "red", "add": "green", "change": "yellow", "remove": "red"}


def printable(text: str) -> str:
    """Return `text` with every character that a terminal could obey written as an escape."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def local_time(at: float) -> str:
    """Write an instant (Unix seconds) in local time, with its zone, as tables do."""
    return datetime.fromtimestamp(at).astimezone().strftime(TIME)


def counted(number: int, thing: str) -> str:
    """Write how many of a thing there are."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """Tell the person something that is not the answer itself (standard error)."""
    _write(sys.stderr, printable(text))


def answer(text: str) -> None:
    """Print a line of the answer (standard output)."""
    _write(sys.stdout, printable(text))


def raw(text: str, end: str = "\n") -> None:
    """Print lines of our own making as they are (standard output), or what is no line for a terminal."""
    _write(sys.stdout, text, end)


def document(value: object, *, indent: int | None = 2) -> None:
    """Print one JSON document; ASCII only, so that nothing in it can steer a terminal."""
    _write(sys.stdout, json.dumps(value, indent=indent))


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Print named facts, one a line, aligned."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        answer(f"{name:<{width}}  {value}")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print rows under `columns`; `right` names the columns of numbers. Nothing is cut when piped."""
    if sys.stdout.isatty():
        _drawn(columns, rows, right)
    else:
        _aligned(columns, rows, right)


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    console = Console(file=sys.stdout, highlight=False)
    drawn = Table(box=None, pad_edge=False, header_style="" if console.no_color else "bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Text, not str: markup in a name must stay a name.
        drawn.add_row(*(Text(printable(cell), style=STYLES.get(cell, "")) for cell in row))
    console.print(drawn)


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    cells = [list(columns), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        line = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        _write(sys.stdout, "  ".join(line).rstrip())


def _write(stream: TextIO, text: str, end: str = "\n") -> None:
    stream.write(text + end)
    stream.flush()
