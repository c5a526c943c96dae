"""What a text says to who reads on: with escapes and look-alikes resolved, and what is encoded in it decoded.

Rules: every reading knows where each of its characters stands in the text that it was made of; of what was decoded, the
whole encoded run is that place. Each is at most as long as what it was made of, or a small multiple where a character
stands for several, and they are nested at most DEEPEST times: the work is linear in the text.
"""

import base64
import binascii
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final, final

from nomoat.content.rules import compiled_of

DEEPEST: Final = 3
SHORTEST_RUN: Final = 24  # characters of base64, which are 18 bytes
_KNOWN: Final = 4096  # characters that the table of look-alikes remembers
_WIDEST: Final = 4  # characters that one may stand for; beyond, it is left as it is

_RUN: Final = compiled_of(
    # Lines that are broken go on in the next one; hexadecimal digits are letters of base64, too.
    r"[A-Za-z0-9+/_\-]{16,}(?:\r?\n[ \t]*[A-Za-z0-9+/_\-]{4,})*={0,2}"
)
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|%[0-9a-fA-F]{2}')
_LETTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_STRANGE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BREAKS: Final = bytes.maketrans(b"-_", b"+/")
_PLAIN: Final = bytes([9, 10, 13, *range(32, 127)])
_CONTROLS: Final = bytes({*range(32), 127} - {9, 10, 13})
_HEX: Final = re.compile(rb"[0-9a-fA-F]+")

Place = Callable[[int, int], tuple[int, int]]
"""A stretch of a reading → the stretch of the text that it stands for."""


@final
class Reading:
    """A text, and where it stands in the one that was looked at."""

    __slots__ = ("place", "text")

    def __init__(self, text: str, place: Place) -> None:
        self.text = text
        self.place = place


def readings_of(text: str, deepest: int = DEEPEST) -> Iterator[Reading]:
    """A text, then what else it says."""
    yield from _within(Reading(text, lambda start, end: (start, end)), deepest)


def _within(reading: Reading, deepest: int) -> Iterator[Reading]:
    yield reading
    plain = _folded(reading)
    if plain is not None:
        yield plain
    if deepest:
        plain = plain or reading
        unescaped = _unescaped(plain)
        if unescaped is not None:
            yield from _within(unescaped, deepest - 1)
        for decoded in _decoded(plain):
            yield from _within(decoded, deepest - 1)


class _Folding(dict[int, str]):
    """What stands for each character: its compatible form, nothing for one that is not seen."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        unseen = unicodedata.category(letter) in {"Cf", "Cc", "Mn"} and letter not in "\t\n\r"
        plain = "" if unseen else unicodedata.normalize("NFKC", letter)
        plain = plain if len(plain) <= _WIDEST else letter
        if len(self) < _KNOWN:
            self[code] = plain
        return plain


_FOLDING: Final = _Folding()


def folded(text: str) -> str:
    """A text with plain characters for those that look like them."""
    return text.translate(_FOLDING)


def _folded(reading: Reading) -> Reading | None:
    """A reading with plain characters for those that look like them; None where it has no others."""
    text = reading.text
    if text.isascii() and not _STRANGE.search(text):
        return None
    plain = folded(text)
    if plain == text:
        return None
    origins: list[int] = []  # made when something was found

    def place(start: int, end: int) -> tuple[int, int]:
        if not origins:
            origins.extend(at for at, each in enumerate(text) for _ in _FOLDING[ord(each)])
        return reading.place(origins[start], origins[end - 1] + 1)

    return Reading(plain, place)


def _unescaped(reading: Reading) -> Reading | None:
    """A reading without the escapes of JSON and its relatives, and of addresses; None where it has none."""
    text = reading.text
    if "\\" not in text and "%" not in text:
        return None
    said, count = _ESCAPE.subn(_resolved, text)
    if not count:
        return None
    stands: list[int] = []  # where each escape's character stands in the reading; made when something was found
    shifts = [0]  # how many characters fewer the reading has by then

    def place(start: int, end: int) -> tuple[int, int]:
        if not stands:
            for match in _ESCAPE.finditer(text):
                stands.append(match.start() - shifts[-1])
                shifts.append(shifts[-1] + match.end() - match.start() - 1)
        # A character stands for all of its escape, so an end is where what follows the last one begins.
        return reading.place(start + shifts[bisect_left(stands, start)], end + shifts[bisect_left(stands, end)])

    return Reading(said, place)


def _resolved(match: "re.Match[str]") -> str:
    escape = match[0]
    if escape[0] == "%":
        return chr(int(escape[1:], 16))
    digits = escape[2:]
    return chr(int(digits, 16)) if digits else _LETTERS.get(escape[1], escape[1])


def _decoded(reading: Reading) -> Iterator[Reading]:
    """What the runs of base64 and of hexadecimal digits in a reading say, if that is text."""
    written = reading.text.encode("utf-8", "replace")
    for match in _RUN.finditer(written):
        start, end = match.span()
        if end - start < SHORTEST_RUN:
            continue
        run = written[start:end].translate(_BREAKS, b" \t\r\n=")
        said = _text_of(run)
        if said:
            if reading.text.isascii():
                place = reading.place(start, end)
            else:
                begin = len(written[:start].decode("utf-8"))
                place = reading.place(begin, begin + end - start)
            yield Reading(said, _whole(place))


def _whole(place: tuple[int, int]) -> Place:
    return lambda _start, _end: place


def _text_of(run: bytes) -> str:
    """What a run says: as hexadecimal digits, or as base64 that begins at any of its letters."""
    found: list[str] = []
    if _HEX.fullmatch(run):
        found += [_readable(binascii.unhexlify(run[odd : len(run) - (len(run) - odd) % 2])) for odd in (0, 1)]
    for begin in range(4):
        size = (len(run) - begin) // 4 * 4
        rest = run[begin + size :]
        padded = run[begin : begin + size] + (rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b"")
        found.append(_readable(base64.b64decode(padded)))
    return "\n\n".join(filter(None, found))


def _readable(content: bytes) -> str:
    """The text that a content is; '' where it is none. What is written in UTF-16 is one, as far as it is ASCII."""
    content = content.replace(b"\0", b"")
    text = content.decode("utf-8", "ignore")  # its ends may be cut
    if len(content.translate(None, _PLAIN)) * 10 <= len(content) * 3:
        return text
    lost = len(content) - len(text.encode()) + len(content) - len(content.translate(None, _CONTROLS))
    return text if lost * 5 <= len(content) else ""
