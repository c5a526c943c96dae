"""Where each document of an index is: in which segment, and at which place of it.

Rules: a document has a number for as long as it is there, which moves with it from segment to segment; numbers are used again. So
moving a segment's documents is work on arrays, and does not go through their names.
"""

from collections.abc import Iterable, Sequence
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

NOWHERE: Final = -1


@final
class Places:
    """Documents by name."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []
        self._segment: NDArray[np.int64] = np.full(16, NOWHERE, np.int64)
        self._place: NDArray[np.int32] = np.zeros(16, np.int32)

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, name: str) -> tuple[int, int] | None:
        """The segment and the place of a document; None where there is none of this name."""
        number = self._numbers.get(name)
        return None if number is None else (int(self._segment[number]), int(self._place[number]))

    def add(self, names: Sequence[str], segment: int) -> NDArray[np.int32]:
        """Number documents that are not there yet, which are in a segment in this order."""
        numbers = [self._free.pop() for _ in range(min(len(self._free), len(names)))]
        first = len(self._numbers) + len(self._free) + len(numbers)
        numbers += range(first, first + len(names) - len(numbers))
        self._reach(max(numbers, default=0) + 1)
        self._numbers.update(zip(names, numbers, strict=True))
        made = np.array(numbers, np.int32)
        self._segment[made] = segment
        self._place[made] = np.arange(len(made), dtype=np.int32)
        return made

    def take_out(self, names: Iterable[str]) -> dict[int, list[int]]:
        """Let go of documents; return which places of which segments were theirs."""
        gone: dict[int, list[int]] = {}
        for name in names:
            number = self._numbers.pop(name, None)
            if number is not None:
                gone.setdefault(int(self._segment[number]), []).append(int(self._place[number]))
                self._segment[number] = NOWHERE
                self._free.append(number)
        return gone

    def move(self, numbers: NDArray[np.int32], old: Iterable[int], new: int) -> NDArray[np.bool_]:
        """Of documents that were in old segments, have those in a new one that still are; return which ones these are."""
        there = self._segment[numbers]
        still = np.zeros(len(numbers), np.bool_)
        for segment in old:
            still |= there == segment
        moved = numbers[still]
        self._segment[moved] = new
        self._place[moved] = np.flatnonzero(still)
        return still

    def _reach(self, count: int) -> None:
        if count > len(self._segment):
            more = max(count, 2 * len(self._segment)) - len(self._segment)
            self._segment = np.append(self._segment, np.full(more, NOWHERE, np.int64))
            self._place = np.append(self._place, np.zeros(more, np.int32))
