"""Having the index kept: the indexer's process is started, told what is durable, and started again if it ends.

Rules: nothing waits for it. Without an index searches read the log itself, so a failure here is said once and
tried again, ever later.
"""

import asyncio
import contextlib
import logging
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Final

from nomoat.server.assembly import Gateway
from nomoat.server.subprocesses import end, start

TELL_S: Final = 0.2
"""How often the indexer is told what is durable: with its own work, the index is less than a second behind."""
LONGEST_REST_S: Final = 60.0
_LONGEST_COMPLAINT: Final = 2000

_log = logging.getLogger("nomoat")


async def keep_indexed(gateway: Gateway, directory: Path) -> None:
    """Keep the index of a data directory until cancelled."""
    rest, failing = 1.0, False
    while True:
        began = asyncio.get_running_loop().time()
        complaint = await _run(gateway, directory)
        if asyncio.get_running_loop().time() - began > LONGEST_REST_S:
            rest, failing = 1.0, False
        if not failing:
            _log.warning("the log is not indexed at the moment, so searches take longer: %s", complaint)
        failing = True
        await asyncio.sleep(rest)
        rest = min(rest * 2, LONGEST_REST_S)


async def _run(gateway: Gateway, directory: Path) -> str:
    """Run one indexer until it ends; return what it complained of."""
    try:
        process = await start("nomoat.server.indexer", directory, gateway.log.verifier_key, stderr=PIPE)
    except OSError as error:
        return f"its process cannot be started ({error.strerror})"
    heard = asyncio.create_task(_hear(process))
    try:
        await _tell(gateway, process, heard)
        return await heard
    finally:
        heard.cancel()
        await end(process)


async def _tell(gateway: Gateway, process: Process, heard: "asyncio.Task[str]") -> None:
    """Tell the indexer how many records are durable, until it ends."""
    told, channel = -1, process.stdin
    while channel is not None and not heard.done():
        if gateway.log.size != told:
            told = gateway.log.size
            channel.write(b"%d\n" % told)
            with contextlib.suppress(ConnectionError):
                await channel.drain()
        await asyncio.wait([heard], timeout=TELL_S)


async def _hear(process: Process) -> str:
    """Take what the indexer says, so that it never waits for a reader; return what it complained of in the end."""
    if process.stdout is None or process.stderr is None:
        return "it cannot be heard"
    while await process.stdout.read(4096):
        pass
    complaint = await process.stderr.read(_LONGEST_COMPLAINT)
    return complaint.decode(errors="replace").strip().rpartition("\n")[2] or "its process ended"
