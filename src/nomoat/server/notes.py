"""What the gateway itself notes in its log, and tells its operator, of what it does beside what is served."""

import logging
from collections.abc import Callable, Mapping

from nomoat.audit.log import Log
from nomoat.core.errors import NoMoatError
from nomoat.core.record import system_record

_log = logging.getLogger("nomoat")


async def note_removal(log: Log, why: str, contents: int, length: int) -> None:
    """Record why and how many contents are removed from the disk, and how many bytes that frees."""
    await log.append(system_record("RemoveContents", {"why": why, "contents": contents, "bytes": length}))


async def note_scan(log: Log, verdicts: Mapping[str, int]) -> None:
    """Record that contents were scanned which nobody had looked at, by verdict."""
    await log.append(system_record("ScanContents", {"verdicts": dict(verdicts)}))


async def note_rewrapped(log: Log, version: int, keys: int) -> None:
    """Record that keys were wrapped anew."""
    await log.append(system_record("RewrapKeys", {"version": version, "keys": keys}))


def tell_of_failed(what: str) -> Callable[[NoMoatError], None]:
    """Return what tells the operator why something is not done for now."""
    return lambda error: _log.warning("%s at the moment: %s", what, error)
