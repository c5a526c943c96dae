"""Having the numbers of files found: the tabulator's process is started when there is something to find, and asked.

Rules: what comes back is a claim of a process that read hostile bytes. It is not read here but where noise is drawn
(`nomoat.server.releaser`), so that exact numbers are in no process that answers anybody.
"""

import asyncio
from typing import Final, final

from nomoat.core import claims
from nomoat.core.errors import Conflict, Corrupt, Unavailable
from nomoat.core.verdict import Scannable
from nomoat.resources.metrics.mechanism import Question, dump_question
from nomoat.server.scanning import ScannerProcess, serve_ranges

LONGEST_S: Final = 600.0
AT_ONCE: Final = 2
LONGEST_ANSWER: Final = 96 << 20
MODULE: Final = "nomoat.server.tabulator"

_LACKS: Final = {
    "column": "a file of this version lacks a column of the metric, or it has no numbers",
    "table": "a file of this version cannot be read as a table",
    "room": "a file of this version has more rows than are counted by person",
}


@final
class Tabulator:
    """Has files looked at, a few at a time."""

    def __init__(self, process: ScannerProcess) -> None:
        self._process = process
        self._room = asyncio.Semaphore(AT_ONCE)

    async def tabulate(self, question: Question, content: Scannable) -> bytes:
        """Find the numbers of one file. Raises `Conflict` for what the file lacks, `Corrupt`, `Unavailable`."""
        async with self._room:
            try:
                async with asyncio.timeout(LONGEST_S):
                    return await self._asked(question, content)
            except (Conflict, Corrupt, Unavailable):
                raise
            except TimeoutError:
                why = f"counting took longer than {LONGEST_S:.0f} s"
            except (OSError, EOFError, ValueError, TypeError, KeyError) as error:
                why = f"the process that counts gave no answer ({type(error).__name__})"
        raise Unavailable("metrics", why)

    async def _asked(self, question: Question, content: Scannable) -> bytes:
        channel = await asyncio.to_thread(self._process.ask)
        reader, writer = await asyncio.open_connection(sock=channel, limit=LONGEST_ANSWER)
        try:
            writer.write(b"%b\n%d\n" % (dump_question(question), content.size))
            return _said(await serve_ranges(reader, writer, [content]))
        finally:
            writer.close()  # a child that is still at work ends at its next question, or at its limit of CPU time


def _said(line: bytes) -> bytes:
    """The answer, unread; what a file lacks is raised as `Conflict`."""
    if not line.startswith(b"{"):
        return line
    raise Conflict(_LACKS[claims.text(claims.table(claims.parse(line))["lacks"], len("column"))])
