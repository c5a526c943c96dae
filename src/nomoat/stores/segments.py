"""Files of the log: one segment that only grows, space held in reserve, and the thread that writes.

Rules: a back end that knows nothing of records. Bytes count as kept only after `fdatasync`
returned; `Segment.length` moves then and never before. After any error a segment is broken: it
takes nothing more, and `settle` makes its tail what its owner says it is.
Trusted for: a sync that returned is durable. Not trusted for: anything after an error. Linux marks
pages clean when a sync fails, so a second sync proves nothing and `settle` writes the tail anew.
"""

import contextlib
import errno
import os
import queue
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from nomoat.core.errors import Misuse
from nomoat.stores.disk import sync_directory

T = TypeVar("T")

_READ_SIZE: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in _FULL


class Files:
    """The calls on the file system that a log makes. Each raises `OSError`; tests make one fail."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file that only its owner may read."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """Write at an offset; return how many bytes were taken (fewer is no error)."""
        return os.pwrite(descriptor, data, offset)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read at an offset; fewer bytes mean the end of the file."""
        return os.pread(descriptor, size, offset)

    def sync(self, descriptor: int) -> None:
        """Return when the file's bytes and length are durable."""
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut a file, or let it grow with zeros."""
        os.ftruncate(descriptor, length)

    def allocate(self, descriptor: int, start: int, length: int) -> None:
        """Make a range of a file take its space on the disk now."""
        os.posix_fallocate(descriptor, start, length)

    def remove(self, path: Path) -> None:
        """Remove a file; it is no error when there is none."""
        path.unlink(missing_ok=True)

    def sync_directory(self, directory: Path) -> None:
        """Return when the directory's entries are durable."""
        sync_directory(directory)

    def write_all(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of `data`, however often it takes."""
        view = memoryview(data)
        while view:
            taken = self.write(descriptor, view, offset)
            if taken <= 0:
                raise OSError(errno.EIO, "the file system takes no bytes")
            view, offset = view[taken:], offset + taken

    def replace(self, path: Path, data: bytes) -> None:
        """Replace a small file's content, durably: a reader sees the old or the new, never a part."""
        temporary = path.with_name(f".{path.name}.new")
        descriptor = self.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            self.write_all(descriptor, data, 0)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        self.sync_directory(path.parent)


class Segment:
    """A file that grows at its end. `length` is how much of it is durable, in bytes.

    One thread at a time. Every method raises `OSError`.
    """

    def __init__(self, files: Files, path: Path, descriptor: int, length: int) -> None:
        self._files = files
        self._descriptor = descriptor
        self.path = path
        self.length = length
        self.broken = False

    @classmethod
    def create(cls, files: Files, path: Path, head: bytes) -> "Segment":
        """Make a new segment that starts with `head`, durable together with its directory entry.

        A leftover of an attempt that failed is removed first: the caller never reuses a path.
        """
        files.remove(path)
        descriptor = files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        segment = cls(files, path, descriptor, 0)
        try:
            segment.append(head)
            files.sync_directory(path.parent)
        except OSError:
            segment.close()
            with contextlib.suppress(OSError):
                files.remove(path)
            raise
        return segment

    @classmethod
    def resume(cls, files: Files, path: Path, length: int, keep: bytes) -> "Segment":
        """Open an existing segment; after its first `length` bytes, make it end with `keep`, durably."""
        segment = cls(files, path, files.open(path, os.O_RDWR), length)
        try:
            segment.settle(keep)
        except OSError:
            segment.close()
            raise
        segment.broken = False
        return segment

    def append(self, data: bytes) -> None:
        """Write and sync; on return the bytes are durable, on `OSError` nothing is known of them.

        Raises `Misuse` after an error: nothing may follow bytes of which nothing is known.
        """
        if self.broken:
            raise Misuse("a broken segment was written to")
        try:
            self._files.write_all(self._descriptor, data, self.length)
            self._files.sync(self._descriptor)
        except OSError:
            self.broken = True
            raise
        self.length += len(data)

    def tail(self) -> bytes:
        """Return what the file holds after `length`: bytes that may or may not be on the disk."""
        parts: list[bytes] = []
        offset = self.length
        while part := self._files.read(self._descriptor, _READ_SIZE, offset):
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def settle(self, keep: bytes) -> None:
        """Make the file end with `keep` after `length`, durably. It stays broken: nothing follows."""
        self.broken = True
        self._files.truncate(self._descriptor, self.length + len(keep))
        if keep:
            self._files.write_all(self._descriptor, keep, self.length)
        self._files.sync(self._descriptor)
        self.length += len(keep)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Reserve:
    """Space on the disk held for what must be written when the disk is full.

    `size` is what it should hold, in bytes; it gives its space back in slices of `slice` bytes.
    """

    def __init__(self, files: Files, path: Path, size: int, slice: int) -> None:
        self._files = files
        self._size = size
        self._slice = slice
        self._descriptor = files.open(path, os.O_RDWR | os.O_CREAT)

    @property
    def held(self) -> int:
        """The bytes it holds now."""
        return os.fstat(self._descriptor).st_size

    def fill(self) -> None:
        """Take its space again. Raises `OSError`, without change, unless a slice more is free.

        Without that margin a disk with a few free pages would be called full and not full in turn.
        """
        held = self.held
        try:
            self._files.allocate(self._descriptor, held, max(0, self._size - held) + self._slice)
            self._files.truncate(self._descriptor, max(self._size, held))
            self._files.sync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                self._files.truncate(self._descriptor, held)
            raise

    def release(self) -> None:
        """Give a slice, or what is left, back to the file system."""
        if held := self.held:
            self._files.truncate(self._descriptor, max(0, held - self._slice))
            # Some file systems hand freed blocks out only once the change itself is on the disk.
            self._files.sync(self._descriptor)

    def close(self) -> None:
        """Close the file; the space stays held."""
        os.close(self._descriptor)


class WriterThread:
    """One thread that runs jobs in order and hands each result back to the event loop."""

    def __init__(self, loop: AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run `job` in the thread, then `done(result or exception)` in the loop."""

        def step() -> None:
            try:
                result: T | Exception = job()
            except Exception as error:  # noqa: BLE001 - the thread's boundary: the loop decides what it means
                result = error
            # A loop that is closed has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(done, result)

        self._jobs.put(step)

    def stop(self) -> None:
        """Let the thread end after the jobs that it has, and wait for it."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (step := self._jobs.get()) is not None:
            step()
