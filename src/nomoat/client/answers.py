"""Fields of the gateway's answers, none of which is believed to have the form that it should."""

from collections.abc import Sequence
from typing import TypeVar, cast

from nomoat.client.errors import Unintelligible
from nomoat.client.transport import Answer

ValueT = TypeVar("ValueT", str, int, bool)


def field_of(answer: Answer, name: str, kind: type[ValueT]) -> ValueT:
    """Return a field of an answer. Raises `Unintelligible` when it has none of this kind."""
    value = answer.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Unintelligible(f"its answer has no proper {name!r}")
    return value


def optional(answer: Answer, name: str) -> str:
    """Return a text of an answer, '' for none."""
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def rows_of(answer: Answer, name: str) -> Sequence[Answer]:
    """Return a list of objects of an answer. Raises `Unintelligible` when it is none."""
    rows = answer.get(name)
    if not isinstance(rows, list):
        raise Unintelligible(f"its answer has no proper {name!r}")
    checked: list[Answer] = []
    for row in cast("list[object]", rows):
        if not isinstance(row, dict):
            raise Unintelligible(f"its answer has no proper {name!r}")
        checked.append(cast("dict[str, object]", row))
    return checked
