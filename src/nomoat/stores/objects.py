"""Objects: contents of files, encrypted and authenticated, each under a key of its own.

Rules: a content becomes visible whole, on disk and with the digest that was announced, or not at
all. Its data key is fresh, lies wrapped in the state and nowhere else, and opens this blob of this
repository with this digest only. Every byte that is read was authenticated before, and the length
of the whole before the first byte. File names are random and say nothing.
The directory is trusted to keep what was synced, not with plaintext and not with integrity: who can
write to it can make contents unreadable, never different. One process uses it at a time (the lock
of the data directory), so whatever is unfinished when it opens is nobody's.

    ROOT/incoming/ID     an upload under way
    ROOT/ab/abcdef…      a blob (the first two digits of its id are its directory)
"""

import asyncio
import errno
import hashlib
import hmac
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, final

from nomoat.core.errors import Corrupt, Malformed, Misuse, TooLarge, Unavailable
from nomoat.core.names import parse_digest
from nomoat.stores.blob import Blob, StoredBlob, guarded, unavailable
from nomoat.stores.disk import sync_directory
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.streaming import (
    HEADER_SIZE,
    KEY_SIZE,
    MAX_SIZE,
    SEGMENT,
    Bytes,
    Opener,
    Sealer,
    ciphertext_size,
    plaintext_size,
)

# Segments are gathered and written together: fewer system calls, and none is long enough to be
# noticed by the other requests of the event loop.
_BATCH: Final = 4 * SEGMENT
_OPENERS: Final = 4096  # keys of contents that are kept in memory, about 1 KiB each
# Without waiting: a pipe in the place of the file would hold up the event loop. Of no link: `lying` is about the link,
# and what is behind it could change unseen.
_READ_ONLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_ID: Final = re.compile(r"[0-9a-f]{32}")
_INCOMING: Final = "incoming"

Lying: TypeAlias = tuple[int, int, int, int]
"""How a file lies there: inode, size, and the times of its last changes in nanoseconds."""


