"""Contents that nobody has looked at: published before there were scans, or while the scanner could not be had.

Rules: such a content is `unscannable` until it is scanned, and every path that it has is judged anew then. What a
version that is approved already turns out to hold is on record, and policies see it; the version stays approved.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias, final

from sqlalchemy import Connection, Row, select, update

from nomoat.core.errors import Corrupt, NoMoatError
from nomoat.core.verdict import Finding, Report, Scannable, Verdict
from nomoat.stores.blob import StoredBlob
from nomoat.stores.objects import Objects
from nomoat.stores.reports import described
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob, change

EVERY_S: Final = 3600.0
AT_ONCE: Final = 50  # contents in one turn

NoteScan: TypeAlias = Callable[[Mapping[str, int]], Awaitable[object]]
"""Make it durable that contents were scanned: how many had which verdict."""


@final
class Unscanned:
    """Scans what was never scanned. `judge` says what a path makes of a report, `forget` drops what is cached of files."""

    def __init__(
        self,
        state: State,
        objects: Objects,
        scan: Callable[[Sequence[Scannable]], Awaitable[list[Report]]],
        judge: Callable[[str, Report], Report],
        forget: Callable[[], None],
        note: NoteScan,
    ) -> None:
        self._state = state
        self._objects = objects
        self._scan = scan
        self._judge = judge
        self._forget = forget
        self._note = note

    async def sweep(self) -> int:
        """Look at everything that was not looked at; return how much that was. Raises `Unavailable`."""
        verdicts: dict[str, int] = {}
        place = ""
        while page := await asyncio.to_thread(self._state.read, _page(place)):
            place = page[-1].id
            for row in page:
                report = await self._report(row)
                if report.format:
                    await self._state.write(self._kept(row.id, report), followed=False)
                    verdicts[report.verdict.value] = verdicts.get(report.verdict.value, 0) + 1
        if verdicts:
            self._forget()
            await self._note(verdicts)
        return sum(verdicts.values())

    async def run(self, failed: Callable[[NoMoatError], None], interval: float = EVERY_S) -> None:
        """Sweep now and every `interval` seconds; tell `failed` what went wrong, and go on."""
        while True:
            try:
                await self.sweep()
            except NoMoatError as error:
                failed(error)
            await asyncio.sleep(interval)

    async def _report(self, row: "Row[tuple[object, ...]]") -> Report:
        stored = StoredBlob(row.id, row.size, row.wrapped_key)
        try:
            with contextlib.closing(self._objects.open(stored, row.repository, row.digest)) as content:
                (report,) = await self._scan([content.scannable()])
        except Corrupt as error:
            return Report.of("damaged", [Finding(Verdict.UNSCANNABLE, "content.unreadable", "", str(error))])
        return report

    def _kept(self, identifier: str, report: Report) -> Callable[[Connection], None]:
        def keep(connection: Connection) -> None:
            connection.execute(update(blob).where(blob.c.id == identifier).values(described(report)))
            paths = set(connection.scalars(select(change.c.path).where(change.c.blob == identifier)))
            for path in paths:
                verdict = self._judge(path, report).verdict.value
                here = (change.c.blob == identifier, change.c.path == path)
                connection.execute(update(change).where(*here).values(verdict=verdict))

        return keep


def _page(place: str) -> Callable[[Connection], Sequence["Row[tuple[object, ...]]"]]:
    following = select(blob).where(blob.c.format == "", blob.c.id > place).order_by(blob.c.id).limit(AT_ONCE)
    return lambda connection: connection.execute(following).all()
