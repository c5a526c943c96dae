"""Records of what the gateway itself did."""

from collections.abc import Mapping

from nomoat.audit.log import Log
from nomoat.core.record import Json, Record, RecordKind


async def note_removal(log: Log, why: str, contents: int, length: int) -> None:
    """Record that contents are removed from the disk."""
    await log.append(system_record("RemoveContents", {"why": why, "contents": contents, "bytes": length}))


async def note_scan(log: Log, verdicts: Mapping[str, int]) -> None:
    """Record that contents were scanned which nobody had looked at."""
    await log.append(system_record("ScanContents", {"verdicts": dict(verdicts)}))


async def note_rewrapped(log: Log, version: int, keys: int) -> None:
    """Record that keys were wrapped anew."""
    await log.append(system_record("RewrapKeys", {"version": version, "keys": keys}))


def system_record(what: str, content: Mapping[str, Json]) -> Record:
    """The record of something that the gateway itself did."""
    body: dict[str, Json] = {"who": {"kind": "system"}, "what": what, **content}
    return Record(kind=RecordKind.SYSTEM, subject="system", what=what, on="", decision="", content=body, priority=True)
