"""Words of a text, as keywords are compared; and their numbers in an index."""

import re
import threading
import unicodedata
from collections.abc import Iterable
from typing import Final, final

LONGEST: Final = 64  # characters of a word that count
_WORD: Final = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text, folded (Unicode, UAX #15 form KC, case folding), in their order."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word[:LONGEST] for word in _WORD.findall(folded)]


@final
class Vocabulary:
    """The words of an index, numbered as they come. Words join it in any thread."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()

    def get(self, word: str) -> int | None:
        """The number of a word; None where it was never in the index."""
        return self._numbers.get(word)

    def numbers(self, words: Iterable[str]) -> list[int]:
        """The number of each word; those that are new join."""
        with self._lock:
            return [self._numbers.setdefault(word, len(self._numbers)) for word in words]
