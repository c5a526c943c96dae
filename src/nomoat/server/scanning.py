"""Having contents scanned: the scanner's process is started when there is something to look at, and asked.

Rules: what comes back is a claim of a process that read hostile bytes, so it is parsed as strictly as a stranger's.
No answer, a late one or a wrong one is `unscannable`, never clean. The process that was asked holds no key: it is given
the ranges that it asks for, of the contents in question and of no other.
"""

import asyncio
import json
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from socket import socket
from typing import Final, final

from nomoat.core import claims
from nomoat.core.errors import Corrupt, Unavailable
from nomoat.core.verdict import LONGEST_WHAT, MOST_FINDINGS, Finding, Report, Scannable, Verdict
from nomoat.server.zygote import Zygote

LONGEST_S: Final = 300.0
AT_ONCE: Final = 2
LARGEST_READ: Final = 4 << 20
LONGEST_ANSWER: Final = 4 << 20
READ_AGAIN: Final = 4
"""How often as much as it has may be read of a content: parsers go back, an endless one ends."""

UNSCANNED: Final = ""
"""The format of what was not looked at: somebody will (`nomoat.stores.unscanned`)."""

_log = logging.getLogger("nomoat")


class ScannerProcess(Zygote):
    """The process that looks at contents. One serves as many gateways as there are in this process.

    `module` is what it runs, one that serves questions as the scanner does.
    """

    def __init__(self, module: str = "nomoat.server.scanner") -> None:
        super().__init__(module)


@final
class Scanner:
    """Has contents looked at, a few at a time."""

    def __init__(self, process: ScannerProcess) -> None:
        self._process = process
        self._room = asyncio.Semaphore(AT_ONCE)

    async def scan(self, contents: Sequence[Scannable]) -> list[Report]:
        """Look at contents of one author; what cannot be looked at is `unscannable`, and is so said.

        Raises `Corrupt` or `Unavailable` when a content cannot be read.
        """
        if not contents:
            return []
        async with self._room:
            try:
                async with asyncio.timeout(LONGEST_S):
                    return await self._asked(contents)
            except (Corrupt, Unavailable):
                raise
            except TimeoutError:
                why = f"looking at it took longer than {LONGEST_S:.0f} s"
            except (OSError, EOFError, ValueError, TypeError, KeyError) as error:
                why = f"the scanner gave no answer ({type(error).__name__})"
        _log.warning("a content could not be scanned: %s", why)
        return [Report.of(UNSCANNED, [Finding(Verdict.UNSCANNABLE, "scanner.failed", "", why)]) for _ in contents]

    async def _asked(self, contents: Sequence[Scannable]) -> list[Report]:
        line = await asked(self._process, [content.size for content in contents], contents)
        return _reports(line, len(contents))


async def asked(process: ScannerProcess, question: object, contents: Sequence[Scannable]) -> bytes:
    """Ask about contents (the question is JSON) and return the line that is answered.

    Raises `OSError`, `EOFError` or `ValueError` when there is no proper answer, `Corrupt` or `Unavailable` when a
    content cannot be read.
    """
    return await answered(await asyncio.to_thread(process.ask), question, contents)


async def answered(
    channel: socket, question: object, contents: Sequence[Scannable], longest: int = LONGEST_ANSWER
) -> bytes:
    """Ask a child that was made for it, as `asked` does; `longest` is how many bytes it may answer."""
    reader, writer = await asyncio.open_connection(sock=channel, limit=longest)
    try:
        writer.write(json.dumps(question).encode() + b"\n")
        return await serve_ranges(reader, writer, contents)
    finally:
        # What a child does not take is not waited for; one that is still at work ends at its next question, or at its limit.
        writer.transport.abort()


async def serve_ranges(reader: StreamReader, writer: StreamWriter, contents: Sequence[Scannable]) -> bytes:
    """Serve ranges of contents until the answer comes, a line of JSON.

    Raises `EOFError` when none does, `ValueError` for a range that is not there or one too many.
    """
    left = [READ_AGAIN * content.size + LARGEST_READ for content in contents]
    while True:
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        if line.startswith((b"[", b"{")):
            return line
        number, offset, length = map(int, line.split())
        if number not in range(len(contents)) or not 0 < length <= LARGEST_READ:
            raise ValueError(number)
        content = contents[number]
        left[number] -= length
        if left[number] < 0 or not 0 <= offset <= content.size - length:
            raise ValueError(offset)
        writer.write(content.read(offset, length))
        await writer.drain()
        await asyncio.sleep(0)  # large contents must not starve small requests


def _reports(line: bytes, count: int) -> list[Report]:
    answers = claims.items(claims.parse(line), count)
    if len(answers) != count:
        raise ValueError(count)
    return [_report(answer) for answer in answers]


def _report(answer: object) -> Report:
    said = claims.table(answer)
    findings = claims.items(said["findings"], MOST_FINDINGS)
    return Report.of(claims.text(said["format"], LONGEST_WHAT), map(_finding, findings))


def _finding(answer: object) -> Finding:
    verdict, rule, where, what = [claims.text(each, LONGEST_WHAT) for each in claims.items(answer, 4)]
    return Finding(Verdict(verdict), rule, where, what)
