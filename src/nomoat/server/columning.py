"""Having columns made: the columnist's process is started when there is something to make, and asked.

Rules: nothing waits for it but the next chunk. A failure is said once and tried again; meanwhile reports read
more from the log itself. One question at a time: the process that was asked and not heard out is ended.
"""

import asyncio
import contextlib
import json
import logging
from asyncio.subprocess import Process
from pathlib import Path
from typing import Final, final

from nomoat.audit.checkpoint import VerifierKey
from nomoat.audit.chunking import Made
from nomoat.core.errors import NoMoatError, Unavailable
from nomoat.server.assembly import Gateway
from nomoat.server.subprocesses import end, start

LONGEST_S: Final = 600.0
"""One chunk takes a few seconds of a core; where it has to give way, longer."""

_log = logging.getLogger("nomoat")


async def keep_columns(gateway: Gateway, directory: Path) -> None:
    """Keep columns of a data directory's log until cancelled."""
    columnist = Columnist(directory, gateway.log.verifier_key)
    try:
        await gateway.reports.run(columnist.make, _Complaints().tell)
    finally:
        await columnist.end()


class _Complaints:
    """Says the same thing once."""

    def __init__(self) -> None:
        self._last = ""

    def tell(self, error: NoMoatError) -> None:
        if str(error) != self._last:
            self._last = str(error)
            _log.warning("columns of the log are not made at the moment, so reports may have to wait: %s", error)


@final
class Columnist:
    """The process that makes columns of one data directory's log; `log` verifies what that signed."""

    def __init__(self, directory: Path, log: VerifierKey) -> None:
        self._directory = directory
        self._log = log
        self._process: Process | None = None

    async def make(self, after: int, most: int) -> Made:
        """Have a chunk of `most` records after number `after` made. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._ask(after, most)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            await self.end()
            raise Unavailable("columns", f"the process that makes them failed ({type(error).__name__})") from None
        except BaseException:  # it may still be at work on what nobody waits for any more
            await self.end()
            raise

    async def _ask(self, after: int, most: int) -> Made:
        if self._process is None:
            self._process = await start("nomoat.server.columnist", self._directory, self._log)
        channel, answers = self._process.stdin, self._process.stdout
        if channel is None or answers is None:
            raise ValueError
        channel.write(b"%d %d\n" % (after, most))
        await channel.drain()
        said = json.loads(await answers.readuntil(b"\n"))
        if "failed" in said:
            raise Unavailable("columns", said["failed"])
        content = await answers.readexactly(said["content"])
        return Made(said["first"], said["last"], said["oldest"], said["newest"], content)

    async def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:  # it may be at work, and looks at its standard input only after that
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await end(process)
