"""The log as a resource: reading it and taking it away are Operations like any other, decided and recorded."""

from collections.abc import AsyncGenerator
from typing import final

from nomoat.audit.aggregates import parse_groupings
from nomoat.audit.export import FORMATS, export
from nomoat.audit.log import Log
from nomoat.audit.reports import Reports
from nomoat.core.errors import Malformed
from nomoat.core.operation import ExportLog, OpT, ReadLog, ReportLog, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal


@final
class LogReading:
    """What may be read of the log."""

    def __init__(self, log: Log, reports: Reports) -> None:
        self._log = log
        self._reports = reports

    def resolve(self, principal: Principal, operation: OpT) -> Resolved[OpT]:
        """Resolve a query: the target is the log as it is now."""
        del principal
        return Resolved(operation, (Target("Log", "log", "log", str(self._log.size)),))

    async def read(self, permit: Permit[ReadLog]) -> dict[str, object]:
        """Return the newest records that match, oldest first, and the size of the log.

        Raises `Malformed` with the place of what is not understood in the query.
        """
        operation = permit.claim(ReadLog).operation
        records = await self._log.read(operation.query, after=operation.after, limit=operation.limit)
        permit.check()
        permit.note(records=str(len(records)))
        return {"records": records, "size": self._log.size}

    async def report(self, permit: Permit[ReportLog]) -> dict[str, object]:
        """Return how many accesses match, and refusals and bytes of them, by what was asked for.

        Raises `Malformed` for what is not understood.
        """
        operation = permit.claim(ReportLog).operation
        by, query = parse_groupings(operation.by), self._log.query(operation.query)
        permit.note(by=operation.by, query=operation.query[:512])
        size = self._log.size
        rows = await self._reports.report(by, query, limit=operation.limit)
        permit.check()
        permit.note(rows=str(len(rows)))
        return {"by": list(by), "rows": rows, "size": size}

    async def export(self, permit: Permit[ExportLog]) -> AsyncGenerator[bytes]:
        """Yield every record that matches and was durable at the start, in order, part by part.

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
