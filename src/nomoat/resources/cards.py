"""Cards: what is wrong with the metadata that a README.md begins with, said without making anything of it.

Rules: the text is anybody's. It is read as a stream of YAML events, by a parser that is memory-safe: no object
is made, no tag followed, no alias expanded. Its size, its depth, and how many nodes it would have with every
alias expanded are limited, and others run between its parts.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol, cast, final

import yaml

from nomoat.core.operation import ValidateCard
from nomoat.core.permit import Permit

CARD: Final = "README.md"
LARGEST: Final = 128 << 10  # characters of metadata
DEEPEST: Final = 32  # mappings and lists within each other
MOST_NODES: Final = 50_000  # with every alias expanded, as a reader would have them
MOST_ERRORS: Final = 10

MISSING: Final = "empty or missing yaml metadata in repo card"  # the Hub's words

# What the Hub and its clients take for the block of metadata (huggingface_hub, `REGEX_YAML_BLOCK`).
_BLOCK: Final = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")
_BREAK: Final = re.compile(r"\r\n|[\r\n]")
_AT_ONCE: Final = 64  # events, about a millisecond

# Plain scalars that are no text (YAML 1.2, core schema: `no` is Norwegian).
_NULL: Final = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOLEAN: Final = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_NUMBER: Final = re.compile(
    r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_OF_TAG: Final = {
    f"tag:yaml.org,2002:{tag}": kind
    for tag, kind in {
        "str": "text",
        "null": "null",
        "bool": "boolean",
        "int": "number",
        "float": "number",
        "seq": "list",
        "map": "mapping",
    }.items()
}
_FIELDS: Final = {
    "license": frozenset({"text", "list", "null"}),
    "language": frozenset({"text", "list", "null"}),
    "tags": frozenset({"list", "null"}),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with a card, each in a sentence: `errors` keep it from being committed, `warnings` do not."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@final
class Cards:
    """Examines cards that are in no repository yet, each for a permit."""

    async def validate(self, permit: Permit[ValidateCard]) -> Findings:
        """Say what is wrong with a README.md."""
        return await examine_card(permit.claim(ValidateCard).operation.content)


async def examine_card(text: str) -> Findings:
    """Say what is wrong with a README.md. It never raises for what the text is; errors name line and column."""
    found = _BLOCK.match(text)
    if found is None:
        return Findings(warnings=(MISSING,))
    first, block = 1 + len(_BREAK.findall(found[1])), found[2]
    if len(block) > LARGEST:
        return Findings((f"line {first}: the metadata has more than {LARGEST} characters; shorten it",))
    reading = _Reading(first)
    try:
        await _read(reading, block)
    except _Wrong as wrong:
        reading.errors.append(str(wrong))
    return Findings(tuple(reading.errors), () if reading.begun or reading.errors else (MISSING,))


async def _read(reading: "_Reading", block: str) -> None:
    """Read the metadata to its end. Raises `_Wrong` for where it is no YAML, whatever the parser raises."""
    try:
        loader = cast("_Events", yaml.SafeLoader(block))
    except yaml.reader.ReaderError as error:
        before = _BREAK.split(block[: error.position])
        place = reading.place(len(before) - 1, len(before[-1]))
        raise _Wrong(f"{place}: the character U+{error.character:04X}, which YAML does not allow") from None
    try:
        count = 0
        while loader.check_event():
            reading.take(loader.get_event())
            count += 1
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or loader.get_mark()
        raise _Wrong(f"{reading.place(mark.line, mark.column)}: {error.problem}") from None
    except (ValueError, OverflowError):  # the parser hands \U00110000 and endless version numbers to Python
        mark = loader.get_mark()
        raise _Wrong(f"{reading.place(mark.line, mark.column)}: a number that is too large") from None


class _Events(Protocol):
    """What is used of the parser, which states no types."""

    def check_event(self) -> bool: ...
    def get_event(self) -> yaml.Event: ...
    def get_mark(self) -> yaml.Mark: ...


class _Wrong(Exception):
    """What ends the reading, in a sentence."""


@dataclass(slots=True)
class _Open:
    """A mapping or list that is not over yet. `key` is the key whose value comes next, None where a key does."""

    kind: str
    anchor: str | None
    begun: int
    keys: set[str] = field(default_factory=set[str])
    key: str | None = None


@dataclass(slots=True)
class _Reading:
    """The state between two events. `first` is the metadata's first line, `anchors` each one's kind and size."""

    first: int
    errors: list[str] = field(default_factory=list[str])
    begun: bool = False
    documents: int = 0
    nodes: int = 0
    within: list[_Open] = field(default_factory=list[_Open])
    anchors: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])

    def place(self, line: int, column: int) -> str:
        """Where in the README.md, as an editor counts; the parser counts from 0 and within the metadata."""
        return f"line {self.first + line}, column {column + 1}"

    def take(self, event: yaml.Event) -> None:
        """Take the next event. Raises `_Wrong` where no further one is to be read."""
        if isinstance(event, yaml.ScalarEvent):
            self._node(event, _kind_of(event), event.value, event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
            begun = self.nodes
            self._node(event, kind if event.tag is None else _OF_TAG.get(event.tag, ""), None, None)
            self.within.append(_Open(kind, event.anchor, begun))
            if len(self.within) > DEEPEST:
                self._end(event, f"more than {DEEPEST} mappings and lists within each other")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            over = self.within.pop()
            if self.within:
                self.within[-1].key = None
            if over.anchor is not None:
                self.anchors[over.anchor] = over.kind, self.nodes - over.begun
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._end(event, "a second document; the metadata is one mapping")

    def _alias(self, event: yaml.AliasEvent) -> None:
        """An alias counts as much as what it stands for: a reader may expand it."""
        if event.anchor not in self.anchors:
            self._end(event, f"*{event.anchor:.40} stands for nothing that was complete before")
        kind, size = self.anchors[event.anchor]
        self._node(event, kind, None, None, size)

    def _node(self, event: yaml.Event, kind: str, value: str | None, anchor: str | None, size: int = 1) -> None:
        if not kind:
            self._end(event, "a tag that metadata has no use for; leave it out")
        self.nodes += size
        if self.nodes > MOST_NODES:
            self._end(event, f"more than {MOST_NODES} values, those that aliases stand for included")
        if anchor is not None:
            self.anchors[anchor] = kind, size
        if not self.within:
            self._root(event, kind)
            return
        parent = self.within[-1]
        if parent.kind == "mapping" and parent.key is None:
            parent.key = self._key(event, parent, value)
            return
        self._typed(event, kind)
        if not isinstance(event, yaml.CollectionStartEvent):  # of these, the end is the end of the value
            parent.key = None

    def _root(self, event: yaml.Event, kind: str) -> None:
        self.begun = kind != "null"
        if kind not in {"mapping", "null"}:
            self._end(event, f"the metadata is a mapping of names to values, not a {kind}")

    def _key(self, event: yaml.Event, parent: _Open, value: str | None) -> str:
        if value is None:
            self._end(event, "a key is a text, written out")
        if value in parent.keys:
            self._say(event, f"duplicate key {value!r:.60}")
        parent.keys.add(value)
        return value

    def _typed(self, event: yaml.Event, kind: str) -> None:
        """Complain of a value, or of an item of a list, that is not of its field's type."""
        name = self.within[0].key or ""
        if name not in _FIELDS:
            return
        if len(self.within) == 1 and kind not in _FIELDS[name]:
            wanted = "a list of texts" if name == "tags" else "a text or a list of texts"
            self._say(event, f"{name} is {wanted}, not a {kind}")
        if len(self.within) == 2 and self.within[1].kind == "list" and kind != "text":
            self._say(event, f"{name} is a list of texts; this item is a {kind}")

    def _say(self, event: yaml.Event, sentence: str) -> None:
        if len(self.errors) + 1 >= MOST_ERRORS:
            self._end(event, sentence)
        self.errors.append(f"{self.place(event.start_mark.line, event.start_mark.column)}: {sentence}")

    def _end(self, event: yaml.Event, sentence: str) -> NoReturn:
        raise _Wrong(f"{self.place(event.start_mark.line, event.start_mark.column)}: {sentence}")


def _kind_of(event: yaml.ScalarEvent) -> str:
    if event.tag is not None:
        return _OF_TAG.get(event.tag, "")
    if not event.implicit[0]:  # quoted, or a block
        return "text"
    for kind, written in (("null", _NULL), ("boolean", _BOOLEAN), ("number", _NUMBER)):
        if written.match(event.value):
            return kind
    return "text"
