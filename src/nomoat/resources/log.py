"""The log as a resource: reading it is an Operation like any other, decided and recorded."""

import asyncio
from collections.abc import Callable
from typing import final

from nomoat.audit.log import Log
from nomoat.audit.query import Query, parse_query
from nomoat.audit.reading import LogReader
from nomoat.core.errors import Misuse
from nomoat.core.operation import ReadLog, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal


@final
class LogReading:
    """What may be read of the log."""

    def __init__(self, log: Log, reader: LogReader, clock: Callable[[], float]) -> None:
        self._log = log
        self._reader = reader
        self._clock = clock

    def resolve(self, principal: Principal, operation: ReadLog) -> Resolved[ReadLog]:
        """Resolve a query. Raises `Malformed` with the place of what is not understood."""
        del principal
        query = parse_query(operation.query, self._clock())
        return Resolved(operation, (Target("Log", "log", "log", str(self._log.size)),), {"query": query})

    async def read(self, permit: Permit[ReadLog]) -> dict[str, object]:
        """Return the newest records that match, oldest first, and the size of the log."""
        resolved = permit.claim(ReadLog)
        query, operation = resolved.coordinates["query"], resolved.operation
        if not isinstance(query, Query):
            raise Misuse("a query resolved to something else")
        size = self._log.size
        records = await asyncio.to_thread(
            self._reader.search, query, size=size, after=operation.after, limit=operation.limit
        )
        permit.check()
        permit.note(records=str(len(records)))
        return {"records": records, "size": size}
