"""The hashes beside a log, as verification reads them: a hint, believed only where a signature agrees.

Rules: pure but for reading one file; never trusted by itself.
"""

from pathlib import Path

from nomoat.audit.segments import TREE_FILE
from nomoat.audit.tree import HASH_SIZE, Frontier, Head, node_hash, position
from nomoat.core.errors import Corrupt


class StoredTree:
    """What the tree file of a log's directory says, or nothing."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / TREE_FILE
        self._data: bytes | None = None

    def leaves(self, first: int, end: int) -> list[bytes]:
        """Return the leaf hashes first … end-1; fewer if it does not have them."""
        return [leaf for index in range(first, end) if (leaf := self._read(0, index))]

    def frontier(self, size: int) -> Frontier | None:
        """Return the frontier of `size` leaves, if it has it."""
        peaks: list[bytes] = []
        start = 0
        while start < size:
            level = (size - start).bit_length() - 1
            peaks.append(self._read(level, start >> level))
            start += 1 << level
        return None if b"" in peaks else Frontier(size, peaks)

    def holds(self, head: Head) -> bool:
        """Whether each of its hashes up to `head` is the one that follows from those of the leaves, and they give `head`."""
        frontier = Frontier()
        frontier.extend(self.leaves(0, head.size))
        return frontier.head() == head and all(
            self._read(level, index)
            == node_hash(self._read(level - 1, 2 * index), self._read(level - 1, 2 * index + 1))
            for level in range(1, head.size.bit_length())
            for index in range(head.size >> level)
        )

    def hash_at(self, level: int, index: int) -> bytes:
        """Return one subtree's hash. Raises `Corrupt` if it does not have it."""
        if found := self._read(level, index):
            return found
        raise Corrupt("the stored hashes of the log")

    def _read(self, level: int, index: int) -> bytes:
        if self._data is None:
            self._data = read_file(self._path)
        offset = position(level, index) * HASH_SIZE
        found = self._data[offset : offset + HASH_SIZE]
        return found if len(found) == HASH_SIZE else b""


def read_file(path: Path) -> bytes:
    """Return a file's content; nothing if there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
