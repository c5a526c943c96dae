"""Following the log as events: the records after a number in their order, so that outcomes know what they end.

Rules: reads the log with the keys. What it holds in memory is of before whatever was erased since: whoever follows
across an erasure begins anew.
"""

from collections.abc import Callable, Iterator
from typing import Final, final

from nomoat.audit.events import Events, ReadableRecord
from nomoat.audit.query import Query
from nomoat.audit.walk import Walk

STEP: Final = 4096
"""Records that are read at a time, at most; keys are looked up anew for each step."""
BEFORE: Final = 1000
"""Records before the first that are looked at for the openings of outcomes behind it."""


@final
class Following:
    """The events after record number `after` that match: accesses that began before it are known to their outcomes."""

    def __init__(self, walk: Callable[[int], Walk], after: int, query: Query | None = None) -> None:
        self._events = Events()
        self._query = query or Query()
        self._walk = walk(max(-1, after - BEFORE))
        while self._walk.after < after:
            self._events.tell(self._walk.take(after + 1, most=STEP), self._query)

    @property
    def after(self) -> int:
        """The number of the last record told."""
        return self._walk.after

    def take(self, size: int, most: int = STEP) -> list[ReadableRecord]:
        """Tell of the next records below record number `size`, at most `most`. Raises as `Walk.take` does."""
        return self._events.tell(self._walk.take(size, most=most), self._query)

    def until(self, size: int) -> Iterator[list[ReadableRecord]]:
        """Yield the next events below record number `size`, a step at a time."""
        while self.after + 1 < size:
            yield self.take(size)
