"""Leaf entries as anyone may read them: strict parsing of what the tree is made of.

Rules: pure. An entry is canonical JSON (RFC 8785; names are ASCII, numbers are integers) with exactly
the fields that the log writes, so that two readers cannot read two things.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

import orjson

from nomoat.core.errors import Malformed
from nomoat.core.record import RecordKind

_FIELDS: Final = {"at", "commitment", "decision", "enforcer", "kind", "n", "on", "sealed", "session", "what", "who"}
_OUTCOME_FIELDS: Final = _FIELDS | {"of"}
_NUMBER: Final = re.compile(rb'"n":(\d{1,18})[,}]')
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Leaf(NamedTuple):
    """A parsed leaf entry; `fields` has all of it. `of` is the opening that an outcome closes."""

    number: int
    at: str
    kind: str
    sealed: str
    of: int | None
    opens: bool
    fields: Mapping[str, object]


def parse_leaf(entry: bytes) -> Leaf:
    """Parse a leaf entry. Raises `Malformed`."""
    try:
        value: object = orjson.loads(entry)
    except orjson.JSONDecodeError:
        raise Malformed("its entry is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("its entry is not a JSON object")
    fields = cast("dict[str, object]", value)
    if fields.keys() != _FIELDS and fields.keys() != _OUTCOME_FIELDS:
        raise Malformed("its entry has other fields than an entry has")
    # A field that stands there twice, another order, spaces, other escapes: all are other bytes.
    if orjson.dumps(fields, option=orjson.OPT_SORT_KEYS) != entry:
        raise Malformed("its entry is not canonical JSON")
    number, at, of, kind = fields["n"], fields["at"], fields.get("of"), fields["kind"]
    if type(number) is not int or number < 0 or not (of is None or type(of) is int):
        raise Malformed("its entry has no number")
    if not isinstance(at, str) or _TIME.fullmatch(at) is None:
        raise Malformed("its entry has no time")
    opens = kind == RecordKind.OPENING and fields["decision"] == "allow"
    return Leaf(number, at, str(kind), str(fields["sealed"]), of, opens, fields)


def entry_number(entry: bytes) -> int:
    """Return the number that a record's entry says, without a look at the rest; -1 if it says none."""
    found = _NUMBER.search(entry)
    return int(found[1]) if found else -1
