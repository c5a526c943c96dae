"""The processes apart that a gateway has its contents looked at by: each is started when it is first needed."""

from typing import final

from nomoat.resources.repositories.examining import Scan
from nomoat.server.releasing import Releaser
from nomoat.server.scanning import Scanner, ScannerProcess
from nomoat.server.tabulating import MODULE, Tabulator


@final
class Apart:
    """What looks at what is published (`scan`), finds the exact numbers of metrics, and tells those with noise."""

    def __init__(self, scan: Scan | None = None) -> None:
        """Make them; `scan` takes the place of a scanner of one's own (None: there is one)."""
        self._scanning, self._counting = ScannerProcess(), ScannerProcess(MODULE)
        self.scan: Scan = scan or Scanner(self._scanning).scan
        self.tabulate = Tabulator(self._counting).tabulate
        self.noise = Releaser()

    async def end(self) -> None:
        """End them."""
        self._scanning.end()
        self._counting.end()
        await self.noise.end()
