"""The two processes apart that metrics need: one finds exact numbers, the other tells them with noise."""

from typing import final

from nomoat.server.releasing import Releaser
from nomoat.server.scanning import ScannerProcess
from nomoat.server.tabulating import MODULE, Tabulator


@final
class Measuring:
    """Both, each started when it is first needed."""

    def __init__(self) -> None:
        self._counting = ScannerProcess(MODULE)
        self.tabulate = Tabulator(self._counting).tabulate
        self.noise = Releaser()

    async def end(self) -> None:
        """End them."""
        self._counting.end()
        await self.noise.end()
