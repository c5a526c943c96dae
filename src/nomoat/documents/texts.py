"""Texts as a reader sees them: one form of each character, and none that is not seen.

Rules: what is indexed is what is seen. Control characters, those without width and those that turn the direction of what
follows are left out, and counted: instructions hide in them.
"""

import re
import unicodedata
from typing import Final

_LINES: Final = re.compile(r"[ \t]*\n")
_GAPS: Final = re.compile(r"\n{3,}")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def seen(text: str) -> tuple[str, int]:
    """A text without what nobody sees (Unicode, UAX #15 form NFC), and how many characters that was."""
    plain = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = "".join([each for each in plain if each in "\n\t" or unicodedata.category(each) not in _UNSEEN])
    settled = _GAPS.sub("\n\n", _LINES.sub("\n", kept)).strip()
    return settled, len(plain) - len(kept)


def decoded(content: bytes, charset: str = "") -> str:
    """Bytes as text: UTF-8 with or without a mark, UTF-16 with one, else as they say, else Windows-1252."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    for encoding in ("utf-8", charset):
        try:
            return content.decode(encoding)
        except (UnicodeDecodeError, LookupError, ValueError):
            continue
    return content.decode("cp1252", "replace")
