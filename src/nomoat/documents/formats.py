"""Formats: which one a document has, and what reads it.

Rules: a name says which format is meant, and the content has to begin as that one does: a file that is something else is
refused. What a reader of the document would not see is not read, as far as each format says.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

import pypdf

from nomoat.documents import front_matter, html, mail, word
from nomoat.documents.read import LONGEST_TEXT, LONGEST_TITLE, Read, Unreadable
from nomoat.documents.texts import decoded, one_line, seen

MOST_PAGES: Final = 5_000
MOST_MAILS: Final = 2  # in each other

_OTHERS: Final = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\xd0\xcf\x11\xe0", "an office document of the old kind"),
    (b"{\\rtf", "RTF"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x7fELF", "a program"),
)
_MARKS_16: Final = (b"\xff\xfe", b"\xfe\xff")


def read(name: str, content: bytes) -> Read:
    """What a document says. Raises `Unreadable`."""
    return _read(name, content, 0)


def _read(name: str, content: bytes, mails: int) -> Read:
    suffix = PurePosixPath(name).suffix.lower()
    reader = READERS.get(suffix)
    if reader is None:
        raise Unreadable(f"{suffix or 'a file without an ending'} is not read; there are {', '.join(sorted(READERS))}")
    if reader not in (_pdf, _word):
        _require_text(content, suffix)
    try:
        found = _mail(name, content, mails) if reader is _mail else reader(name, content)
    except Unreadable:
        raise
    except (MemoryError, RecursionError):
        raise Unreadable("it takes too much to be read") from None
    except Exception as error:  # noqa: BLE001 - of parsers of anybody's bytes
        raise Unreadable(f"it is no {suffix[1:]} that can be read ({type(error).__name__})") from None
    if len(found.text) > LONGEST_TEXT:
        raise Unreadable(f"it has more than {LONGEST_TEXT:,} characters")
    return replace(found, title=one_line(found.title)[:LONGEST_TITLE] or PurePosixPath(name).stem)


def _require_text(content: bytes, suffix: str) -> None:
    kind = next((what for magic, what in _OTHERS if content.startswith(magic)), None)
    if kind is not None:
        raise Unreadable(f"it is {kind} and no {suffix[1:]}; give it the name that it should have")
    if b"\0" in content[:4096] and not content.startswith(_MARKS_16):
        raise Unreadable("it is no text")


def _plain(_name: str, content: bytes) -> Read:
    text, hidden = seen(decoded(content))
    return Read("", text, hidden=hidden)


def _markdown(_name: str, content: bytes) -> Read:
    front, rest = front_matter.parted(decoded(content).replace("\r\n", "\n"))
    text, hidden = seen(rest)
    title = front.get("title")
    heading = next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), "")
    return Read(
        title if isinstance(title, str) else heading,
        text,
        front_matter.attributes(front),
        front_matter.declared(front),
        hidden=hidden,
    )


def _html(_name: str, content: bytes) -> Read:
    page = html.page(content)
    text, hidden = seen(page.text)
    return Read(page.title, text, hidden=hidden + page.hidden)


def _pdf(_name: str, content: bytes) -> Read:
    if b"%PDF-" not in content[:1024]:
        raise Unreadable("it does not begin as a PDF does")
    document = pypdf.PdfReader(io.BytesIO(content))
    if document.is_encrypted and not document.decrypt(""):
        raise Unreadable("it is locked with a password")
    if len(document.pages) > MOST_PAGES:
        raise Unreadable(f"it has more than {MOST_PAGES:,} pages")
    pages, length = list[str](), 0
    for page in document.pages:
        pages.append(page.extract_text())
        length += len(pages[-1])
        if length > LONGEST_TEXT:
            raise Unreadable(f"it has more than {LONGEST_TEXT:,} characters")
    text, hidden = seen("\n\n".join(pages))
    title = document.metadata.title if document.metadata else None
    return Read(title if isinstance(title, str) else "", text, hidden=hidden)


def _word(_name: str, content: bytes) -> Read:
    if not content.startswith(b"PK"):
        raise Unreadable("it does not begin as a Word document does")
    return word.read("", content)


def _mail(name: str, content: bytes, mails: int = 0) -> Read:
    def attached(attachment: str, inner: bytes) -> str:
        is_mail = PurePosixPath(attachment).suffix.lower() == ".eml"
        return _read(attachment, inner, mails + 1).text if not is_mail or mails < MOST_MAILS else ""

    return mail.read(PurePosixPath(name).stem, content, attached)


READERS: Final[Mapping[str, Callable[[str, bytes], Read]]] = {
    **dict.fromkeys((".txt", ".text", ".log", ".csv", ".rst"), _plain),
    **dict.fromkeys((".md", ".markdown"), _markdown),
    **dict.fromkeys((".html", ".htm"), _html),
    ".pdf": _pdf,
    ".docx": _word,
    ".eml": _mail,
}
"""What reads a document, by the ending of its name."""
