"""Passages: a text in pieces that are found by themselves.

Rules: nothing of a text is lost but spaces between pieces; a piece ends where a paragraph, a sentence or a word does, as far as
there is one. The same text has the same pieces.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

SIZE: Final = 1_000  # characters of a passage, about
LONGEST: Final = 1_500  # of any passage
MOST: Final = 10_000  # of one document
_PARAGRAPHS: Final = re.compile(r"\n{2,}")
_SENTENCES: Final = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*")  # noqa: RUF001 - of Chinese and Japanese, which have no spaces


def passages(text: str) -> list[str]:
    """The passages of a text, in their order; one without words has none."""
    found: list[str] = []
    gathered, size = list[str](), 0
    for piece in _pieces(text):
        if gathered and size + len(piece) > SIZE:
            found.append("\n\n".join(gathered))
            gathered, size = [], 0
        gathered.append(piece)
        size += len(piece) + 2  # and the empty line between them
    return [*found, *(["\n\n".join(gathered)] if gathered else [])]


def _pieces(text: str) -> Iterator[str]:
    for paragraph in _PARAGRAPHS.split(text):
        stripped = paragraph.strip()
        if len(stripped) <= LONGEST:
            if stripped:
                yield stripped
            continue
        yield from _cut(stripped)


def _cut(paragraph: str) -> Iterator[str]:
    """A paragraph that is too long, by sentences; a sentence that is, by words; a word that is, anywhere."""
    gathered = ""
    for sentence in _SENTENCES.split(paragraph):
        rest = sentence
        while len(rest) > LONGEST:
            if gathered:
                yield gathered
                gathered = ""
            at = _end(rest)
            yield rest[:at].strip()
            rest = rest[at:].strip()
        if gathered and len(gathered) + 1 + len(rest) > SIZE:
            yield gathered
            gathered = rest
        else:
            gathered = f"{gathered} {rest}".strip()
    if gathered:
        yield gathered


def _end(text: str) -> int:
    """Where a sentence that is too long is cut: after a word, else before a character with all its marks."""
    at = max(text.rfind(each, 1, SIZE) for each in " \n\t")
    if at > 0:
        return at
    at = SIZE
    while at > SIZE // 2 and unicodedata.combining(text[at]):
        at -= 1
    return at
