"""Contents that nobody has looked at: published before there were scans, or while the scanner could not be had.

Rules: such a content is `unscannable` until it is scanned, and every path that it has is judged anew then. What a
version that is approved already turns out to hold is on record, and policies see it; the version stays approved, unless
nobody may have what was found: then it is in quarantine, and accesses to it are cut.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias, final

from sqlalchemy import Connection, Row, select, update

from nomoat.core.errors import Corrupt, NoMoatError
from nomoat.core.verdict import Finding, Report, Scannable, Verdict
from nomoat.stores.blob import StoredBlob
from nomoat.stores.catalog import Catalog
from nomoat.stores.objects import Objects
from nomoat.stores.reports import described
from nomoat.stores.stages import hold, served
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob, change

EVERY_S: Final = 3600.0
AT_ONCE: Final = 50  # contents in one turn

NoteScan: TypeAlias = Callable[[Mapping[str, int]], Awaitable[object]]
"""Make it durable that contents were scanned: how many had which verdict."""


@final
class Unscanned:
    """Scans what was never scanned. `judge` says what a path makes of a report."""

    def __init__(
        self,
        state: State,
        catalog: Catalog,
        objects: Objects,
        scan: Callable[[Sequence[Scannable]], Awaitable[list[Report]]],
        judge: Callable[[str, Report], Report],
        note: NoteScan,
        clock: Callable[[], float],
    ) -> None:
        self._state = state
        self._catalog = catalog
        self._objects = objects
        self._scan = scan
        self._judge = judge
        self._note = note
        self._clock = clock
        self._ends: list[Callable[[str, str], None]] = []

    def listen(self, end: Callable[[str, str], None]) -> None:
        """Have accesses to a version cut that is held back now: `end` takes its commit id and why."""
        self._ends.append(end)

    async def sweep(self) -> int:
        """Look at everything that was not looked at; return how much that was. Raises `Unavailable`."""
        verdicts: dict[str, int] = {}
        place = ""
        while page := await asyncio.to_thread(self._state.read, _page(place)):
            place = page[-1].id
            for row in page:
                report = await self._report(row)
                if report.format:
                    await self._keep(row.id, row.repository, report)
                    verdicts[report.verdict.value] = verdicts.get(report.verdict.value, 0) + 1
        if verdicts:
            self._catalog.forget_files()
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

    async def _keep(self, identifier: str, repository: str, report: Report) -> None:
        """Note what a scan said, and hold back the approved versions that have what nobody may have."""
        why = f"scanned later: {report.findings[0].rule}" if report.findings else ""

        def keep(connection: Connection) -> tuple[list[str], dict[str, str]]:
            connection.execute(update(blob).where(blob.c.id == identifier).values(described(report)))
            verdicts: set[Verdict] = set()
            for path in set(connection.scalars(select(change.c.path).where(change.c.blob == identifier))):
                verdict = self._judge(path, report).verdict
                here = (change.c.blob == identifier, change.c.path == path)
                connection.execute(update(change).where(*here).values(verdict=verdict.value))
                verdicts.add(verdict)
            if Verdict.REFUSED not in verdicts:
                return [], {}
            return hold(connection, repository, identifier, self._clock(), why), served(connection, repository)

        def follow(done: tuple[list[str], dict[str, str]]) -> None:
            held, now = done
            self._catalog.hold(repository, held, now)
            for commit in held:
                for end in self._ends:
                    end(commit, f"the version was {why}")

        await self._state.write(keep, follow)


def _page(place: str) -> Callable[[Connection], Sequence["Row[tuple[object, ...]]"]]:
    following = select(blob).where(blob.c.format == "", blob.c.id > place).order_by(blob.c.id).limit(AT_ONCE)
    return lambda connection: connection.execute(following).all()
