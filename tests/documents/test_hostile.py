"""Documents that are made to harm what reads them: in a process apart, each ends with a word, and the next one is read."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from nomoat.documents.read import Unreadable
from nomoat.server.documents import MODULE, DocumentReader
from nomoat.server.scanning import ScannerProcess
from tests.documents.made import bomb, laughs, mail, pdf, word


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bomb.docx", bomb()),
        ("laughs.docx", laughs()),
        ("looped.pdf", pdf("x").replace(b"/Parent 2 0 R", b"/Parent 3 0 R").replace(b"[3 0 R]", b"[2 0 R]")),
        ("counted.pdf", pdf("x").replace(b"/Count 1", b"/Count 999999999")),
        ("headers.eml", b"From: a@b.example\n" + b"X: y\n" * 200_000),
        ("nested.eml", nested(10_000)),
        ("deep.html", b"<div>" * 1_000_000),
        ("front.md", b"---\n" + b"[" * 60_000 + b"\n---\nx"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_attack_a_document_that_takes_too_much(process: ScannerProcess, name: str, content: bytes) -> None:
    with suppress(Unreadable):
        assert len(read(process, name, content)) < 1_000
    assert read(process, "after.txt", b"after") == "after"


def test_attack_a_document_that_has_a_file_of_the_gateway_s(process: ScannerProcess) -> None:
    try:
        said = read(process, "x.docx", laughs("file:///etc/passwd"))
    except Unreadable:
        return
    assert "root:" not in said


def test_a_document_whose_reader_is_killed_is_refused_and_the_next_one_read(process: ScannerProcess) -> None:
    async def killed() -> None:
        reading = asyncio.ensure_future(DocumentReader(process).read("a.html", b"<div>" * 3_000_000))
        await asyncio.sleep(0.2)
        process.end()
        with pytest.raises(Unreadable, match=r"without an answer|too"):
            await reading

    asyncio.run(killed())
    assert read(process, "after.txt", b"after") == "after"
