"""Blobs that were read whole and hashed since this process began, and lie there unchanged since.

Rules: what is kept of a blob is what the file system says of its file: its inode, its size, and when its data and the
file itself last changed (`st_ctime`, which nobody can set). Whoever goes on to read it still authenticates every byte:
this says that there is no bad one further on, before the first is given out.
"""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final, final

from nomoat.core.errors import Corrupt, Unavailable
from nomoat.stores.blob import Blob, StoredBlob
from nomoat.stores.objects import Lying, Objects

KEPT: Final = 65_536  # blobs, about 300 bytes each
AT_ONCE: Final = 2  # being read whole


@final
class Intact:
    """The blobs of one directory of objects that are known to be whole."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._kept: OrderedDict[str, Lying] = OrderedDict()
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def require(self, blob: StoredBlob, repository: str, digest: str) -> None:
        """Have a blob read whole, unless it was and has not changed since.

        Those who want the same one wait for one reading, which goes on when they leave. Raises `Corrupt` when it is
        not the content `digest` (SHA-256, hex) of the repository, `Unavailable` when the disk fails.
        """
        if self._kept.get(blob.id) == self._objects.lying(blob):
            return
        reading = self._reading.get(blob.id)
        if reading is None:
            reading = asyncio.ensure_future(self._read(blob, repository, digest))
            self._reading[blob.id] = reading
            reading.add_done_callback(lambda done: self._done(blob, done))
        await asyncio.shield(reading)

    def _done(self, blob: StoredBlob, reading: "asyncio.Task[None]") -> None:
        del self._reading[blob.id]
        if not reading.cancelled():
            reading.exception()  # whoever still waits is told

    async def _read(self, blob: StoredBlob, repository: str, digest: str) -> None:
        async with self._room:
            before = self._objects.lying(blob)
            with self._objects.open(blob, repository, digest) as content:
                found = await asyncio.to_thread(_hashed, content)
            if found != digest:
                raise Corrupt(f"blob {blob.id}")
            if self._objects.lying(blob) != before:
                raise Unavailable("objects", "a content changed while it was verified; try again")
        self._kept[blob.id] = before
        self._kept.move_to_end(blob.id)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _hashed(content: Blob) -> str:
    found = hashlib.sha256()
    for part in content.segments():
        found.update(part)
    return found.hexdigest()
