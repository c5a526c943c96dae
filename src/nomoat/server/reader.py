"""The reader: a process of the gateway's own that reads documents which are to be indexed (`nomoat.documents`).

Rules: `python -P -m nomoat.server.reader`, started by the gateway when the first document comes, and by nothing else. It answers
as the scanner does (`nomoat.server.scanner`), a child for each document, confined before it reads a byte. A question is
`{"name": NAME, "size": SIZE}`; the answer is what was read, or `{"unreadable": WHY}`.
"""

import base64
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from nomoat.core.errors import NoMoatError
from nomoat.documents.formats import READERS, read
from nomoat.documents.read import Unreadable, described
from nomoat.server.scanner import Ranges, serve

NICENESS: Final = 10
"""Whoever searches comes first."""

MEMORY: Final = 512 << 20
CPU_S: Final = 30

PAGE: Final = (
    "JVBERi0xLjQKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRvYmoKMiAwIG9iago8PC9UeXBlL1BhZ2VzL0tpZHNbMyAwIFJd"
    "L0NvdW50IDE+PgplbmRvYmoKMyAwIG9iago8PC9UeXBlL1BhZ2UvUGFyZW50IDIgMCBSL01lZGlhQm94WzAgMCA5IDldPj4KZW5kb2JqCnRyYWlsZXI8"
    "PC9Sb290IDEgMCBSPj4K"
)
"""A PDF of one empty page: parsers import what they need when they first need it, and a confined child cannot."""


def _documents(channel: int) -> Callable[[object], Sequence[object]]:
    def documents(question: Any) -> Sequence[object]:
        content = Ranges(channel, 0, int(question["size"]))
        try:
            return [described(read(str(question["name"]), _all(content, int(question["size"]))))]
        except Unreadable as unreadable:
            return [{"unreadable": str(unreadable)}]

    return documents


def _all(content: Ranges, size: int) -> bytes:
    whole = bytearray(size)
    into, at = memoryview(whole), 0
    while at < size:
        got = content.readinto(into[at:])
        if not got:
            raise EOFError
        at += got
    return bytes(whole)


def warm() -> None:
    """Have every parser read something, so that what it imports is there."""
    samples = {".pdf": base64.b64decode(PAGE), ".html": b"<p>x</p>", ".eml": b"From: a@b.example\n\nx\n"}
    for suffix in READERS:
        with suppress(Unreadable):
            read(f"x{suffix}", samples.get(suffix, b"---\na: 1\n---\nx\n"))


if __name__ == "__main__":
    try:
        logging.disable()  # what parsers think of a document is nobody's to read
        warm()
        sys.exit(serve(_documents, NICENESS, memory=MEMORY, cpu_s=CPU_S))
    except (NoMoatError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
