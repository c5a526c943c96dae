"""The log as a resource: reading, counting, proving and taking it away are Operations, decided and recorded."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from typing import final

from nomoat.audit.aggregates import parse_groupings
from nomoat.audit.evidence import Evidence
from nomoat.audit.export import FORMATS, export
from nomoat.audit.index import Index
from nomoat.audit.log import Log
from nomoat.audit.query import parse_query
from nomoat.audit.reports import Reports
from nomoat.core.errors import Malformed
from nomoat.core.operation import (
    ExportLog,
    OpT,
    ProveRecord,
    ReadEntries,
    ReadLog,
    ReportLog,
    Resolved,
    Target,
)
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal


@final
class LogReading:
    """What may be read of the log."""

    def __init__(
        self, log: Log, reports: Reports, evidence: Evidence, index: Index, clock: Callable[[], float]
    ) -> None:
        self._log = log
        self._reports = reports
        self._evidence = evidence
        self._index = index
        self._clock = clock

    def resolve(self, principal: Principal, operation: OpT) -> Resolved[OpT]:
        """Resolve a question to the log: the target is the log as it is now."""
        del principal
        return Resolved(operation, (Target("Log", "log", "log", str(self._log.size)),))

    async def read(self, permit: Permit[ReadLog]) -> dict[str, object]:
        """Return the newest records that match, oldest first, and the size of the log.

        Raises `Malformed` with the place of what is not understood in the query.
        """
        operation = permit.claim(ReadLog).operation
        if operation.scan:
            records = await self._log.read(operation.query, after=operation.after, limit=operation.limit)
        else:
            query, size = parse_query(operation.query, self._clock()), self._log.size
            limits = {"after": operation.after, "limit": operation.limit, "size": size}
            records = await asyncio.to_thread(self._index.search, query, **limits)
        permit.check()
        permit.note(records=str(len(records)))
        return {"records": records, "size": self._log.size}

    async def entries(self, permit: Permit[ReadEntries]) -> bytes:
        """Return a bundle of provable entries (c2sp.org/tlog-tiles). Raises `NotFound` when it is not there yet."""
        operation = permit.claim(ReadEntries).operation
        bundle = await self._evidence.bundle(operation.index, operation.width)
        permit.check()
        permit.note(bytes=len(bundle), records=str(operation.width))
        return bundle

    async def prove(self, permit: Permit[ProveRecord]) -> dict[str, object]:
        """Return a record's receipt (c2sp.org/tlog-proof), and its opening if it is to be disclosed.

        Raises `NotFound` for a number that the log does not have, `Conflict` when the content was erased or forgotten.
        """
        operation = permit.claim(ProveRecord).operation
        receipt, opening = await self._evidence.receipt(operation.number, disclose=operation.disclose)
        permit.check()
        permit.note(record=str(operation.number), disclosed=str(opening is not None).lower())
        return {
            "receipt": receipt.decode(),
            "opening": b64encode(opening.encode()).decode() if opening else None,
        }

    async def report(self, permit: Permit[ReportLog]) -> dict[str, object]:
        """Return how many accesses match, and refusals and bytes of them, by what was asked for.

        It says how many records it counts, of how many there were when it was asked for, and since when the others
        are. Raises `Malformed` for what is not understood, `Unavailable` when nothing can be counted yet.
        """
        operation = permit.claim(ReportLog).operation
        by, query = parse_groupings(operation.by), self._log.query(operation.query)
        permit.note(by=operation.by, query=operation.query[:512])
        found = await self._reports.report(by, query, limit=operation.limit, wait=operation.wait)
        permit.check()
        permit.note(rows=str(len(found.rows)), counted=str(found.counted), size=str(found.size))
        return {"by": list(by), **found._asdict(), "complete": found.missing_since is None}

    async def export(self, permit: Permit[ExportLog]) -> AsyncGenerator[bytes]:
        """Yield every record that matches and was durable at the start, in order, part by part.

        From an erasure on, nothing that it destroyed is in a part.
        Raises `Malformed` before the first part for a format or a query that is not understood,
        `Corrupt` at the first record that cannot be read.
        """
        operation = permit.claim(ExportLog).operation
        if operation.form not in FORMATS:
            raise Malformed(f"there is no format {operation.form!r:.40}; there are {', '.join(FORMATS)}")
        query, size, told = self._log.query(operation.query), self._log.size, 0
        permit.note(form=operation.form, query=operation.query[:512], after=str(operation.after), records="0")
        async for count, part in export(self._log, query, operation.form, after=operation.after, size=size):
            permit.check()
            told += count
            permit.note(bytes=len(part), records=str(told))
            yield part
