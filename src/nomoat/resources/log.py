"""The log as a resource: reading it is an Operation like any other, decided and recorded."""

from typing import final

from nomoat.audit.log import Log
from nomoat.core.operation import ReadLog, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal


@final
class LogReading:
    """What may be read of the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def resolve(self, principal: Principal, operation: ReadLog) -> Resolved[ReadLog]:
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
