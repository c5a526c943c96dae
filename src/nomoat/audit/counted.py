"""Records as aggregates count them: what a record is on, under all its names, and only what can be counted by.

Rules: pure. `more` has the other names that a record says it is on, so that an aggregate finds whatever a
search does (`nomoat.audit.query.names_of`).
"""

from collections.abc import Mapping
from typing import Final

import orjson

from nomoat.audit.query import names_of
from nomoat.audit.tabular import fields, listed, number, text
from nomoat.core.record import Json

TYPES: Final[Mapping[str, str]] = {
    "n": "BIGINT",
    "at": "VARCHAR",
    "kind": "VARCHAR",
    "of": "BIGINT",
    "who_kind": "VARCHAR",
    "who": "VARCHAR",
    "session": "VARCHAR",
    "binding": "VARCHAR",
    "what": "VARCHAR",
    "on": "VARCHAR",
    "more": "VARCHAR[]",
    "classification": "VARCHAR",
    "labels": "VARCHAR",
    "decision": "VARCHAR",
    "policies": "VARCHAR",
    "why": "VARCHAR",
    "bytes": "BIGINT",
    "source": "VARCHAR",
}
"""The columns that are kept of the log, with DuckDB's names of their types."""


def counted_row(record: Mapping[str, Json]) -> bytes:
    """Return a readable record's row as one line of JSON."""
    who, on = fields(record, "who"), fields(record, "on")
    kind = text(who, "kind")
    name, *more = list(names_of(record)) or [""]
    return orjson.dumps(
        {
            "n": number(record, "n"),
            "at": text(record, "at"),
            "kind": text(record, "kind"),
            "of": number(record, "of"),
            "who_kind": kind,
            "who": text(who, "name") or ("" if kind else text(who, "pseudonym")),
            "session": text(who, "session"),
            "binding": text(who, "binding"),
            "what": text(record, "what"),
            "on": name,
            "more": more or None,
            "classification": text(on, "classification"),
            "labels": listed(on, "labels"),
            "decision": text(record, "decision"),
            "policies": listed(record, "policies"),
            "why": text(record, "why"),
            "bytes": number(record, "bytes"),
            "source": text(fields(record, "context"), "source"),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
