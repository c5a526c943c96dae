"""Records as people read them: one row in a table, or every fact of one record.

Rules: a record's shape is the log's; whatever is missing here stays blank, whatever is unknown is
still shown. Files keep times in UTC, tables show them in local time.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, cast

from nomoat.cli.output import TIME

COLUMNS: Final = ("#", "when", "who", "what", "on", "decision", "why")

_DECISIONS: Final = {"allow": "allowed", "deny": "refused"}


def row(record: Mapping[str, object]) -> tuple[str, ...]:
    """Return a record's cells under `COLUMNS`."""
    return (
        str(record.get("n", "")),
        _local(record.get("at")),
        _who(record),
        _text(record.get("what")) or _text(record.get("kind")),
        _on(record.get("on")),
        _decision(record),
        _why(record),
    )


def facts(record: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield every fact of a record under a readable name, the ones asked for most first."""
    first = ("n", "at", "kind", "who", "what", "on", "decision", "why", "policies")
    names = [name for name in first if name in record] + [name for name in record if name not in first]
    for name in names:
        yield from _flatten(name, record[name])


def is_reading(record: Mapping[str, object], session: str) -> bool:
    """Whether a record is of a session's own reading of the log."""
    return record.get("what") == "ReadLog" and _fields(record.get("who")).get("session") == session


def _flatten(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            yield from _flatten(f"{name}.{key}", item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = cast("Sequence[object]", value)
        if any(isinstance(item, Mapping) for item in items):
            for number, item in enumerate(items, start=1):
                yield from _flatten(f"{name}.{number}", item)
        else:
            yield name, ", ".join(map(_listed, items)) or "none"
    elif name == "decision":
        yield name, _DECISIONS.get(_text(value), _worded(value))
    elif name == "at":
        yield name, f"{value} ({_local(value)} here)"
    else:
        yield name, _worded(value)


def _worded(value: object) -> str:
    """Write what is no list and no table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)


def _listed(item: object) -> str:
    """Write one of a list: of a list within it, such as the kind and id of a parent, with a space between its parts."""
    if isinstance(item, Sequence) and not isinstance(item, str):
        return " ".join(_listed(part) for part in cast("Sequence[object]", item))
    return _worded(item)


def _who(record: Mapping[str, object]) -> str:
    who = _fields(record.get("who"))
    if not who:
        return _text(record.get("who")) or _text(record.get("subject"))
    chain = who.get("chain")
    links = [str(link) for link in cast("list[object]", chain)] if isinstance(chain, list) else []
    # Whose a credential was that is over; who presented it, nobody knows.
    whose = "'s credential" if who.get("authenticated") is False else ""
    return " < ".join([f"{_text(who.get('kind'))} {_text(who.get('name'))}{whose}".strip(), *links])


def _on(value: object) -> str:
    on = _fields(value)
    return _text(on.get("name")) or _text(on.get("requested")) if on else _text(value)


def _decision(record: Mapping[str, object]) -> str:
    """Return what was decided, and how an allowed access ended if not well."""
    decided = _DECISIONS.get(_text(record.get("decision")), "")
    ended = _text(_fields(record.get("outcome")).get("outcome"))
    return f"{decided}, {ended}" if decided and ended not in {"", "complete"} else decided


def _why(record: Mapping[str, object]) -> str:
    for lost in ("erased", "damaged", "forgotten"):
        if record.get(lost):
            return lost
    outcome = _fields(record.get("outcome"))
    policies = record.get("policies")
    names = ", ".join(str(name) for name in cast("list[object]", policies)) if isinstance(policies, list) else ""
    why = _text(record.get("why")) or _text(outcome.get("why")) or names
    # Of a prompt: what was found in it, and which server had it.
    found, upstream = (
        _text(_fields(record.get("asked")).get("found")),
        _text(_fields(outcome.get("facts")).get("upstream")),
    )
    told = [why, f"found {found}" if found else "", f"sent to {upstream}" if upstream else ""]
    return "; ".join(each for each in told if each)


def _fields(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, (Mapping, list)) else str(value)


def _local(value: object) -> str:
    try:
        return datetime.fromisoformat(str(value)).astimezone().strftime(TIME)
    except ValueError:
        return _text(value)
