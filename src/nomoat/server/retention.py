"""Retention as the gateway runs it: twice a day, what is past its time is recorded as forgotten, then blanked.

Rules: the record comes first, then the signed statement, from which on nobody tells of it; then all that was made of
the log is destroyed, and the blanking comes last: what is blank is due no more, so a crash in between is made good at
the next turn. Work is done in a thread, a segment at a time, with rests.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from nomoat.audit.checkpoint import NoteSigner
from nomoat.audit.retention import Blanking, keep_statement
from nomoat.audit.segments import list_segments
from nomoat.core.errors import NoMoatError
from nomoat.core.operation import InvokeModel
from nomoat.core.record import Json, system_record
from nomoat.server.assembly import Gateway
from nomoat.server.forgetting import due_at
from nomoat.server.names import CONTENTS
from nomoat.stores.contents import remove_before

INTERVAL_S: Final = 12 * 3600.0
REST_S: Final = 0.2

_log = logging.getLogger("nomoat")


async def keep_retained(gateway: Gateway, directory: Path) -> None:
    """Blank what is past its time until cancelled; does nothing without a `[retention]` in the configuration."""
    kept = gateway.configuration.retention
    if not kept:
        return
    blanking = Blanking(directory / "log")
    while True:
        try:
            await forget_due(gateway, directory, blanking, kept)
            await forget_contents(directory / CONTENTS, gateway.clock(), kept)
        except (NoMoatError, OSError) as error:
            _log.warning("what is past its time is not forgotten at the moment: %s", error)
        await asyncio.sleep(INTERVAL_S)


async def forget_due(gateway: Gateway, directory: Path, blanking: Blanking, kept: Mapping[str, int]) -> int:
    """Blank what is due now; return how many records' content. Raises `NoMoatError` and `OSError`."""
    forgotten = due_at(gateway.clock(), kept)
    due = await asyncio.to_thread(blanking.due, forgotten, _rest)
    if not due:
        return 0
    newest = list_segments(directory / "log")[-1][0]
    # The newest segment is written to; from its end on it can be blanked, too.
    gateway.log.end_segment()
    content: dict[str, Json] = {"before": dict(forgotten.before), "records": sum(due.values())}
    record = await gateway.log.append(system_record("ForgetContent", content))
    await _ended(directory / "log", newest)
    signer = NoteSigner(gateway.log.verifier_key.name, gateway.keys.load("log"))
    whole = await asyncio.to_thread(keep_statement, directory / "log", forgotten, signer)
    await gateway.subject_keys.note_forgotten(record.index, gateway.log.forget)
    await gateway.reports.clear()
    return await asyncio.to_thread(blanking.blank, due, whole, _rest)


async def forget_contents(directory: Path, now: float, kept: Mapping[str, int]) -> None:
    """Remove what is in `directory` of prompts and answers whose records' time is over. Raises `OSError`."""
    before = due_at(now, kept).before.get(InvokeModel.__name__)
    if before is not None:
        await asyncio.to_thread(remove_before, directory, datetime.fromisoformat(before).timestamp())


async def _ended(log: Path, newest: int) -> None:
    """Wait a moment until the log goes on in a new segment; what is not done by then comes at the next turn."""
    for _ in range(100):
        if list_segments(log)[-1][0] > newest:
            return
        await asyncio.sleep(0.05)


def _rest() -> None:
    time.sleep(REST_S)
