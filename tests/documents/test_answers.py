"""What reads documents may be taken over by one: what it answers then is no answer, and the gateway goes on."""

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest

from nomoat.core.errors import Unavailable
from nomoat.documents.read import Read, Unreadable
from nomoat.server.documents import DocumentReader
from nomoat.server.scanning import ScannerProcess
from nomoat.server.zygote import Zygote
from tests.documents.lying import LIES, RAW

ROOT = Path(__file__).parents[2]


class Lying(ScannerProcess):
    """The process of `tests.documents.lying`."""

    def __init__(self) -> None:
        Zygote.__init__(self, "tests.documents.lying", {"PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="module")
def lying() -> Iterator[ScannerProcess]:
    process = Lying()
    yield process
    process.end()


def test_what_is_answered_properly_is_taken(lying: ScannerProcess) -> None:
    read = asyncio.run(DocumentReader(lying).read("honest", b"x"))
    assert (read.title, read.text, read.attributes) == ("t", "words", {"year": 2026})


@pytest.mark.parametrize("lie", [*(each for each in LIES if each != "honest"), *RAW])
def test_attack_a_reader_that_was_taken_over_answers_nonsense(lying: ScannerProcess, lie: str) -> None:
    asked: Coroutine[object, object, Read] = (
        _ended(lying) if lie == "silent" else DocumentReader(lying).read(lie, b"x" * 65_536)
    )
    with pytest.raises(Unreadable, match="ended without an answer"):
        asyncio.run(asked)
    assert asyncio.run(DocumentReader(lying).read("honest", b"x")).text == "words"


async def _ended(lying: ScannerProcess) -> Read:
    reading = asyncio.ensure_future(DocumentReader(lying).read("silent", b"x"))
    await asyncio.sleep(0.1)
    lying.end()
    return await reading


def test_a_gateway_without_what_reads_documents_says_what_it_lacks() -> None:
    reader = DocumentReader(ScannerProcess("nomoat.server.is_not_there"))
    with pytest.raises(Unavailable, match=r"nomoat\[retrieval\]"):
        asyncio.run(reader.read("a.txt", b"x"))
