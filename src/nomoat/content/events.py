"""Server-sent events of answers (WHATWG HTML, section 9.2), and the texts in them that a client puts together.

Rules: no protocol's fields are listed but for what tells one text from another. A string below `delta` is a fragment, and
so are the texts with which a block of Anthropic's or a choice of `completions` comes; what only names something is not.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias, cast, final

import orjson

from nomoat.content.texts import digits_of

Key: TypeAlias = tuple[object, ...]

_END: Final = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_DATA: Final = b"data:"
MOST_LEARNT: Final = 16
MOST_MARKS: Final = 2 << 20  # of the marks that begin a value in what is parsed at once
LONGEST_MARK: Final = 128  # characters of a name or a place that are kept as they are
_PROBE: Final = "a text that stands for another"
_DONE: Final = b"[DONE]"  # how OpenAI's protocol ends
_DELTA: Final = "delta"
_BLOCK: Final = "content_block"  # what a block of Anthropic's begins with; its deltas go on
_PLACES: Final = ("index", "output_index", "content_index", "summary_index")
_ITEM: Final = "item_id"  # says it where nothing else does: there are servers that call each fragment another item
_NAMES: Final = frozenset({"type", "role", "id", "name", "signature", "finish_reason", "stop_reason"})
"""Strings below `delta` that are whole: a client does not put them together."""


class Fragment(NamedTuple):
    """A text of an event. Those with the same `of` are put together by the client; None: it stands by itself.

    `malformed`: it is data that is no JSON object, which no client of the protocols can read, or that two may read in two ways.
    """

    of: Key | None
    text: str
    malformed: bool = False


def events_in(raw: bytearray, start: int) -> Iterator[int]:
    """Where events end in what came; before `start`, none does."""
    for end in _END.finditer(raw, start):
        yield end.end()


def fragments_of(event: bytes, known: set[str]) -> Iterator[Fragment]:
    """The texts of an event, those included that are no data, but for `known` ones that stand by themselves."""
    data: list[bytes] = []
    for line in event.splitlines():
        if line.startswith(_DATA):
            data.append(line[len(_DATA) :])
        elif line:
            yield Fragment(None, line.decode("utf-8", "replace"))
    if not data:
        return
    document = data[0] if len(data) == 1 else b"\n".join(data)
    if document.strip() == _DONE:
        return
    try:
        value = parsed(document)
    except ValueError:
        value = None
    if isinstance(value, dict):
        yield from _fragments(cast("dict[str, object]", value), known)
    else:
        yield Fragment(None, document.decode("utf-8", "replace"), malformed=True)


def parsed(document: bytes) -> object:
    """What a JSON document says. Raises `ValueError` for none, and for one whose readers may be told different things.

    RFC 8259, section 4: of members with one name, some take the first, some the last. Whoever reads the bytes has both.
    """
    if document.count(b",") + document.count(b"[") + document.count(b"{") > MOST_MARKS:
        raise ValueError("too many values")  # parsed, they would take many times its size
    value: object = orjson.loads(document)
    try:
        written = orjson.dumps(value)
    except TypeError:
        raise ValueError("nested too deeply") from None
    if _quotes(written) != _quotes(document):  # a member that was lost has a name at least
        raise ValueError("a member stands twice")
    return value


def _quotes(document: bytes) -> int:
    """How many quotes begin or end a string."""
    if b"\\" not in document:
        return document.count(b'"')
    rest = document.replace(b"\\\\", b"")  # of a run of them, the first two are the first pair
    return rest.count(b'"') - rest.count(b'\\"')


def _mark(value: object) -> object:
    """What stands for a name or a place: it can be looked up, and is short, whatever a server says there."""
    if value is None or isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= LONGEST_MARK):
        return value
    return hashlib.blake2b(orjson.dumps(value), digest_size=16).digest()


def _fragments(event: Mapping[str, object], known: set[str]) -> Iterator[Fragment]:
    place = tuple([_mark(event.get(name)) for name in _PLACES])
    if place[1] is None:
        place = (*place, _mark(event.get(_ITEM)))
    left: list[tuple[object, Key | None, Key]] = [(event, None, place)]
    while left:
        value, of, path = left.pop()
        if isinstance(value, dict):
            for name, item in cast("dict[str, object]", value).items():
                if name not in known:
                    yield Fragment(None, name)
                if isinstance(item, str):
                    key = _key(name, of, path, event)
                    if key is not None or item not in known:
                        yield Fragment(key, item)
                elif isinstance(item, (dict, list)):
                    named = _DELTA if name == _BLOCK else _mark(name)
                    within = (*path, named) if of is not None or named == _DELTA else None
                    left.append((cast("object", item), within, (*path, named)))
                elif isinstance(item, (int, float)) and (digits := digits_of(item)) and digits not in known:
                    yield Fragment(None, digits)
        else:
            yield from _entries(cast("list[object]", value), of, path, left)


_Left: TypeAlias = list[tuple[object, Key | None, Key]]


def _entries(entries: list[object], of: Key | None, path: Key, left: _Left) -> Iterator[Fragment]:
    """The strings of a list; what else it has is added to what is `left`."""
    for number, item in enumerate(entries):
        # An entry says itself which it is; in each event there may be only those that go on.
        index = _mark(cast("dict[str, object]", item).get("index", number)) if isinstance(item, dict) else number
        within = None if of is None else (*path, index)
        if isinstance(item, str):
            yield Fragment(within, item)
        elif isinstance(item, (dict, list)):
            left.append((cast("object", item), within, (*path, index)))
        elif isinstance(item, (int, float)) and (digits := digits_of(item)):
            yield Fragment(None, digits)


def _key(name: str, of: Key | None, path: Key, event: Mapping[str, object]) -> Key | None:
    """What a string of an object goes on; None for what stands by itself."""
    if name in _NAMES:
        return None
    if of is not None:
        return (*path, _mark(name))
    if name == _DELTA:
        return (*path, _mark(event.get("type")))
    return (*path, name) if name == "text" and "choices" in path else None


@final
class Recurrence:
    """Events that differ from one before in the text of their one fragment alone, as most of a stream do.

    INVARIANT (same): what stands before and after a JSON string's letters is the same, byte for byte, and what stands between
    is the letters of one string; so all the rest of the event is what it was.
    """

    def __init__(self) -> None:
        self._before = self._after = b""
        self._of: Key | None = None
        self._learnt = 0  # times since an event was like the one before

    def of(self, event: bytes) -> Fragment | None:
        """The fragment of an event that is like the one before; None for one that is not."""
        before, after = self._before, self._after
        if self._of is None or not event.startswith(before) or not event.endswith(after):
            return None
        letters = event[len(before) : len(event) - len(after)]
        if len(before) + len(letters) + len(after) != len(event):
            return None
        try:
            text = str(orjson.loads(b'"%s"' % letters))
        except orjson.JSONDecodeError:  # it ends the string, or is none
            return None
        self._learnt = 0
        return Fragment(self._of, text)

    def learn(self, event: bytes, fragments: list[Fragment]) -> None:
        """Take an event for the one before, if it has one fragment that goes on, and it is plain where that stands."""
        self._of = None
        self._learnt += 1
        if self._learnt > MOST_LEARNT:  # there are streams in which each event is another
            return
        going_on = [each for each in fragments if each.of is not None]
        if len(going_on) != 1:
            return
        [(of, text, _)] = going_on
        written = orjson.dumps(text)
        if event.count(written) != 1:
            return
        at = event.index(written) + 1
        before, after = event[:at], event[at + len(written) - 2 :]
        # It may be another string that is written like that: what stands there has to be the fragment.
        probe = before + _PROBE.encode() + after
        if [each for each in fragments_of(probe, set()) if each.of is not None] == [Fragment(of, _PROBE)]:
            self._before, self._after, self._of = before, after, of
