"""Aggregates over the log: how many accesses, refusals and bytes, by whom, of what, when.

Rules: pure. What may be asked is a list of names here and a query as `audit search` has it; both become
a statement whose every value is bound. An access counts under the first thing that its record names.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from nomoat.audit.query import Query
from nomoat.core.errors import Malformed

GROUPINGS: Final[Mapping[str, str]] = {
    "who": "trim(who_kind || ' ' || who)",
    "what": "what",
    "on": '"on"',
    "repository": "regexp_extract(\"on\", '^[^@:/]+/[^@:]+')",  # '' for what lies in none
    "classification": "classification",
    "decision": "decision",
    "policies": "policies",
    "why": "why",
    "binding": "binding",
    "source": "source",
    "session": "session",
    "day": 'substr("at", 1, 10)',
    "hour": 'substr("at", 1, 13)',
}
"""What an aggregate can be by, and the expression for it."""

MEASURES: Final = ("accesses", "refused", "bytes", "first", "last")
MOST_GROUPINGS: Final = 4
MOST_ROWS: Final = 10_000


class Statement(NamedTuple):
    """SQL over a table `log` with the columns of `nomoat.audit.tabular`, and the values that it binds."""

    sql: str
    values: Sequence[str | int]


def parse_groupings(text: str) -> tuple[str, ...]:
    """Parse names with commas between them. Raises `Malformed`."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in GROUPINGS:
            raise Malformed(f"there is no aggregate by {name!r:.40}; there are {', '.join(GROUPINGS)}")
    if not 1 <= len(set(names)) == len(names) <= MOST_GROUPINGS:
        raise Malformed(f"an aggregate is by one to {MOST_GROUPINGS} different names")
    return names


def statement(by: Sequence[str], query: Query, limit: int) -> Statement:
    """Return the statement that counts what matches, the largest groups first."""
    conditions, values = ["kind <> 'system'"], list[str | int]()
    for name in query.on:
        # Cheap and true of whatever the rest is true of: most rows need no more.
        conditions.append(f'starts_with("on", ?) AND ({_WITHIN % {"name": _ON}} OR {_WITHIN % {"name": _UNVERSIONED}})')
        values += [re.split("[@:]", name, maxsplit=1)[0], *[name, name, name] * 2]
    for name in query.by:
        conditions.append("(who_kind = ? OR who = ? OR who_kind || ':' || who = ?)")
        values += [name] * 3
    for column, words in (("what", query.what), ("decision", query.decisions)):
        for word in words:
            conditions.append(f"{column} = ?")
            values.append(word)
    if query.since:
        conditions.append('"at" >= ?')
        values.append(query.earliest)
    if query.record is not None:
        conditions.append('coalesce("of", n) = ?')
        values.append(query.record)
    columns = ", ".join(f'{GROUPINGS[name]} AS "{name}"' for name in by)
    places = ", ".join(str(place + 1) for place in range(len(by)))
    sql = (  # every name is ours, every value is bound
        f"SELECT {columns}, count(*) FILTER (kind <> 'outcome') AS accesses, "  # noqa: S608
        "count(*) FILTER (decision = 'deny') AS refused, coalesce(sum(bytes), 0)::BIGINT AS bytes, "
        'min("at") AS first, max("at") AS last '
        f"FROM log WHERE {' AND '.join(conditions)} GROUP BY {places} "
        f"HAVING accesses > 0 ORDER BY accesses DESC, {places} LIMIT {limit}"
    )
    return Statement(sql, values)


_ON: Final = '"on"'
_UNVERSIONED: Final = "regexp_replace(\"on\", '^([^:@]*)@[^:]*', '\\1')"
# The thing itself, or what is in it (see `nomoat.audit.query`).
_WITHIN: Final = (
    "(%(name)s = ? OR (starts_with(%(name)s, ?) AND substr(%(name)s, length(?::VARCHAR) + 1, 1) IN ('@', ':', ' ')))"
)
