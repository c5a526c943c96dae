"""What is written in a text in another way: with the escapes of JSON, or in base64."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

DEEPEST: Final = 2
SHORTEST: Final = 60  # characters that can be told from anybody's
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_LETTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{40,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{16,})*={0,2}")


def ways_of(text: str, deepest: int = DEEPEST) -> Iterator[str]:
    """A text, then what else it says."""
    yield text
    if not deepest:
        return
    if "\\" in text:
        plain, count = _ESCAPE.subn(_resolved, text)
        if count:
            yield from ways_of(plain, deepest - 1)
    for run in _RUN.finditer(text):
        said = _decoded(run[0])
        if len(said) >= SHORTEST:
            yield from ways_of(said, deepest - 1)


def _resolved(match: "re.Match[str]") -> str:
    escape = match[0][1:]
    return chr(int(escape[1:], 16)) if escape[0] == "u" else _LETTERS.get(escape, escape)


def _decoded(run: str) -> str:
    """What base64 says, in either alphabet; '' where it is no text."""
    plain = run.translate({ord("-"): "+", ord("_"): "/", **dict.fromkeys(map(ord, " \t\r\n="))})
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
