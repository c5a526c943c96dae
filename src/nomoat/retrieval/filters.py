"""Filters on attributes, in the words of OpenAI's vector stores; they choose among what is permitted, and can permit nothing.

Rules: an attribute that a document does not have is no value: `ne` and `nin` hold of it, nothing else does. Numbers are compared
with numbers, texts with texts, true and false with themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, cast

Value: TypeAlias = str | float | bool
Holds: TypeAlias = Callable[[Mapping[str, Value]], bool]

DEEPEST: Final = 4
MOST: Final = 64  # comparisons of one filter
MOST_VALUES: Final = 256
LONGEST: Final = 512  # characters of a key or a text
NO_TYPE: Final = "type is one of eq, ne, gt, gte, lt, lte, in, nin, and, or"

_COMPARED: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
}


def parse_filter(said: Mapping[str, object]) -> Holds:
    """What a filter says of attributes. Raises `ValueError`, which may be told."""
    return _parsed(said, 1, [0])


def _parsed(said: Mapping[str, object], depth: int, seen: list[int]) -> Holds:
    kind = said.get("type")
    kind = kind if isinstance(kind, str) else ""
    seen[0] += 1
    if seen[0] > MOST or depth > DEEPEST:
        raise ValueError(f"a filter has at most {MOST} comparisons, {DEEPEST} levels deep")
    if kind in {"and", "or"}:
        _require(said, "filters")
        given = said["filters"]
        if not isinstance(given, list) or not given:
            raise ValueError(f"`{kind}` needs filters, a list of some")
        parts = [_parsed(_table(each), depth + 1, seen) for each in cast("list[object]", given)]
        every = all if kind == "and" else any
        return lambda attributes: every(part(attributes) for part in parts)
    _require(said, "key", "value")
    key, value = said["key"], said["value"]
    if not isinstance(key, str) or len(key) > LONGEST:
        raise ValueError(f"key is a text of at most {LONGEST} characters")
    return _comparison(kind, key, value)


def _comparison(kind: str, key: str, value: object) -> Holds:
    if kind in {"in", "nin"}:
        if not isinstance(value, list) or len(cast("list[object]", value)) > MOST_VALUES:
            raise ValueError(f"`{kind}` needs a list of at most {MOST_VALUES} values")
        wanted = {_sort(_value(each)) for each in cast("list[object]", value)}
        return lambda attributes: (key in attributes and _sort(attributes[key]) in wanted) is (kind == "in")
    one = _value(value)
    if kind in {"eq", "ne"}:
        return lambda attributes: (key in attributes and _sort(attributes[key]) == _sort(one)) is (kind == "eq")
    compare = _COMPARED.get(kind)
    if compare is None:
        raise ValueError(NO_TYPE)
    if one is True or one is False:
        raise ValueError(f"`{kind}` compares numbers, or texts")

    def holds(attributes: Mapping[str, Value]) -> bool:
        found = attributes.get(key)
        if found is None or isinstance(found, bool) or isinstance(found, str) is not isinstance(one, str):
            return False
        return compare(cast("float", found), cast("float", one))

    return holds


def _sort(value: Value) -> tuple[str, Value]:
    """A value with its sort: 1 equals True to Python."""
    return ("bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number", value)


def _value(said: object) -> Value:
    if isinstance(said, bool) or (isinstance(said, (int, float)) and abs(said) < 1e300):
        return said
    if isinstance(said, str) and len(said) <= LONGEST:
        return said
    raise ValueError(f"a value is a number, true or false, or a text of at most {LONGEST} characters")


def _require(said: Mapping[str, object], *fields: str) -> None:
    if set(said) != {"type", *fields}:
        raise ValueError(
            f"a filter of type {str(said.get('type'))[:16]!r} has type, {', '.join(fields)}, and nothing else"
        )


def _table(said: object) -> Mapping[str, object]:
    if isinstance(said, Mapping):
        return cast("Mapping[str, object]", said)
    raise ValueError("a filter is an object")


def chosen(holds: Holds, attributes: Sequence[Mapping[str, Value]]) -> list[bool]:
    """Of which of some documents' attributes a filter holds."""
    return [holds(each) for each in attributes]
