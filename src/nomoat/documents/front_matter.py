"""Front matter: what a Markdown file says of itself between two lines of dashes, before its text.

Rules: it is looked through as YAML events first, so that nothing is made of it that is deep, has anchors or types, or says a thing
twice. What looks like a word about access and is none (`Readers`, `reader`) is refused: it would be believed to protect.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import yaml

from nomoat.documents.read import MOST_ATTRIBUTES, MOST_EXACT, MOST_PEOPLE, Attribute, Declared, Unreadable

_FRONT: Final = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_LONGEST: Final = 65_536
_DEEPEST: Final = 8
_ACCESS: Final = ("classification", "labels", "owner", "readers")
_MISSPELT: Final = frozenset({*_ACCESS, "access", "acl", "label", "owners", "reader"})


def parted(text: str) -> tuple[Mapping[str, object], str]:
    """The front matter of a text, if it has any, and the rest. Raises `Unreadable` where it is no mapping of plain values."""
    found = _FRONT.match(text)
    if found is None:
        return {}, text
    if len(found[1]) > _LONGEST:
        raise Unreadable(f"its front matter has more than {_LONGEST:,} characters")
    try:
        _require_plain(found[1])
        said: object = yaml.safe_load(found[1])
    except (yaml.YAMLError, RecursionError, OverflowError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, Unreadable) else "its front matter is not YAML"
        raise Unreadable(why) from None
    if said is None:
        return {}, text[found.end() :]
    if not isinstance(said, dict):
        raise Unreadable("its front matter is no table")
    return {str(name): value for name, value in cast("dict[object, object]", said).items()}, text[found.end() :]


def _require_plain(text: str) -> None:
    """Raise `Unreadable` for YAML that is more than plain values, or `yaml.YAMLError`."""
    depth, keys, is_key = 0, set[str](), False
    for event in cast("Iterable[yaml.Event]", cast("Any", yaml).parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            # At the top, keys and values take turns.
            is_key = depth == 1 and not is_key
            if event.anchor is not None or isinstance(event, yaml.AliasEvent):
                raise Unreadable("its front matter has anchors, which are not read; write each value where it is meant")
            if getattr(event, "tag", None) not in {None, "!"}:
                raise Unreadable("its front matter has types, which are not read; write plain values")
            if is_key:
                _require_new(event, keys)
            depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > _DEEPEST:
                raise Unreadable("its front matter is too deep")


def _require_new(event: yaml.NodeEvent, keys: set[str]) -> None:
    key = str(event.value) if isinstance(event, yaml.ScalarEvent) else ""
    if key in {"", "<<"}:
        raise Unreadable("its front matter has a name that is no word")
    if key in keys:
        raise Unreadable(f"its front matter says {key!r:.80} twice")
    if key not in _ACCESS and key.strip().casefold() in _MISSPELT:
        raise Unreadable(f"its front matter says {key!r}; who may read a document is said by {', '.join(_ACCESS)}")
    keys.add(key)


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
        name: value if isinstance(value, (str, int, float)) and _is_plain(value) else str(value)
        for name, value in front.items()
        if name not in {*_ACCESS, "title"} and value is not None and not isinstance(value, (list, dict))
    }
    return {
        name[:64]: value[:512] if isinstance(value, str) else value
        for name, value in list(plain.items())[:MOST_ATTRIBUTES]
    }


def _is_plain(value: str | float) -> bool:
    return isinstance(value, str) or abs(value) <= MOST_EXACT  # of what is no number, nothing holds


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
