"""Chunks: columns of the log at rest, each encrypted under a key of its own that lies wrapped in the state.

Rules: a chunk holds the records from `first` to `last`, and chunks follow each other without a gap. All
of it can be made again from the log, so losing one costs time only. Destroying the keys destroys what
the chunks say, wherever the files may still lie. The directory is trusted with nothing: a file that was
changed, swapped or cut does not open.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, delete, insert, select

from nomoat.core.errors import Corrupt, Unavailable
from nomoat.stores.disk import sync_directory
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.state.schema import chunk

KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 12


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the state knows of a chunk: its records' numbers and times, and its wrapped key."""

    first: int
    last: int
    oldest: str
    newest: str
    wrapped_key: bytes = field(repr=False)


@final
class StoredChunks:
    """The chunks in one directory, their keys in `state`, wrapped by `kek`."""

    def __init__(self, directory: Path, state: State, kek: KeyEncryptionKey) -> None:
        self._directory = directory
        self._state = state
        self._kek = kek
        self.dropped = 0
        """How often all chunks were destroyed: what is being made meanwhile is not to be kept."""

    def list(self) -> Sequence[Chunk]:
        """Return every chunk in the order of its records. Raises `Unavailable`."""

        def read(connection: Connection) -> list[Chunk]:
            return [Chunk(*row) for row in connection.execute(select(chunk).order_by(chunk.c.first))]

        return self._state.read(read)

    def open(self, one: Chunk) -> bytes:
        """Return a chunk's bytes. Raises `Corrupt` when they are not what was kept, `Unavailable`."""
        name = f"chunk {one.first} of the log's columns"
        try:
            sealed = self._path(one.first).read_bytes()
        except FileNotFoundError:
            raise Corrupt(name) from None
        except OSError as error:
            raise Unavailable("columns", f"a chunk cannot be read ({error.strerror})") from error
        key = self._kek.unwrap(one.wrapped_key, purpose=purpose_of_chunk(one.first))
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _bound(one.first, one.last))
        except (InvalidTag, ValueError):
            raise Corrupt(name) from None

    async def add(
        self, first: int, last: int, times: tuple[str, str], content: bytes, still: Callable[[], bool]
    ) -> None:
        """Keep a chunk, unless `still` says, in the order of the state's writes, that it must not be any more.

        Raises `Unavailable`.
        """
        key, nonce = secrets.token_bytes(KEY_SIZE), os.urandom(_NONCE_SIZE)
        sealed = nonce + AESGCM(key).encrypt(nonce, content, _bound(first, last))
        row = {"first": first, "last": last, "oldest": times[0], "newest": times[1]}
        wrapped = self._kek.wrap(key, purpose=purpose_of_chunk(first))

        def keep(connection: Connection) -> None:
            if still():
                self._write(first, sealed)
                connection.execute(insert(chunk).values(**row, wrapped_key=wrapped))

        # Nothing is decided on it, and all of it can be made again.
        await self._state.write(keep, followed=False)

    def drop(self, connection: Connection) -> None:
        """Destroy the keys of all chunks within somebody else's transaction; `clear` removes the files after it."""
        self.dropped += 1
        connection.execute(delete(chunk))

    async def clear(self) -> None:
        """Destroy every chunk: its key, then its file. Raises `Unavailable`."""
        await self._state.write(self.drop, followed=False)
        with suppress(OSError):
            for path in self._directory.glob("*.chunk"):
                path.unlink()

    def _write(self, first: int, sealed: bytes) -> None:
        path = self._path(first)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(descriptor)
            sync_directory(self._directory)
        except OSError as error:
            raise Unavailable("columns", f"a chunk cannot be written ({error.strerror})") from error

    def _path(self, first: int) -> Path:
        return self._directory / f"{first:012d}.chunk"


def purpose_of_chunk(first: int) -> str:
    """What the key of the chunk that begins with record `first` is wrapped for."""
    return f"columns from {first}"


def _bound(first: int, last: int) -> bytes:
    return f"nomoat-columns-v1/{first}/{last}".encode()
