"""The tree's hashes on disk: a derived file that makes proofs without reading the log.

Rules: a cache. It is never synced on its own, every hash in it follows from the segments, and a
proof made with it is checked before it leaves. What cannot be written stays in memory until it can.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from nomoat.audit.segments import TREE_FILE
from nomoat.audit.tree import HASH_SIZE, Frontier, position, stored
from nomoat.core.errors import Corrupt
from nomoat.stores.segments import Files


class StoredHashes:
    """Hashes of all complete subtrees in the order in which they were completed, 32 bytes each.

    About 64 bytes a record. Writing belongs to the writer thread; reading is safe beside it.
    """

    def __init__(self, files: Files, directory: Path) -> None:
        self._files = files
        self._descriptor = files.open(directory / TREE_FILE, os.O_RDWR | os.O_CREAT)
        self._unsaved = b""
        self._saved = 0

    def begin(self, frontier: Frontier) -> bool:
        """Continue after this tree; False when the file does not hold it (then it must be rebuilt)."""
        self._saved = stored(frontier.size) * HASH_SIZE
        if os.fstat(self._descriptor).st_size < self._saved:
            return False
        start = 0
        for peak in frontier.peaks:
            level = (frontier.size - start).bit_length() - 1
            if self.read(level, start >> level) != peak:
                return False
            start += 1 << level
        return True

    def rewind(self) -> None:
        """Start from the empty tree."""
        self._saved = 0

    def add(self, completed: Sequence[bytes]) -> None:
        """Append hashes as `Frontier.extend` returned them. Does not fail: they wait in memory."""
        self._unsaved += b"".join(completed)
        with contextlib.suppress(OSError):
            self._files.write_all(self._descriptor, self._unsaved, self._saved)
            self._saved += len(self._unsaved)
            self._unsaved = b""

    def read(self, level: int, index: int) -> bytes:
        """Return one subtree's hash. Raises `Corrupt` when the file does not hold it."""
        offset = position(level, index) * HASH_SIZE
        if offset >= self._saved:
            start = offset - self._saved
            found = self._unsaved[start : start + HASH_SIZE]
        else:
            found = self._files.read(self._descriptor, HASH_SIZE, offset)
        if len(found) != HASH_SIZE:
            raise Corrupt("the log's tree of hashes")
        return found

    def sync(self) -> None:
        """Make what was written durable. Raises `OSError`."""
        self._files.sync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
