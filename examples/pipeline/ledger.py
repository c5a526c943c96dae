"""The ledger: what the demonstration expects of each step, and what the log really says about it.

Rules: a line of the table comes from a record of the real log. Only what is found where no gateway
is (in a copy of the log) is written down by whoever found it.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, TypeAlias, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

Json: TypeAlias = Mapping[str, object]

_DECISIONS: Final = {"allow": "allowed", "deny": "refused"}
_STYLES: Final = {"allowed": "green", "refused": "red", "found": "red"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `held` says whether it is what was expected."""

    record: str
    who: str
    what: str
    on: str
    decision: str
    why: str
    held: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """A record that must be in the log, the first one after record `after` that fits.

    `who` and `on` are patterns (`fnmatch`), `why` is part of the reason or the id of a policy that
    applied. `ending` is how the access must have ended, if that matters. `shown` and `asked` name the
    caller and the thing where the log cannot know them, `note` adds to the reason what the
    demonstration saw, `also` is what else had to hold.
    """

    after: int
    who: str
    what: str
    on: str
    decision: str
    why: str
    ending: str = ""
    shown: str = ""
    asked: str = ""
    note: str = ""
    also: bool = True


class Ledger:
    """Expectations in the order in which things happened."""

    def __init__(self) -> None:
        self._lines: list[Expected] = []

    def expect(self, line: Expected) -> None:
        """Write down what the log must say."""
        self._lines.append(line)

    def compare(self, records: Sequence[Json]) -> list[Row]:
        """Find each expected record; a line without one did not hold. In the order of the log."""
        rows = [_found(line, records) for line in self._lines]
        return sorted(rows, key=lambda row: int(row.record or sys.maxsize))


def draw(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("record", justify="right", no_wrap=True)
    for column, width in (("who", 31), ("what", 15), ("on", 44), ("decision", 13), ("why", 62)):
        table.add_column(column, overflow="fold", max_width=width)
    table.add_column("as expected", no_wrap=True)
    for row in rows:
        style = _STYLES.get(row.decision.partition(",")[0], "")
        # Text, not str: markup in a name must stay a name.
        cells = [Text(cell) for cell in (row.record or "-", row.who, row.what, row.on)]
        held = Text("yes") if row.held else Text("NO", style="bold red")
        table.add_row(*cells, Text(row.decision, style=style), Text(row.why), held)
    console.print(table)


def _found(expected: Expected, records: Sequence[Json]) -> Row:
    for record in records:
        if _fits(expected, record):
            ending = _ending(record) if expected.ending else ""
            decision = _DECISIONS.get(str(record.get("decision")), "") + (f", then {ending}" if ending else "")
            return Row(
                str(record["n"]),
                expected.shown or _who(record),
                expected.what,
                expected.asked or shorten(_on(record)),
                decision,
                "; ".join(filter(None, [_reason(expected, record), expected.note])),
                held=expected.also and ending == expected.ending,
            )
    why = f"no such record: expected {expected.decision} by {expected.why}"
    return Row("", expected.shown or expected.who, expected.what, expected.asked or expected.on, "?", why, held=False)


def _fits(expected: Expected, record: Json) -> bool:
    return (
        cast("int", record["n"]) > expected.after
        and record.get("what") == expected.what
        and _DECISIONS.get(str(record.get("decision"))) == expected.decision
        and fnmatchcase(_who(record), expected.who)
        and fnmatchcase(_on(record), expected.on)
        and expected.why in " ".join([str(record.get("why", "")), *_policies(record), *_reasons(record)])
    )


def _reason(expected: Expected, record: Json) -> str:
    """The reason as the log has it; of several policies the one that was expected."""
    if why := record.get("why"):
        return str(why)
    policies = _policies(record)
    return expected.why if expected.why in policies else ", ".join(policies or _reasons(record))


def _ending(record: Json) -> str:
    """How the access ended, as its outcome record says."""
    return str(_fields(record.get("outcome")).get("outcome", "not ended"))


def _who(record: Json) -> str:
    who = _fields(record.get("who"))
    if "name" not in who:
        return "unauthenticated"
    # Whose a credential was that is over; who presented it, nobody knows.
    return f"{who['kind']} {who['name']}" + ("'s credential" if who.get("authenticated") is False else "")


def _on(record: Json) -> str:
    on = _fields(record.get("on"))
    return str(on.get("name") or on.get("requested") or "")


def _policies(record: Json) -> list[str]:
    policies = record.get("policies")
    return [str(policy) for policy in cast("list[object]", policies)] if isinstance(policies, list) else []


def _reasons(record: Json) -> list[str]:
    """Why callers without a record of their own were refused (counted by reason)."""
    reasons = _fields(record.get("reasons")).items()
    return [f"{reason}, counted {count} time{'' if count == 1 else 's'}" for reason, count in reasons]


def _fields(value: object) -> Json:
    return cast("Json", value) if isinstance(value, Mapping) else {}


def shorten(name: str) -> str:
    """Cut the commit in `namespace/name@commit:path` to what identifies it for a reader."""
    repository, at, rest = name.partition("@")
    version, colon, path = rest.partition(":")
    is_commit = len(version) == 40 and all(digit in "0123456789abcdef" for digit in version)
    return f"{repository}{at}{version[:7] if is_commit else version}{colon}{path}"
