"""Values that an administrator registered, and canaries: found again without being kept.

Rules: of a value nothing is kept but keyed hashes of its words, each with those before it, so that a text is compared word
by word and a value may have several. Case, accents and what stands between the words do not matter; a value is found
where its words are whole ones. A canary is found wherever it stands, as its form is known.
"""

import hashlib
import heapq
import re
import sys
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from nomoat.content.readings import folded
from nomoat.content.rules import Span
from nomoat.core.content import Finding
from nomoat.core.errors import Malformed
from nomoat.core.lineage import Label

MOST_VALUES: Final = 200_000
MOST_WORDS: Final = 16
SHORTEST: Final = 4  # letters and digits; fewer are found in every text
LONGEST: Final = 256  # characters
CANARY: Final = "nmcanary"
CANARY_LETTERS: Final = 24  # of base32: 120 bits
_CANARY: Final = re.compile(rf"{CANARY}[a-z2-7]{{{CANARY_LETTERS}}}", re.IGNORECASE | re.ASCII)
_WORD: Final = re.compile(r"[^\W_]+")
_SIZE: Final = 8  # bytes of a hash: that one of 10⁵ fits one of 10⁵ words by chance happens once in 10⁹ requests


class Hashes(NamedTuple):
    """The hashes of some values: of their first words, of all beginnings, and of whole ones; each sorted, packed."""

    first: bytes
    steps: bytes
    whole: bytes


@dataclass(frozen=True)
class Registration:
    """A set of values or a canary, as it is kept."""

    name: str
    label: Label
    canary: bool
    hashes: Hashes

    @cached_property
    def finding(self) -> Finding:
        """What its values are found as; a canary is nothing that could be taken out of a text that is meant."""
        kind = "canary" if self.canary else "value"
        return Finding(f"{kind}:{self.name}", self.label, redactable=not self.canary)

    @cached_property
    def unpacked(self) -> tuple["array[int]", "array[int]", "array[int]"]:
        """The hashes of first words, of beginnings and of whole values."""
        return _unpacked(self.hashes.first), _unpacked(self.hashes.steps), _unpacked(self.hashes.whole)


class Registered:
    """All that is registered, at one time; `generation` changes with it."""

    def __init__(self, generation: int = 0, key: bytes = b"", registrations: Sequence[Registration] = ()) -> None:
        self.generation = generation
        self._key = key
        self._sets = [each for each in registrations if not each.canary]
        self._canaries = [each for each in registrations if each.canary]
        self._first = array("Q", heapq.merge(*(each.unpacked[0] for each in self._sets)))

    def find(self, text: str) -> Iterator[Span]:
        """What is registered and stands in a text, by offsets of characters."""
        if self._canaries:
            yield from self._find_canaries(text)
        if self._sets:
            yield from self._find_values(text)

    def _find_canaries(self, text: str) -> Iterator[Span]:
        for match in _CANARY.finditer(text):
            state = step(self._key, 0, match[0])
            for each in self._canaries:
                if _has(each.unpacked[2], state):
                    yield Span(match.start(), match.end(), each.finding)

    def _find_values(self, text: str) -> Iterator[Span]:
        # Most words of a text begin nothing that is registered: each is looked up once.
        states = {word: step(self._key, 0, word) for word in set(_WORD.findall(text))}
        begins = {
            word: [each for each in self._sets if _has(each.unpacked[0], state)]
            for word, state in states.items()
            if _has(self._first, state)
        }
        if not begins:
            return
        words = list(_WORD.finditer(text))
        for place, word in enumerate(words):
            for each in begins.get(word[0], ()):
                if end := self._end(each, states[word[0]], words[place : place + MOST_WORDS]):
                    yield Span(word.start(), end, each.finding)

    def _end(self, registration: Registration, state: int, words: Sequence["re.Match[str]"]) -> int:
        """Where the longest value ends that begins with the first of the words; 0 where none does."""
        _, steps, whole = registration.unpacked
        end = 0
        for place, word in enumerate(words):
            state = step(self._key, state, word[0]) if place else state
            if _has(whole, state):
                end = word.end()
            if not _has(steps, state):
                break
        return end


def hashes_of(key: bytes, values: Iterable[str]) -> Hashes:
    """What is kept of some values. Raises `Malformed` for one that cannot be found again, by its number alone."""
    first, steps, whole = set[int](), set[int](), set[int]()
    for number, value in enumerate(values, 1):
        words = _WORD.findall(folded(value))
        if len(value) > LONGEST or len(words) > MOST_WORDS or sum(map(len, words)) < SHORTEST:
            said = f"value {number} is not one of {SHORTEST} letters and digits or more, at most {MOST_WORDS} words"
            raise Malformed(f"{said} and {LONGEST} characters")
        state = 0
        for place, word in enumerate(words):
            if place:
                steps.add(state)
            state = step(key, state, word)
            if not place:
                first.add(state)
        whole.add(state)
    return Hashes(*map(_packed, (first, steps, whole)))


def step(key: bytes, state: int, word: str) -> int:
    """The keyed hash of a word after those that `state` is of."""
    if not word.isascii():
        parts = unicodedata.normalize("NFKD", word)
        word = "".join(each for each in parts if unicodedata.category(each) != "Mn")
    said = state.to_bytes(_SIZE, "little") + word.casefold().encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(said, key=key, digest_size=_SIZE).digest(), "little")


def _has(states: "array[int]", state: int) -> bool:
    at = bisect_left(states, state)
    return at < len(states) and states[at] == state


def _packed(states: Iterable[int]) -> bytes:
    packed = array("Q", sorted(states))
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _unpacked(packed: bytes) -> "array[int]":
    states = array("Q")
    states.frombytes(packed)
    if sys.byteorder == "big":
        states.byteswap()
    return states
