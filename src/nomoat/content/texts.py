"""The texts of a request: every string of its JSON, where it is, and the request without what must not leave.

Rules: no protocol is known here, so that no field of a newer one is overlooked: keys are texts, too, and so are large
numbers, though none that can be redacted. Other values that are no strings are not texts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, cast

from nomoat.core.content import Hit, Path

REDACTED: Final = "[redacted: {rule}]"


LARGE: Final = 10**8  # a number that may be one of a card or a person
LARGEST: Final = 10**24  # beyond, as many digits as it likes would come of a few characters; none stands for anybody


class Text(NamedTuple):
    """A string of a request; `path` is None for what cannot be redacted, a key or a number."""

    path: Path | None
    text: str


def units_of(body: Mapping[str, object]) -> Iterator[tuple[Path, object]]:
    """The parts of a request that come again in the next one as they are: messages, tools, other values of the top."""
    for key, value in body.items():
        if isinstance(value, list):
            for number, item in enumerate(cast("list[object]", value)):
                yield (key, number), item
        else:
            yield (key,), value
    yield (), dict.fromkeys(body)


def texts_of(value: object, path: Path = ()) -> Iterator[Text]:
    """Every text of a JSON value, in its order; what it takes grows with the depth of the value, not with its size."""
    left: list[tuple[Path, Iterator[tuple[str | int, object]]]] = []
    where: Path = path
    entries: Iterator[tuple[str | int, object]] = iter([("", value)])
    while True:
        for name, each in entries:
            at = where + (name,) if left else path  # noqa: RUF005 - what a spread makes has no type that is known
            if isinstance(each, str):
                yield Text(at, each)
            elif isinstance(each, (dict, list)):
                left.append((where, entries))
                where = at
                if isinstance(each, dict):
                    items = cast("dict[str, object]", each)
                    for key in items:
                        yield Text(None, key)
                    entries = iter(items.items())
                else:
                    entries = enumerate(cast("list[object]", each))
                break
            elif isinstance(each, (int, float)) and (digits := digits_of(each)):
                yield Text(None, digits)
        else:
            if not left:
                return
            where, entries = left.pop()


def digits_of(number: float) -> str:
    """The digits of a large number, however it is written; '' for another one, or one of more digits than it is known by."""
    if not LARGE <= abs(number) < LARGEST:
        return ""
    return str(abs(number)) if isinstance(number, int) else f"{abs(number):.0f}"


def redacted(body: Mapping[str, object], hits: Iterable[Hit]) -> Mapping[str, object]:
    """A request without what was found at `hits`; the request itself is left as it is."""
    at: dict[Path, list[Hit]] = {}
    for hit in hits:
        at.setdefault(hit.path, []).append(hit)
    made = dict(body)
    copies: dict[Path, dict[object, object]] = {(): cast("dict[object, object]", made)}
    for path, of in at.items():
        holder = _copied(copies, path[:-1])
        holder[path[-1]] = _without(cast("str", holder[path[-1]]), of)
    return made


def _copied(copies: dict[Path, dict[object, object]], path: Path) -> dict[object, object]:
    """What is at a path, copied once, however much is replaced in it."""
    made = copies.get(path)
    if made is None:
        holder = _copied(copies, path[:-1])
        value = holder[path[-1]]
        copy = (
            dict(cast("dict[object, object]", value)) if isinstance(value, dict) else list(cast("list[object]", value))
        )
        made = copies[path] = cast("dict[object, object]", copy)  # a list is indexed the same way
        holder[path[-1]] = made
    return made


def _without(text: str, hits: Sequence[Hit]) -> str:
    """A text with marks in the place of what was found; what overlaps is one."""
    parts: list[str] = []
    end = 0
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
        if hit.start >= end:
            parts += [text[end : hit.start], REDACTED.format(rule=hit.finding.rule)]
        end = max(end, hit.end)
    return "".join([*parts, text[end:]])
