"""Reading documents: passages a second of CPU time, of each format, and what a process of its own adds to one."""

import asyncio
import time
from email.message import EmailMessage
from statistics import median

from bench.measure import Figure
from nomoat.documents.formats import read
from nomoat.documents.passages import passages
from nomoat.server.documents import MODULE, DocumentReader
from nomoat.server.scanning import ScannerProcess
from tests.documents.made import pdf_of, word

SENTENCE = "Travel is approved by whoever keeps the budget of the team; receipts are kept for ten years. "
PARAGRAPHS = 40  # of five sentences, 18 kB altogether
TARGET = 500  # passages a second, as ingestion is to have
RUNS = 15


def measure() -> list[Figure]:
    """Documents of eighteen kilobytes of text, of each format, in this process; then one in a process of its own."""
    figures = [_figure(name, content) for name, content in _documents().items()]
    return [*figures, _apart()]


def _documents() -> dict[str, bytes]:
    paragraphs = [SENTENCE * 5] * PARAGRAPHS
    plain = "\n\n".join(paragraphs)
    page = "<html><body>" + "".join(f"<p>{each.replace('budget', '<b>budget</b>')}</p>" for each in paragraphs)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@b.example", "c@b.example, d@b.example", "Travel"
    mail.set_content(plain)
    mail.add_alternative(page, subtype="html")
    lines = b"".join(b"(%s) Tj T*\n" % SENTENCE.encode() for _ in range(5))
    return {
        "a.txt": plain.encode(),
        "a.md": f"---\ntitle: Travel\nreaders: ['group:finance']\n---\n{plain}".encode(),
        "a.html": page.encode(),
        "a.eml": mail.as_bytes(),
        "a.docx": word(*paragraphs),
        "a.pdf": pdf_of(b"BT /F1 9 Tf 20 700 Td 12 TL\n" + lines + b"ET", pages=PARAGRAPHS),
    }


def _figure(name: str, content: bytes) -> Figure:
    took, count = list[float](), 0
    for _ in range(RUNS):
        before = time.process_time()
        count = len(passages(read(name, content).text))
        took.append(time.process_time() - before)
    each = median(took)
    remark = f"{1 / each:,.0f} documents/s of {count} passages, {len(content) / each / 1e6:.1f} MB/s"
    return Figure(f"read {name.removeprefix('a')}, CPU", count / each, "passages/s", "at least", TARGET, remark)


def _apart() -> Figure:
    process = ScannerProcess(MODULE)
    content = _documents()["a.txt"]

    async def timed() -> list[float]:
        reader, took = DocumentReader(process), list[float]()
        for _ in range(RUNS + 1):
            before = time.perf_counter()
            await reader.read("a.txt", content)
            took.append(time.perf_counter() - before)
        return took[1:]  # the first one starts the process

    try:
        each = median(asyncio.run(timed()))
    finally:
        process.end()
    return Figure("read .txt in a process of its own", each * 1000, "ms", "at most", 40, "elapsed; one document")
