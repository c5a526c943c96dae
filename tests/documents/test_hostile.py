"""Documents that are made to harm what reads them: in a process apart, each ends with a word, and the next one is read."""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from nomoat.documents.read import LONGEST_TEXT, Unreadable
from nomoat.server.documents import MODULE, DocumentReader
from nomoat.server.scanning import ScannerProcess
from tests.documents.made import body, bomb, laughs, mail, pdf, pdf_of, quine, word, word_of


@pytest.fixture(scope="module")
def process() -> Iterator[ScannerProcess]:
    process = ScannerProcess(MODULE)
    yield process
    process.end()


def read(process: ScannerProcess, name: str, content: bytes) -> str:
    return asyncio.run(DocumentReader(process).read(name, content)).text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"plain words", "plain words"),
        ("a.md", b"---\nyear: 1\n---\n# A\n\nwords", "# A\n\nwords"),
        ("a.html", b"<p>words</p>", "words"),
        ("a.pdf", pdf("words"), "words"),
        ("a.docx", word("words"), "words\n\nleft | right"),
        ("a.eml", mail("subject", "words"), "subject\n\nwords\n\n[notes.txt]\n\nattached words"),
    ],
    ids=lambda each: each if isinstance(each, str) and "." in each and len(each) < 9 else "",
)
def test_every_format_is_read_where_nothing_else_can_be(
    process: ScannerProcess, name: str, content: bytes, said: str
) -> None:
    assert read(process, name, content) == said


def nested(depth: int) -> bytes:
    parts = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(depth))
    return f"From: a@b.example\n{parts}Content-Type: text/plain\n\nx\n".encode()


def brought(depth: int) -> bytes:
    """Mails in each other."""
    return b"From: a@b.example\n" + b"Content-Type: message/rfc822\n\nFrom: a@b.example\n" * depth + b"\nx"


def packed(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


FORM = (
    b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>/Length 5>>stream\n/X Do\nendstream"
)
FLATE = b"/Filter/FlateDecode"
HOSTILE: dict[str, Callable[[], bytes]] = {
    "bomb.docx": bomb,
    "larger-than-it-says.docx": quine,
    "entities.docx": laughs,
    "deep-xml.docx": lambda: word_of(body("<w:tbl><w:tr><w:tc>" * 5_000)),
    "bomb.pdf": lambda: pdf_of(packed(1 << 30), FLATE),
    "bomb-in-a-bomb.pdf": lambda: pdf_of(zlib.compress(packed(1 << 30), 9), b"/Filter[/FlateDecode/FlateDecode]"),
    "form-in-itself.pdf": lambda: pdf_of(b"/X Do", b"", FORM),
    "pages-in-themselves.pdf": lambda: pdf("x").replace(b"[3 0 R]", b"[2 0 R]"),
    "counted.pdf": lambda: pdf("x").replace(b"/Count 1", b"/Count 999999999"),
    "million-objects.pdf": lambda: pdf_of(b"BT ET", b"", *([b"null"] * 1_000_000))[: 16 << 20],
    "million-signs.pdf": lambda: pdf_of(b"BT /F1 12 Tf " + b"(x) Tj " * 1_000_000 + b" ET"),
    "arrays-in-arrays.pdf": lambda: pdf_of(b"[" * 1_000_000),
    "broken-xref.pdf": lambda: pdf("x").replace(b"0000000", b"9999999"),
    "looped-xref.pdf": lambda: pdf("x").replace(b"trailer<<", b"trailer<</Prev %d " % pdf("x").index(b"xref\n0")),
    "many-pages.pdf": lambda: pdf("x", pages=100_000),
    "many-headers.eml": lambda: b"From: a@b.example\n" + b"X: y\n" * 200_000,
    "long-header.eml": lambda: b"From: a@b.example\nTo: " + b"a@b.example, " * 200_000 + b"\n\nx",
    "comments-in-comments.eml": lambda: b"From: a@b.example\nTo: " + b"(" * 100_000 + b"\n\nx",
    "parts-in-parts.eml": lambda: nested(10_000),
    "mails-in-mails.eml": lambda: brought(10_000),
    "many-parts.eml": lambda: (
        b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 100_000
    ),
    "million-tags.html": lambda: b"<div>" * 1_000_000,
    "million-attributes.html": lambda: b"<p " + b"a=b " * 1_000_000 + b">x",
    "spaces.txt": lambda: b" " * (16 << 20) + b"x",
    "marks.txt": ("a" + "\u0300\u0316" * 290_000).encode,
    "deep-front-matter.md": lambda: b"---\n" + b"[" * 60_000 + b"\n---\nx",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_attack_a_document_that_takes_too_much(process: ScannerProcess, name: str) -> None:
    with suppress(Unreadable):
        assert len(read(process, name, HOSTILE[name]())) < 1_000
    assert read(process, "after.txt", b"after") == "after"


def test_attack_a_document_that_would_take_minutes_is_cut(process: ScannerProcess) -> None:
    """Sixty megabytes a page, a thousand times: within every limit of its parser."""
    with pytest.raises(Unreadable, match=r"took longer|without an answer"):
        read(process, "slow.pdf", pdf_of(packed(60 << 20), FLATE, pages=1_000))
    assert read(process, "after.txt", b"after") == "after"


def test_attack_a_text_of_the_characters_that_are_longest_between_processes(process: ScannerProcess) -> None:
    assert read(process, "faces.txt", ("\U0001f600" * LONGEST_TEXT).encode()) == "\U0001f600" * LONGEST_TEXT
    with pytest.raises(Unreadable, match="characters"):
        read(process, "more.txt", b"x" * (LONGEST_TEXT + 1))


def test_attack_a_document_that_has_a_file_of_the_gateway_s(process: ScannerProcess) -> None:
    try:
        said = read(process, "x.docx", laughs("file:///etc/passwd"))
    except Unreadable:
        return
    assert "root:" not in said


def test_a_document_whose_reader_is_killed_is_refused_and_the_next_one_read(process: ScannerProcess) -> None:
    async def killed() -> None:
        reading = asyncio.ensure_future(DocumentReader(process).read("a.html", b"<p>x</p>" * 600_000))
        await asyncio.sleep(0.2)
        process.end()
        with pytest.raises(Unreadable, match=r"without an answer|too"):
            await reading

    asyncio.run(killed())
    assert read(process, "after.txt", b"after") == "after"