@final
class Objects:
    """The blobs in one local directory."""

    def __init__(self, root: Path, kek: KeyEncryptionKey, *, changing: bool = True) -> None:
        """Open the directory, make it if it is missing, and remove unfinished uploads of earlier runs.

        If not `changing`, it does neither, and is for reading only. Raises `Unavailable` when that fails.
        """
        self._root = root
        self._kek = kek
        self._openers: OrderedDict[tuple[str, str, StoredBlob], Opener] = OrderedDict()
        if not changing:
            return
        with guarded():
            root.mkdir(mode=0o700, exist_ok=True)
            (root / _INCOMING).mkdir(mode=0o700, exist_ok=True)
        self.sweep()

    def begin(self, repository: str, digest: str, size: int) -> "Upload":
        """Begin to store one content of a repository (by its id).

        `digest` is its SHA-256 (hexadecimal), `size` its length in bytes. Raises `Malformed` or
        `TooLarge` for what cannot be, `Unavailable` when the disk has no room for it now.
        """
        if size < 0:
            raise Malformed("a size is not negative")
        if size > MAX_SIZE:
            raise TooLarge(f"a content has at most {MAX_SIZE} bytes")
        blob_id = secrets.token_hex(16)
        binding = binding_of(repository, digest, blob_id)
        with guarded():
            disk = os.statvfs(self._root)
        if ciphertext_size(size) > disk.f_bavail * disk.f_frsize:
            raise Unavailable("objects", f"the disk has no room for {size} bytes")
        key = secrets.token_bytes(KEY_SIZE)
        stored = StoredBlob(blob_id, size, self._kek.wrap(key, purpose=binding))
        return Upload(self._root, stored, digest, Sealer(key, binding.encode(), size))

    def open(self, stored: StoredBlob, repository: str, digest: str) -> "Blob":
        """Open a blob as the content `digest` of `repository`, and authenticate its length.

        Raises `Corrupt` when the file is missing, was changed in size or at its ends, or is another
        blob's, and when the repository or digest is not the one it was stored for. Raises
        `Unavailable` when the disk fails.
        """
        name, length = f"blob {stored.id}", ciphertext_size(stored.size)
        try:
            descriptor = os.open(f"{self._root}/{_place(stored.id)}", _READ_ONLY)
        except FileNotFoundError:
            raise Corrupt(name) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Corrupt(name) from None
            raise unavailable(error) from error
        try:
            small = length <= SEGMENT
            # A small content comes with its header, in one read; a byte more would show a longer file.
            begin = os.pread(descriptor, length + 1 if small else HEADER_SIZE, 0)
            if length != (len(begin) if small else os.fstat(descriptor).st_size):
                raise Corrupt(name)
            opener = self._opener(stored, repository, digest, begin[:HEADER_SIZE])
            return Blob(descriptor, name, stored.size, opener, memoryview(begin)[HEADER_SIZE:] if small else None)
        except OSError as error:
            os.close(descriptor)
            raise unavailable(error) from error
        except BaseException:
            os.close(descriptor)
            raise

    def _opener(self, stored: StoredBlob, repository: str, digest: str, header: bytes) -> Opener:
        """What decrypts a blob: kept, because unwrapping and deriving its key costs more than a small content.

        INVARIANT (bound): it is found only by everything that the key is bound to, the wrapped key included.
        """
        kept = (repository, digest, stored)
        opener = self._openers.get(kept)
        if opener is not None and opener.header == header:
            self._openers.move_to_end(kept)
            return opener
        binding = binding_of(repository, digest, stored.id)
        try:
            key = self._kek.unwrap(stored.wrapped_key, purpose=binding)
            opener = Opener(key, binding.encode(), header, stored.size)
        except Corrupt:
            raise Corrupt(f"blob {stored.id}") from None
        self._openers[kept] = opener
        if len(self._openers) > _OPENERS:
            self._openers.popitem(last=False)
        return opener

    def lying(self, stored: StoredBlob) -> Lying:
        """How the file of a blob lies there now. Raises `Corrupt` when it is missing, `Unavailable` when the disk fails."""
        try:
            # Not by way of pathlib: this is asked for every range that is read.
            found = os.lstat(f"{self._root}/{_place(stored.id)}")
        except FileNotFoundError:
            raise Corrupt(f"blob {stored.id}") from None
        except OSError as error:
            raise unavailable(error) from error
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def forget(self, blob_ids: Collection[str]) -> None:
        """Forget the keys of contents that were destroyed, which are kept in memory. Removes no blob."""
        for kept in [each for each in self._openers if each[2].id in blob_ids]:
            del self._openers[kept]

    async def remove(self, blob_id: str) -> None:
        """Remove a blob; it is no error when there is none. Raises `Unavailable` when the disk fails."""
        with guarded(), suppress(FileNotFoundError):
            await asyncio.to_thread(_path(self._root, blob_id).unlink)

    def length(self, blob_id: str) -> int:
        """How many bytes a blob takes on the disk; 0 when there is none. Raises `Unavailable`."""
        with guarded(), suppress(FileNotFoundError):
            return _path(self._root, blob_id).stat().st_size
        return 0

    def ids(self) -> Iterator[str]:
        """Iterate over the ids of all blobs: what the state does not know was stored just before a crash."""
        with guarded():
            for directory in self._root.iterdir():
                if directory.name != _INCOMING:
                    yield from (path.name for path in directory.iterdir())

    def sweep(self) -> int:
        """Remove the uploads that an earlier run left unfinished; return how many there were."""
        removed = 0
        with guarded():
            for path in (self._root / _INCOMING).iterdir():
                path.unlink()
                removed += 1
        return removed


