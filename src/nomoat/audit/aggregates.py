"""Aggregates over the log: how many accesses, refusals and bytes, by whom, of what, when.

Rules: pure. What may be asked is a list of names here and a query as `audit search` has it; both become
a statement whose every value is bound. An access counts under the first thing that its record names, and a
content that was refused as a refusal, not as an access of its own.
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
    "thing": "regexp_replace(\"on\", '^([^:@]*)@[^:]*', '\\1')",
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
    """SQL over a table `log` with the columns of `nomoat.audit.counted`, and the values that it binds."""

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


def _conditions(query: Query) -> tuple[list[str], list[str | int]]:
    """What a row has to be like, and the values of that in their order."""
    conditions, values = ["kind <> 'system'"], list[str | int]()
    for name in query.on:
        conditions.append(f"({_on(_ON)} OR len(list_filter(more, lambda name: {_on('name')})) > 0)")
        values += [re.split("[@:]", name, maxsplit=1)[0], *[name, name, name] * 2] * 2
    for name in query.by:
        conditions.append("(who_kind = ? OR who = ? OR who_kind || ':' || who = ?)")
        values += [name] * 3
    for column, words in (("what", query.what), ("decision", query.decisions)):
        for word in words:
            conditions.append(f"{column} = ?")
            values.append(word)
    for label in query.labels:
        conditions.append("list_contains(string_split(labels, ' '), ?)")
        values.append(label)
    for session in query.sessions:
        conditions.append("session = ?")
        values.append(session)
    if query.since:
        conditions.append('"at" >= ?')
        values.append(query.earliest)
    if query.until is not None:
        conditions.append('"at" <= ?')
        values.append(query.latest)
    if query.record is not None:
        conditions.append('coalesce("of", n) = ?')
        values.append(query.record)
    return conditions, values


def statement(by: Sequence[str], query: Query, limit: int) -> Statement:
    """Return the statement that counts what matches, the largest groups first. Raises `Malformed` for what is not counted by."""
    if query.found or query.upstreams:
        raise Malformed("nothing is counted by what was found or by server yet: nomoat audit search finds the records")
    conditions, values = _conditions(query)
    columns = ", ".join(f'{GROUPINGS[name]} AS "{name}"' for name in by)
    places = ", ".join(str(place + 1) for place in range(len(by)))
    sql = (  # every name is ours, every value is bound
        f"SELECT {columns}, count(*) FILTER (kind <> 'outcome') AS accesses, "  # noqa: S608
        f"greatest(count(*) FILTER ({_ACCESS} AND decision = 'allow') - count(*) FILTER ({_REJECTION}), 0) AS allowed, "
        "count(*) FILTER (decision = 'deny') AS refused, coalesce(sum(bytes), 0)::BIGINT AS bytes, "
        f"""{_of_access('min("at")')} AS first, {_of_access('max("at")')} AS last, """
        f"{_of_access('min(n)')} AS first_record, {_of_access('max(n)')} AS last_record, "
        "count(*) OVER () AS groups "
        f"FROM log WHERE {' AND '.join(conditions)} GROUP BY {places} "
        f"HAVING accesses > 0 OR refused > 0 ORDER BY accesses DESC, {places} LIMIT {limit}"
    )
    return Statement(sql, values)


_ON: Final = '"on"'
_ACCESS: Final = "kind <> 'outcome'"
_REJECTION: Final = "kind = 'outcome' AND decision = 'deny'"  # a content, after its access was allowed


def _of_access(aggregate: str) -> str:
    """An aggregate over accesses; where there are only rejections, over those."""
    return f"coalesce({aggregate} FILTER ({_ACCESS}), {aggregate} FILTER ({_REJECTION}))"


def _on(name: str) -> str:
    """Whether the name is the thing itself, or what is in it, in any version (see `nomoat.audit.query`)."""
    within = "({0} = ? OR (starts_with({0}, ?) AND substr({0}, length(?::VARCHAR) + 1, 1) IN ('@', ':', ' ')))"
    unversioned = f"regexp_replace({name}, '^([^:@]*)@[^:]*', '\\1')"
    # What comes first is cheap, and true of whatever the rest is true of: most rows need no more.
    return f"(starts_with({name}, ?) AND ({within.format(name)} OR {within.format(unversioned)}))"
