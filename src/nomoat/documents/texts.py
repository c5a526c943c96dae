"""Texts as a reader sees them: one form of each character, and none that is not seen.

Rules: what is indexed is what is seen. Characters without a shape (controls, those without width, those that turn the direction
of what follows, variation selectors, tags, surrogates, private ones) are left out, and counted: instructions hide in them.
Which these are is Unicode's `Default_Ignorable_Code_Point`, and the general categories Cc, Cf, Co and Cs but for the few
signs of Cf that are drawn.
"""

import re
import unicodedata
from codecs import lookup
from typing import Final

MOST_MARKS: Final = 30
"""That follow a character, as of Unicode's Stream-Safe Text Format (UAX #15): putting them in order takes the square."""

_UNSEEN: Final = re.compile(
    "[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)
_BREAKS: Final = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_SPACES: Final = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]")
_GAPS: Final = re.compile(r"\n{3,}")
_PERHAPS_MARKS: Final = re.compile(rf"[^\w\s\x00-\x7f]{{{MOST_MARKS + 1},}}")
# What is written in these is UTF-8 as well, and says something else as such.
_SEVEN_BITS: Final = ("iso2022", "hz", "utf-16", "utf-32")
# Python has these besides; no program that shows mails or pages has.
_NO_CHARSETS: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})


def seen(text: str) -> tuple[str, int]:
    """A text without what nobody sees (Unicode, UAX #15 form NFC), and how many characters that was."""
    plain = _SPACES.sub(" ", _BREAKS.sub("\n", text))
    kept = _PERHAPS_MARKS.sub(_few_marks, _UNSEEN.sub("", plain))
    lines = "\n".join([line.rstrip() for line in unicodedata.normalize("NFC", kept).split("\n")])
    return _GAPS.sub("\n\n", lines).strip(), len(plain) - len(kept)


def is_seen(text: str) -> bool:
    """Whether nothing of a text is unseen."""
    return _UNSEEN.search(text) is None


def one_line(text: str) -> str:
    """A title, a name: what is seen of it, on one line."""
    return " ".join(seen(text)[0].split())


def _few_marks(found: re.Match[str]) -> str:
    kept, marks = list[str](), 0
    for each in found[0]:
        marks = marks + 1 if unicodedata.combining(each) else 0
        if marks <= MOST_MARKS:
            kept.append(each)
    return "".join(kept)


def decoded(content: bytes, charset: str = "") -> str:
    """Bytes as text: as their mark says, else UTF-8 if they are that, else as `charset` says, else Windows-1252."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    said = _known(charset)
    for encoding in (said, "utf-8") if said.startswith(_SEVEN_BITS) else ("utf-8", said):
        try:
            return content.decode(encoding)
        except (UnicodeDecodeError, LookupError, ValueError):
            continue
    return content.decode("cp1252", "replace")


def _known(charset: str) -> str:
    """The name of a character set that mails and pages are written in, or one that there is not."""
    try:
        name = lookup(charset).name if charset.isascii() and len(charset) < 40 else ""
    except (LookupError, ValueError):
        return ""
    return "" if name in _NO_CHARSETS else name
