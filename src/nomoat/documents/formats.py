"""Formats: which one a document has, and what reads it.

Rules: a name says which format is meant, and the content has to begin as that one does: a file that is something else is
refused. What a reader of the document would not see (comments, scripts, what is styled away) is not read.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import docx
import pypdf
from docx.table import Table
from selectolax.lexbor import LexborHTMLParser

from nomoat.documents import front_matter, mail
from nomoat.documents.read import LONGEST_TEXT, Read, Unreadable
from nomoat.documents.texts import decoded, seen

MOST_PAGES: Final = 5_000
MOST_UNPACKED: Final = 256 << 20  # bytes of a Word document
MOST_NODES: Final = 2_000_000

_UNSEEN: Final = "script, style, noscript, template, head, svg, iframe, object, [hidden], [aria-hidden=true]"
_BLOCKS: Final = frozenset(
    [
        "p",
        "div",
        "li",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "tr",
        "br",
        "section",
        "article",
        "header",
        "footer",
        "table",
        "blockquote",
        "pre",
        "dt",
        "dd",
        "hr",
        "ul",
        "ol",
    ]
)
_STYLED_AWAY: Final = ("display:none", "visibility:hidden", "font-size:0", "opacity:0")


def read(name: str, content: bytes) -> Read:
    """What a document says. Raises `Unreadable`."""
    suffix = PurePosixPath(name).suffix.lower()
    reader = READERS.get(suffix)
    if reader is None:
        raise Unreadable(f"{suffix or 'a file without an ending'} is not read; there are {', '.join(sorted(READERS))}")
    try:
        found = reader(name, content)
    except Unreadable:
        raise
    except (MemoryError, RecursionError):
        raise Unreadable("it takes too much to be read") from None
    except Exception as error:  # noqa: BLE001 - of parsers of anybody's bytes
        raise Unreadable(f"it is no {suffix[1:]} that can be read ({type(error).__name__})") from None
    if len(found.text) > LONGEST_TEXT:
        raise Unreadable(f"it has more than {LONGEST_TEXT:,} characters")
    return found


def _plain(name: str, content: bytes) -> Read:
    if b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("it is no text")
    text, hidden = seen(decoded(content))
    return Read(_stem(name), text, hidden=hidden)


def _markdown(name: str, content: bytes) -> Read:
    front, rest = front_matter.parted(decoded(content).replace("\r\n", "\n"))
    text, hidden = seen(rest)
    title = front.get("title")
    heading = next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), "")
    return Read(
        str(title) if isinstance(title, str) else heading or _stem(name),
        text,
        front_matter.attributes(front),
        front_matter.declared(front),
        hidden=hidden,
    )


def html_text(markup: str) -> tuple[str, str]:
    """The title and the text of a page, of what is seen of it."""
    tree = LexborHTMLParser(markup)
    title = tree.css_first("title")
    named = title.text(strip=True) if title is not None else ""
    for node in tree.css(_UNSEEN):
        node.decompose()
    for node in tree.css("[style]"):
        style = (node.attributes.get("style") or "").replace(" ", "").lower()
        if any(away in style for away in _STYLED_AWAY):
            node.decompose()
    parts: list[str] = []
    root = tree.body or tree.root
    for number, node in enumerate(root.traverse(include_text=True) if root is not None else ()):
        if number > MOST_NODES:
            raise Unreadable("it has too many elements")
        if node.tag in _BLOCKS:
            parts.append("\n" if node.tag in {"br", "li", "tr"} else "\n\n")
        elif node.tag == "-text":
            parts.append(" ".join((node.text_content or "").split()) + " ")
    return named, "".join(parts)


def _html(name: str, content: bytes) -> Read:
    title, text = html_text(decoded(content))
    said, hidden = seen("\n".join(line.strip() for line in text.splitlines()))
    return Read(title or _stem(name), said, hidden=hidden)


def _pdf(name: str, content: bytes) -> Read:
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
    return Read(title if isinstance(title, str) and title.strip() else _stem(name), text, hidden=hidden)


def _word(name: str, content: bytes) -> Read:
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        if sum(part.file_size for part in parts.infolist()) > MOST_UNPACKED:
            raise Unreadable(f"unpacked it has more than {MOST_UNPACKED >> 20} MiB")
    document = docx.Document(io.BytesIO(content))
    text, hidden = seen("\n\n".join(_paragraphs(document)))
    title = document.core_properties.title
    return Read(title or _stem(name), text, hidden=hidden)


def _paragraphs(document: Any) -> Iterator[str]:
    for part in document.iter_inner_content():
        if isinstance(part, Table):
            yield "\n".join(" | ".join(cell.text for cell in row.cells) for row in part.rows)
        else:
            yield part.text


def _mail(name: str, content: bytes) -> Read:
    def attached(attachment: str, inner: bytes) -> str:
        return read(attachment, inner).text if not attachment.lower().endswith(".eml") else ""

    return mail.read(name, content, lambda markup: html_text(markup)[1], attached)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


READERS: Final[Mapping[str, Callable[[str, bytes], Read]]] = {
    **dict.fromkeys((".txt", ".text", ".log", ".csv", ".rst"), _plain),
    **dict.fromkeys((".md", ".markdown"), _markdown),
    **dict.fromkeys((".html", ".htm"), _html),
    ".pdf": _pdf,
    ".docx": _word,
    ".eml": _mail,
}
"""What reads a document, by the ending of its name."""
