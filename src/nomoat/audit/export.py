"""Export: a walk over the log in one of a few formats, as parts of a stream.

    json   readable records as they are, a line of JSON each
    ocsf   OCSF 1.8.0 events (nomoat.audit.ocsf), a line of JSON each
    csv    rows (nomoat.audit.tabular), with a heading
    rows   the same rows, a line of JSON each: what a client makes Parquet of

Rules: in order, from the record after `after` up to the size that the log had at the start; memory
holds one part. Work is done in threads, so that nobody waits for an export. Where content is erased or forgotten
meanwhile, it goes on without it: what was read before that and not told yet is read again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Final

import orjson

from nomoat.audit.events import ReadableRecord
from nomoat.audit.following import Following
from nomoat.audit.log import Log
from nomoat.audit.ocsf import event
from nomoat.audit.query import Query
from nomoat.audit.tabular import csv_heading, csv_lines, json_row

PART: Final = 256
"""Records that are read, opened and formatted at a time."""

Format = Callable[[Iterable[ReadableRecord], str], bytes]


def json_lines(records: Iterable[ReadableRecord], origin: str) -> bytes:
    """Return records as they are, one a line."""
    del origin
    return b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)


def ocsf_lines(records: Iterable[ReadableRecord], origin: str) -> bytes:
    """Return records as OCSF events, one a line."""
    return b"".join(orjson.dumps(event(record, origin), option=orjson.OPT_APPEND_NEWLINE) for record in records)


FORMATS: Final[Mapping[str, Format]] = {
    "json": json_lines,
    "ocsf": ocsf_lines,
    "csv": lambda records, _: csv_lines(records),
    "rows": lambda records, _: b"".join(map(json_row, records)),
}


async def export(log: Log, query: Query, form: str, *, after: int, size: int) -> AsyncIterator[tuple[int, bytes]]:
    """Yield (number of records, bytes) of every part. Raises `Corrupt` and `Unavailable` as `Walk.take` does."""
    origin = log.verifier_key.name

    def part(following: Following) -> tuple[int, bytes]:
        told = following.take(size, PART)
        return len(told), FORMATS[form](told, origin)

    if form == "csv":
        yield 0, csv_heading()
    following, erasures = None, log.erasures
    while after + 1 < size:
        if following is None or erasures != log.erasures:
            erasures = log.erasures
            following = await asyncio.to_thread(Following, log.walk, after, query)
        made = await asyncio.to_thread(part, following)
        if erasures == log.erasures:  # otherwise it was erased while it was read
            after = following.after
            if made[1]:
                yield made
