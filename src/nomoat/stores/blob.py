"""One content at rest, open for reading: what `objects.py` keeps.

Rules: the length of the whole is authenticated before the first byte is given out, and every byte
before it is.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self, final

from nomoat.core.errors import Corrupt, Misuse, Unavailable
from nomoat.core.verdict import Scannable
from nomoat.stores.streaming import SEGMENT, Bytes, Opener, ciphertext_span, segment_at, segment_count


class StoredBlob(NamedTuple):
    """What the state keeps of a blob: its id, the size of its plaintext in bytes, its wrapped data key.

    A tuple, because a repository has many.
    """

    id: str
    size: int
    wrapped_key: bytes

    def __repr__(self) -> str:
        return f"StoredBlob(id={self.id!r}, size={self.size})"


@final
class Blob:
    """One content, open for reading; a context manager. `size` is its length in bytes."""

    def __init__(self, descriptor: int, name: str, size: int, opener: Opener, whole: Bytes | None) -> None:
        """Take an open file, and all of the ciphertext where it was read already: it is one segment then."""
        self.size = size
        self._descriptor = descriptor
        self._name = name
        self._opener = opener
        self._tail_number = segment_count(size) - 1
        # One buffer for all ciphertext: a fresh one for every read costs more than decrypting it.
        self._buffer = memoryview(bytearray(SEGMENT if whole is None else 0))
        # Only the whole ciphertext ends in a last segment.
        self._tail = self._read(self._tail_number) if whole is None else self._decrypt(0, whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def segments(self, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """Iterate over the bytes from `first` to `last`, inclusive (None: to the end), in parts of at most 64 KiB.

        Nothing is read before it is asked for. Raises `Misuse` at once when the range is not within the
        content (an empty content has the empty range only), while iterating `Corrupt` at the first part
        that does not verify and `Unavailable` when the disk fails.
        """
        end = self.size if last is None else last + 1
        if not 0 <= first <= end <= self.size:
            raise Misuse(f"bytes {first} to {last} of a content of {self.size}")
        if self._tail_number == 0 and end - first == self.size:  # a small content, read and authenticated already
            return iter((self._tail,) if self.size else ())
        return self._parts(first, end)

    def scannable(self) -> Scannable:
        """This content for a scan, as long as it is open."""

        def read(offset: int, length: int) -> bytes:
            return b"".join(self.segments(offset, offset + length - 1))

        return Scannable(self.size, read)

    def close(self) -> None:
        """Close the file; what is still iterating ends with `Misuse`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _parts(self, first: int, end: int) -> Generator[bytes]:
        number, inside = segment_at(first)
        while first < end:
            part = self._tail if number == self._tail_number else self._read(number)
            if inside or len(part) > end - first:
                part = part[inside : inside + end - first]
            yield part
            first += len(part)
            number, inside = number + 1, 0

    def _read(self, number: int) -> bytes:
        if self._descriptor < 0:
            raise Misuse("a blob was read after it was closed")
        start, length = ciphertext_span(number, self.size)
        ciphertext = self._buffer[:length]
        with guarded():
            read = os.preadv(self._descriptor, [ciphertext], start)
        return self._decrypt(number, ciphertext[:read])

    def _decrypt(self, number: int, ciphertext: Bytes) -> bytes:
        try:
            return self._opener.open(number, ciphertext)
        except Corrupt:
            raise Corrupt(self._name) from None


@contextmanager
def guarded() -> Generator[None]:
    """Turn the errors of the disk into `Unavailable`."""
    try:
        yield
    except OSError as error:
        raise unavailable(error) from error


def unavailable(error: OSError) -> Unavailable:
    """What to raise for an error of the disk."""
    return Unavailable("objects", f"the disk failed: {error.strerror}")
