"""What the gateway itself notes in its log, and tells its operator, of what it does beside what is served."""

import logging
from collections.abc import Mapping

from nomoat.audit.log import Log
from nomoat.core.errors import NoMoatError
from nomoat.core.record import system_record

_log = logging.getLogger("nomoat")


async def note_removal(log: Log, why: str, contents: int, length: int) -> None:
    """Record why and how many contents are removed, and how many bytes that frees."""
    await log.append(system_record("RemoveContents", {"why": why, "contents": contents, "bytes": length}))


async def note_scan(log: Log, verdicts: Mapping[str, int]) -> None:
    """Record how many contents were looked at later, by verdict."""
    await log.append(system_record("ScanContents", {"verdicts": dict(verdicts)}))


def tell_of_a_failed_scan(error: NoMoatError) -> None:
    """Say that contents wait for a scan."""
    _log.warning("contents that nobody has looked at are not scanned at the moment: %s", error)


def tell_of_a_failed_sweep(error: NoMoatError) -> None:
    """Say that uncommitted contents stay."""
    _log.warning("contents that nobody committed are not removed at the moment: %s", error)
