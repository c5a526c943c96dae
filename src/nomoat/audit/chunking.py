"""Chunks made of the log: the next records in their order, as columns.

Rules: reads the log with the keys, so it runs in the gateway or in a process of the gateway's own; DuckDB runs
in a third one, without keys. A record that cannot be read ends it: no chunk leaves one out.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, final

from nomoat.audit.apart import Apart, Memory
from nomoat.audit.counted import counted_row
from nomoat.audit.following import Following
from nomoat.audit.walk import Walk


class Made(NamedTuple):
    """A chunk: the numbers of its records, the earliest and the latest time in it, and Parquet."""

    first: int
    last: int
    oldest: str
    newest: str
    content: bytes


@final
class Chunker:
    """Makes chunks of one log that follow each other. Not safe for threads."""

    def __init__(self, walk: Callable[[int], Walk]) -> None:
        self._walk = walk
        self._following: Following | None = None

    def make(self, after: int, most: int) -> Made:
        """Make a chunk of the `most` records after number `after`, all of them durable.

        Raises `Corrupt` and `Unavailable`.
        """
        following, self._following = self._following, None
        if following is None or following.after != after:
            following = Following(self._walk, after)
        times = list[str]()
        with ExitStack() as stack:
            source, target = Memory(stack), Memory(stack)
            apart = Apart(stack, [source, target])
            for events in following.until(after + 1 + most):
                source.write(b"".join(map(counted_row, events)))
                times += [str(event["at"]) for event in events]
            apart.ask({"make": target.descriptor, "rest": source.descriptor})
            made = Made(after + 1, following.after, min(times), max(times), target.read())
        self._following = following
        return made
