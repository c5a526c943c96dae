"""Fields of a declared table, taken strictly: a value of another type or size is refused, and a field nobody knows."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, cast

from nomoat.core.errors import Malformed
from nomoat.core.names import Classification, parse_classification, parse_subject_name

Table: TypeAlias = Mapping[str, object]


def require_fields(table: Table, fields: frozenset[str]) -> None:
    """Raise `Malformed` when the table has a field that is not among these."""
    if unknown := set(table) - fields:
        field = min(unknown)
        raise Malformed(f"no field {field!r:.80};{meant(field, fields)} it has {', '.join(sorted(fields))}")


def meant(word: str, words: Iterable[str]) -> str:
    """A question about a word that is close to one of `words`, or ''."""
    close = difflib.get_close_matches(word[:80], sorted(words), n=1)
    return f" did you mean {close[0]!r}?" if close else ""


def as_list(value: object) -> Sequence[object] | None:
    """The value, if it is a list."""
    return cast("list[object]", value) if isinstance(value, list) else None


def as_table(value: object) -> Table | None:
    """The value, if it is a table."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def text_of(table: Table, field: str) -> str:
    """A text field, '' where there is none. Raises `Malformed`."""
    value = table.get(field, "")
    if not isinstance(value, str) or len(value) > 512:
        raise Malformed(f"{field} is a text of at most 512 characters")
    return value


def words_of(table: Table, field: str) -> frozenset[str]:
    """A field that is a list of names. Raises `Malformed`."""
    value = as_list(table.get(field, []))
    if value is None or len(value) > 64:
        raise Malformed(f"{field} is a list of at most 64 names")
    return frozenset(parse_subject_name(word) if isinstance(word, str) else parse_subject_name("") for word in value)


def owner_of(table: Table) -> tuple[str, str]:
    """The owner: a group's name or a person's, '' for the other or both. Raises `Malformed`."""
    kind, _, owner = text_of(table, "owner").partition(":")
    if kind not in {"", "group", "person"} or bool(kind) != bool(owner):
        raise Malformed("an owner is written group:NAME or person:NAME")
    return (owner, "") if kind == "group" else ("", owner)


def described_owner(group: str, person: str) -> dict[str, str]:
    """The inverse of `owner_of`; nothing where nobody owns it."""
    return {"owner": f"group:{group}" if group else f"person:{person}"} if group or person else {}


def truth_of(table: Table, field: str, *, default: bool = False) -> bool:
    """A field that is true or false. Raises `Malformed`."""
    value = table.get(field, default)
    if not isinstance(value, bool):
        raise Malformed(f"{field} is true or false")
    return value


def level_of(table: Table, field: str, default: Classification) -> Classification:
    """A field that is a classification. Raises `Malformed`."""
    value = table.get(field)
    if value is None:
        return default
    try:
        return parse_classification(str(value))
    except Malformed as error:
        close = meant(str(value), [level.name.lower() for level in Classification])
        raise Malformed(f"{field}: {error.reason}{close and ';' + close}") from None
