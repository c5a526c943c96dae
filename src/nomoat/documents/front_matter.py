"""Front matter: what a Markdown file says of itself between two lines of dashes, before its text."""

import re
from collections.abc import Mapping
from typing import Final, cast

import yaml

from nomoat.documents.read import MOST_ATTRIBUTES, MOST_PEOPLE, Attribute, Declared, Unreadable

_FRONT: Final = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_LONGEST: Final = 65_536
_ACCESS: Final = ("classification", "labels", "owner", "readers")


def parted(text: str) -> tuple[Mapping[str, object], str]:
    """The front matter of a text, if it has any, and the rest. Raises `Unreadable` where it is no mapping of plain values."""
    found = _FRONT.match(text)
    if found is None:
        return {}, text
    if len(found[1]) > _LONGEST or "&" in found[1] or "!!" in found[1]:
        raise Unreadable("its front matter is too long, or has anchors or types, which are not read")
    try:
        said: object = yaml.safe_load(found[1])
    except (yaml.YAMLError, RecursionError, ValueError):
        raise Unreadable("its front matter is not YAML") from None
    if said is None:
        return {}, text[found.end() :]
    if not isinstance(said, dict):
        raise Unreadable("its front matter is no table")
    return {str(name): value for name, value in cast("dict[object, object]", said).items()}, text[found.end() :]


def declared(front: Mapping[str, object]) -> Declared:
    """What front matter says of who may read it. Raises `Unreadable`."""
    return Declared(
        classification=_word(front.get("classification"), "classification"),
        labels=_words(front.get("labels"), "labels") or (),
        owner=_word(front.get("owner"), "owner"),
        readers=_words(front.get("readers"), "readers"),
    )


def attributes(front: Mapping[str, object]) -> Mapping[str, Attribute]:
    """What else it says, as far as it can be filtered by."""
    plain = {
        name: value if isinstance(value, (str, int, float)) else str(value)
        for name, value in front.items()
        if name not in {*_ACCESS, "title"} and value is not None and not isinstance(value, (list, dict))
    }
    return {
        name[:64]: value[:512] if isinstance(value, str) else value
        for name, value in list(plain.items())[:MOST_ATTRIBUTES]
    }


def _word(said: object, what: str) -> str:
    if said is None:
        return ""
    if not isinstance(said, str):
        raise Unreadable(f"{what} in its front matter is no word")
    return said


def _words(said: object, what: str) -> tuple[str, ...] | None:
    if said is None:
        return None
    listed = cast("list[object]", said) if isinstance(said, list) else [said]
    if len(listed) > MOST_PEOPLE or not all(isinstance(each, str) for each in listed):
        raise Unreadable(f"{what} in its front matter is no list of words")
    return tuple(cast("list[str]", listed))