@final
class Upload:
    """One content on its way in. Ends with `finish` or `abort`; a `with` block aborts what is unfinished."""

    def __init__(self, root: Path, stored: StoredBlob, digest: str, sealer: Sealer) -> None:
        self._root = root
        self._stored = stored
        self._digest = digest
        self._sealer = sealer
        self._hash = hashlib.sha256()
        self._received = 0
        self._plain = memoryview(bytearray(SEGMENT))  # the segment that is being gathered
        self._gathered = 0
        self._number = 0
        self._batch = memoryview(bytearray(_BATCH))  # ciphertext to be written
        self._batch[:HEADER_SIZE] = sealer.header
        self._batched = HEADER_SIZE
        self._temporary = root / _INCOMING / stored.id
        with guarded():
            self._descriptor = os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, chunk: Bytes) -> None:
        """Hash, encrypt and write the next bytes of the content.

        Raises `Malformed` when there are more than announced, `Unavailable` when the disk fails or is
        full; either ends the upload and leaves nothing behind.
        """
        self._require_open()
        try:
            self._received += len(chunk)
            if self._received > self._stored.size:
                raise Malformed(f"the content has more than the announced {self._stored.size} bytes")
            self._hash.update(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._gather(rest) :]
        except BaseException:
            self.abort()
            raise

    async def finish(self) -> StoredBlob:
        """Make the content durable and visible, once its size and SHA-256 are the announced ones.

        Raises `Malformed` when they are not, `Unavailable` when the disk fails; nothing is left
        behind then, and when the caller is cancelled meanwhile.
        """
        self._require_open()
        try:
            self._verify()
            if self._stored.size == 0:
                self._seal(b"")
            self._flush()
        except BaseException:
            self.abort()
            raise
        self._open = False
        publishing = asyncio.get_running_loop().run_in_executor(None, self._publish)
        try:
            await asyncio.shield(publishing)
        except asyncio.CancelledError:
            publishing.add_done_callback(lambda _: self._discard())
            raise
        return self._stored

    def abort(self) -> None:
        """Forget the upload and what was written of it. Does nothing once it has ended."""
        if self._open:
            self._open = False
            os.close(self._descriptor)
            self._discard()

    def _require_open(self) -> None:
        if not self._open:
            raise Misuse("an upload was used after its end")

    def _gather(self, rest: memoryview) -> int:
        """Take from `rest` what the segment still needs, seal it when it is full; return how much it took."""
        needed = plaintext_size(self._number, self._stored.size) - self._gathered
        taken = rest[:needed]
        if len(taken) == needed and self._gathered == 0:
            self._seal(taken)  # nothing to gather
            return needed
        self._plain[self._gathered : self._gathered + len(taken)] = taken
        self._gathered += len(taken)
        if len(taken) == needed:
            self._seal(self._plain[: self._gathered])
            self._gathered = 0
        return len(taken)

    def _seal(self, segment: Bytes) -> None:
        self._batched += self._sealer.seal(segment, self._batch[self._batched :])
        self._number += 1
        if self._batched == _BATCH:
            self._flush()

    def _flush(self) -> None:
        start = 0
        with guarded():
            while start < self._batched:
                start += os.write(self._descriptor, self._batch[start : self._batched])
        self._batched = 0

    def _verify(self) -> None:
        if self._received != self._stored.size:
            raise Malformed(f"the content has {self._received} bytes instead of the announced {self._stored.size}")
        if not hmac.compare_digest(self._hash.hexdigest(), self._digest):
            raise Malformed("the content's SHA-256 is not the announced one")

    def _publish(self) -> None:
        """Sync the file, then give it its name, then sync the name. Runs in a thread: it waits for the disk."""
        path = _path(self._root, self._stored.id)
        try:
            with guarded():
                try:
                    os.fsync(self._descriptor)
                finally:
                    os.close(self._descriptor)
                with suppress(FileExistsError):
                    path.parent.mkdir(mode=0o700)
                    sync_directory(self._root)
                self._temporary.rename(path)
                sync_directory(path.parent)
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        for path in (self._temporary, _path(self._root, self._stored.id)):
            with suppress(OSError):  # what stays is swept at the next start
                path.unlink()


def binding_of(repository: str, digest: str, blob_id: str) -> str:
    """What a data key is wrapped for. The last two parts have fixed forms, so no two triples have the same binding."""
    return f"nomoat-blob-v1/{repository}/{parse_digest(digest)}/{blob_id}"


def _place(blob_id: str) -> str:
    """Where a blob lies below the root."""
    if not _ID.fullmatch(blob_id):
        raise Misuse(f"{blob_id!r:.80} is no id of a blob")
    return f"{blob_id[:2]}/{blob_id}"


def _path(root: Path, blob_id: str) -> Path:
    return root / _place(blob_id)
