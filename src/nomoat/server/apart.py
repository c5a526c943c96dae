"""The processes apart that a gateway has its contents looked at by: each is started when it is first needed."""

from typing import final

from nomoat.resources.repositories.examining import Scan
from nomoat.resources.repositories.views import Engine
from nomoat.server import documents, profiling, tabulating
from nomoat.server.documents import DocumentReader
from nomoat.server.profiling import Profiler
from nomoat.server.querying import Queries, QueryProcess
from nomoat.server.releasing import Releaser
from nomoat.server.scanning import Scanner, ScannerProcess
from nomoat.server.tabulating import Tabulator


@final
class Apart:
    """Each of these processes, by what it does.

    `scan` looks at what is published, `engine` runs queries over views, `tabulate` finds the exact numbers of metrics and
    `noise` tells those. `read_document` reads what is to be indexed.
    """

    def __init__(self, scan: Scan | None = None, engine: Engine | None = None) -> None:
        """Make them; `scan` and `engine` take the place of ones of one's own (None: there is one)."""
        self._scanning, self._profiling = ScannerProcess(), ScannerProcess(profiling.MODULE)
        self._reading = ScannerProcess(documents.MODULE)
        self._counting, self._querying = ScannerProcess(tabulating.MODULE), QueryProcess()
        self._queries = Queries(self._querying)
        self.scan: Scan = scan or Scanner(self._scanning).scan
        self.engine: Engine = engine or self._queries
        self.tabulate = Tabulator(self._counting).tabulate
        self.noise = Releaser()
        self.read_document = DocumentReader(self._reading).read

    def profiler(self, key: bytes) -> Profiler:
        """What tells in figures what a file holds; `key` is that of its hashes."""
        return Profiler(self._profiling, key)

    async def end(self) -> None:
        """End them."""
        self._queries.close()
        for process in (self._querying, self._scanning, self._profiling, self._counting, self._reading):
            process.end()
        await self.noise.end()
