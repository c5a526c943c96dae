"""Words of a text, as keywords are compared."""

import re
import unicodedata
from typing import Final

LONGEST: Final = 64  # characters of a word that count
_WORD: Final = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text, folded (Unicode, UAX #15 form KC, case folding), in their order."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word[:LONGEST] for word in _WORD.findall(folded)]
