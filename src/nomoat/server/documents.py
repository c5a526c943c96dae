"""Having documents read: the reader's process is started when the first one comes, and asked.

Rules: as of a scan (`nomoat.server.scanning`): what comes back is parsed as strictly as a stranger's, and whatever nobody would see
in it makes it no answer. No proper answer is a document that cannot be read; without a process that reads, none can.
"""

import asyncio
from typing import Final, final

from nomoat.core import claims
from nomoat.core.errors import Unavailable
from nomoat.core.verdict import Scannable
from nomoat.documents.read import (
    LONGEST_TEXT,
    LONGEST_TITLE,
    MOST_ATTRIBUTES,
    MOST_EXACT,
    MOST_PEOPLE,
    Attribute,
    Declared,
    Read,
    Unreadable,
)
from nomoat.documents.texts import is_seen
from nomoat.server.scanning import ScannerProcess, answered

MODULE: Final = "nomoat.server.reader"
LONGEST_S: Final = 60.0
AT_ONCE: Final = 2
MISSING: Final = (
    "its process does not start; it needs pip install 'nomoat[retrieval]', and libseccomp (Debian: libseccomp2)"
)
LONGEST_WHY: Final = 300
LONGEST_ANSWER: Final = 16 << 20  # bytes: the longest text has 12 for a character of some scripts, as JSON


@final
class DocumentReader:
    """Has documents read, a few at a time."""

    def __init__(self, process: ScannerProcess) -> None:
        self._process = process
        self._room = asyncio.Semaphore(AT_ONCE)

    async def read(self, name: str, content: bytes) -> Read:
        """What a document says.

        Raises `Unreadable`, which may be told to who sent it, and `Unavailable` when there is nothing that reads.
        """
        async with self._room:
            try:
                channel = await asyncio.to_thread(self._process.ask)
            except OSError:
                raise Unavailable("reading documents", MISSING) from None
            try:
                async with asyncio.timeout(LONGEST_S):
                    question = {"name": name, "size": len(content)}
                    line = await answered(channel, question, [_scannable(content)], LONGEST_ANSWER)
                    return await asyncio.to_thread(_parsed, line)
            except Unreadable:
                raise
            except TimeoutError:
                raise Unreadable(f"reading it took longer than {LONGEST_S:.0f} s") from None
            except (OSError, EOFError, ValueError, TypeError, KeyError):
                raise Unreadable("what reads it ended without an answer: it takes too much, or is hostile") from None


def _scannable(content: bytes) -> Scannable:
    def some(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    return Scannable(len(content), some)


def _parsed(line: bytes) -> Read:
    (answer,) = map(claims.table, claims.items(claims.parse(line), 1))
    if "unreadable" in answer:
        raise Unreadable(claims.shown(answer["unreadable"], LONGEST_WHY))
    said = claims.table(answer["declared"])
    readers = None if said["readers"] is None else tuple(_words(said["readers"]))
    return Read(
        title=claims.shown(answer["title"], LONGEST_TITLE),
        text=_long(answer["text"]),
        attributes=_attributes(answer["attributes"]),
        declared=Declared(
            claims.shown(said["classification"], 64),
            tuple(_words(said["labels"])),
            claims.shown(said["owner"], 256),
            readers,
        ),
        people=tuple(_words(answer["people"])),
        hidden=claims.count(answer["hidden"]),
    )


def _long(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not is_seen(value):
        raise ValueError("no text")
    return value


def _words(value: object) -> list[str]:
    return [claims.shown(each, 256) for each in claims.items(value, MOST_PEOPLE)]


def _attributes(value: object) -> dict[str, Attribute]:
    found = claims.table(value)
    if len(found) > MOST_ATTRIBUTES:
        raise ValueError("too many attributes")
    made: dict[str, Attribute] = {}
    for name, each in found.items():
        made[claims.shown(name, 64)] = _attribute(each)
    return made


def _attribute(value: object) -> Attribute:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return claims.number(value) if isinstance(value, float) else _whole(value)
    return claims.shown(value, 512)


def _whole(value: int) -> int:
    if abs(value) > MOST_EXACT:
        raise ValueError("no number")
    return value
