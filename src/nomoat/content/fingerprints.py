"""Fingerprints of source code: winnowing over tokens (Schleimer, Wilkerson, Aiken, SIGMOD 2003), in two ways.

Rules: what formatters change is no token: space, quotes, commas, semicolons; comments are none either. `EXACT` grams are
of tokens as they are, `BLIND` ones of tokens with every name and number alike, so that renaming changes nothing. Of
each window of grams the smallest one stays: whatever two texts share for `REACH` tokens, they share a fingerprint of.
What is made here depends on no key; whoever keeps fingerprints puts a key over them first. This loads numpy: whoever knows
no source has no need of it, and imports it when there is one.
"""

import re
from enum import IntEnum
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint64]

WINDOW: Final = 10  # grams
SLICE: Final = 1 << 17  # bytes that are looked at together
_BASE: Final = 0x9E3779B97F4A7C15  # odd, as the next: so that each has an inverse modulo 2^64
_STEP: Final = 0xBF58476D1CE4E5B9
_BLOCK: Final = rb"/\*.*?\*/|"
_REST: Final = rb"""
    ^(?: [ \t]*[0-9]+ (?: \t | \xe2\x86\x92 | [ ]?[|:][ ] ) | \+(?!\+) | -(?!-) | > )
  | ^[ \t]*[rRbBuU]?(?: \"{3}(?=[^\s"]).*?\"{3} | '{3}(?=[^\s']).*?'{3} )
  | (?: (?<!:)// | \#[ !] | --[ ] | \#$ )[^\n]*
"""
"""Numbers and marks of lines, as tools and differences put them before code; texts that begin a line as those that document
do, with a word after the quotes, so that what closes one is not taken for what opens the next where a text begins in the
middle of it; comments of most languages."""
_FLAGS: Final = re.DOTALL | re.MULTILINE | re.VERBOSE
_COMMENT: Final = re.compile(_BLOCK + _REST, _FLAGS)
_LINE_COMMENT: Final = re.compile(_REST, _FLAGS)
_KEYWORDS: Final = (
    "abstract and as assert async await break case catch class const continue def default defer del delete do elif else "
    "enum except export extends false finally fn for foreach from func function go goto if impl implements import in "
    "instanceof interface is lambda let namespace new nil none not null or override package private protected public raise "
    "return static struct super switch template this throw throws trait true try typedef typeof union use using var virtual "
    "void while with yield False None True"
)
"""Words that nobody can call something else. Names of types are not among them: some languages have them as names."""


class Way(IntEnum):
    """How tokens are told apart; the value goes into each fingerprint's key, so that the ways share none."""

    EXACT = 1
    BLIND = 2

    @property
    def gram(self) -> int:
        """How many tokens a gram has."""
        return 15 if self is Way.EXACT else 25

    @property
    def reach(self) -> int:
        """How many tokens have to be shared for one fingerprint to be."""
        return self.gram + WINDOW - 1


def fingerprints(text: bytes) -> dict[Way, Words]:
    """The fingerprints of a text in UTF-8, by way, in their order; of one that is too short, none."""
    found = [_of_slice(part) for part in _slices(_bare(text))]
    return {way: np.concatenate([each[way] for each in found]) for way in Way}


def _bare(text: bytes) -> bytes:
    """A text without its comments, in time that is linear in its size."""
    # Beyond the last end of a comment no beginning is looked for: each would be followed to the end of the text.
    end = text.rfind(b"*/") + 2
    if end < 2:
        return _LINE_COMMENT.sub(b"\n", text)
    return _COMMENT.sub(b"\n", text[:end]) + _LINE_COMMENT.sub(b"\n", text[end:])


def _slices(text: bytes) -> list[bytes]:
    """Pieces of a text, each ending at a line's end where there is one near."""
    parts: list[bytes] = []
    at = 0
    while len(text) - at > SLICE:
        end = text.rfind(b"\n", at + SLICE // 2, at + SLICE) + 1 or at + SLICE
        parts.append(text[at:end])
        at = end
    return [*parts, text[at:]]


def _of_slice(text: bytes) -> dict[Way, Words]:
    tables = _tables()
    data = np.frombuffer(text, np.uint8)
    kinds = tables.kinds[data]
    word = kinds == _WORD
    before = np.empty_like(word)
    before[:1] = False
    before[1:] = word[:-1]
    starts = np.flatnonzero((word & ~before) | (kinds == _MARK))
    sums = np.zeros(len(data) + 1, np.uint64)
    np.cumsum(data * tables.powers[: len(data)], out=sums[1:])
    # A word ends before the first byte after it that belongs to none; a mark is one byte.
    outside = np.flatnonzero(~word)
    ends = starts + 1
    of_words = word[starts]
    following = np.append(outside, len(data))[np.searchsorted(outside, starts[of_words])]
    ends[of_words] = following
    tokens = _mixed((sums[ends] - sums[starts]) * tables.inverses[starts])
    names = of_words & ~np.isin(tokens, tables.keywords)
    blind = np.where(names, tables.name, tokens)
    return {Way.EXACT: _winnowed(tokens, Way.EXACT), Way.BLIND: _winnowed(blind, Way.BLIND)}


def _winnowed(tokens: Words, way: Way) -> Words:
    """The smallest gram of each window, once where windows that follow each other share it."""
    tables = _tables()
    count = len(tokens) - way.gram + 1
    if count < WINDOW:
        return np.zeros(0, np.uint64)
    sums = np.zeros(len(tokens) + 1, np.uint64)
    np.cumsum(tokens * tables.steps[: len(tokens)], out=sums[1:])
    grams = _mixed((sums[way.gram :] - sums[: -way.gram]) * tables.backs[:count])
    two = np.minimum(grams[:-1], grams[1:])
    four = np.minimum(two[:-2], two[2:])
    eight = np.minimum(four[:-4], four[4:])
    least = np.minimum(eight[:-2], two[8:])
    return least[np.flatnonzero(np.append(True, least[1:] != least[:-1]))]


def _mixed(values: Words) -> Words:
    """Spread over all bits (the finisher of SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_SPACE, _WORD, _MARK = range(3)


class _Tables:
    """What does not depend on the text."""

    def __init__(self) -> None:
        self.kinds = np.full(256, _MARK, np.uint8)
        for byte in b" \t\r\n\f\v\0\"'`,;\\":
            self.kinds[byte] = _SPACE
        for byte in range(256):
            if byte >= 0x80 or chr(byte).isalnum() or byte == ord("_"):
                self.kinds[byte] = _WORD
        self.powers, self.inverses = _geometric(_BASE), _geometric(pow(_BASE, -1, 1 << 64))
        self.steps, self.backs = _geometric(_STEP), _geometric(pow(_STEP, -1, 1 << 64))
        self.keywords = np.sort(np.array([self._token(word.encode()) for word in _KEYWORDS.split()], np.uint64))
        self.name = np.uint64(self._token(b"\xff"))

    def _token(self, word: bytes) -> int:
        total = sum(byte * pow(_BASE, place, 1 << 64) for place, byte in enumerate(word)) % (1 << 64)
        return int(_mixed(np.array([total], np.uint64))[0])


def _geometric(ratio: int) -> Words:
    """1, ratio, ratio², … modulo 2^64, for every place of a slice."""
    values = np.full(SLICE + 1, ratio, np.uint64)
    values[0] = 1
    return np.multiply.accumulate(values)


@cache
def _tables() -> _Tables:
    return _Tables()
