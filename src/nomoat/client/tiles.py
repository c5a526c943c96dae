"""The log's tiles as files, for any static web server and anybody's tools (c2sp.org/tlog-tiles).

Rules: nothing is written that does not add up to a signed checkpoint, from the root down, and the checkpoint
itself comes last: who reads the directory finds every tile of the checkpoint that it has. What is there is not
written again. A checkpoint older than the one there, or of another history, is refused before anything is written.
Hashes are for anybody; entries say in pseudonyms who did what, so only the owner and the group may read them.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from nomoat.audit.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from nomoat.audit.tiles import (
    HEIGHT,
    WIDTH,
    Tile,
    decode_bundle,
    decode_hashes,
    edge_head,
    full_root,
    tile_path,
    tiles_of,
)
from nomoat.audit.tree import HASH_SIZE, leaf_hash, verify_consistency
from nomoat.core.errors import Conflict, Corrupt, Malformed, Unavailable

CHECKPOINT: Final = "checkpoint"
TILES: Final = "tile"
ENTRIES: Final = "entries"
PUBLIC: Final = 0o644
PRIVATE: Final = 0o640

Told = Callable[[int, int], None]
"""Hears how many files of how many are done."""


class Source(Protocol):
    """Where tiles come from; nothing of it is believed. Raises `Refused` and `Unavailable`."""

    def tile(self, path: str) -> bytes:
        """Return what is at a path below the log's prefix."""
        ...

    def consistency(self, old: int, new: int) -> Sequence[bytes]:
        """Return the proof that the log of `new` records extends that of `old`."""
        ...


@dataclass(frozen=True, slots=True)
class LaidOut:
    """What a directory holds now: a log of `size` records. `before` is what it held, `written` counts new files."""

    size: int
    root: bytes
    before: int
    written: int


def lay_out(
    directory: Path, checkpoint: Checkpoint, key: VerifierKey, source: Source, *, entries: bool, told: Told
) -> LaidOut:
    """Write the tiles of a verified checkpoint of the log `key` into `directory`, with `entries` also its bundles.

    Raises `Conflict` when the directory holds a newer checkpoint, another log's, or another process writes there,
    `Corrupt` when what the source gives is not of that checkpoint or of another history than what is there,
    `Unavailable` when a file cannot be read or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            return _Layout(directory, checkpoint, key, source, told).write(entries=entries)
    except OSError as error:
        raise Unavailable("disk", f"{error.filename or directory} cannot be written ({error.strerror})") from error


class _Layout:
    """One run over one directory."""

    def __init__(self, directory: Path, checkpoint: Checkpoint, key: VerifierKey, source: Source, told: Told) -> None:
        self._directory = directory
        self._checkpoint = checkpoint
        self._key = key
        self._source = source
        self._told = told
        self._edge: dict[int, list[bytes]] = {}
        self._read_before: dict[int, tuple[Tile, list[bytes]]] = {}
        self._touched: set[Path] = set()
        self._before = 0
        self._written = 0

    def write(self, *, entries: bool) -> LaidOut:
        """Write what is missing, the checkpoint last."""
        held = self._held()
        self._before = 0 if held is None else held.size
        self._require_ours(held, entries=entries)
        if held is not None:
            self._require_extension(held)
        tiles = sorted(tiles_of(self._checkpoint.size), key=lambda tile: -tile.level)
        self._take_edge([tile for tile in tiles if not tile.full])
        total = len(tiles) + sum(entries and tile.level == 0 for tile in tiles)
        done = 0
        for tile in tiles:
            self._write_tile(tile)
            done += 1
            self._told(done, total)
        for tile in [tile for tile in tiles if entries and tile.level == 0]:
            self._write_bundle(tile)
            done += 1
            self._told(done, total)
        if held is None or held.note != self._checkpoint.note:
            for touched in self._touched:
                _sync(touched)  # a crash may leave tiles without their checkpoint, and no checkpoint without its tiles
            self._keep(CHECKPOINT, self._checkpoint.note, PUBLIC)
            _sync(self._directory)
        self._drop_outgrown()
        return LaidOut(self._checkpoint.size, self._checkpoint.head.root, self._before, self._written)

    # -- What is there --------------------------------------------------------------------------------

    def _held(self) -> Checkpoint | None:
        path = self._directory / CHECKPOINT
        try:
            return verify_checkpoint(path.read_bytes(), self._key)
        except FileNotFoundError:
            return None
        except (Malformed, Corrupt):
            raise Conflict(f"{path} is not a checkpoint of {self._key.name}; name another directory") from None

    def _require_ours(self, held: Checkpoint | None, *, entries: bool) -> None:
        """Raise `Conflict` for a directory of something else, and for one whose entries would be left behind."""
        foreign = {path.name for path in self._directory.iterdir()} - {CHECKPOINT, TILES}
        if foreign and held is None:
            raise Conflict(f"{self._directory} holds {min(foreign)}, which is no tile; name another directory")
        if not entries and (self._directory / TILES / ENTRIES).exists():
            raise Conflict(f"{self._directory} holds entries too, which would end before its checkpoint: write both")

    def _require_extension(self, held: Checkpoint) -> None:
        """Raise unless the new checkpoint is the one that is there, or one that is proven to extend it."""
        old, new = sorted((held.head, self._checkpoint.head), key=lambda head: head.size)
        proof = self._source.consistency(old.size, new.size) if 0 < old.size < new.size else ()
        try:
            verify_consistency(old, new, proof)
        except Corrupt:
            path = self._directory / CHECKPOINT
            raise Corrupt(f"the log ({path} has {held.size} records of another history)") from None
        if self._checkpoint.size < held.size:
            raise Conflict(
                f"{self._directory} holds the log of {held.size} records, and the checkpoint that the gateway shows "
                f"has {self._checkpoint.size}; nothing was written"
            )

    def _is_held(self, tile: Tile) -> bool:
        """Whether an earlier run verified and finished this full tile."""
        return tile.full and (tile.index + 1) << (HEIGHT * (tile.level + 1)) <= self._before

    def _read(self, path: str) -> bytes | None:
        try:
            return (self._directory / path).read_bytes()
        except FileNotFoundError:
            return None

    # -- From the root down ---------------------------------------------------------------------------

    def _take_edge(self, partial: Sequence[Tile]) -> None:
        """Fetch the partial tiles, which the checkpoint's root is made of."""
        for tile in partial:
            self._edge[tile.level] = decode_hashes(tile, self._source.tile(tile_path(tile)))
        if edge_head(self._checkpoint.size, self._edge) != self._checkpoint.head:
            raise Corrupt("the log's partial tiles (they do not add up to its checkpoint)")

    def _write_tile(self, tile: Tile) -> None:
        path = tile_path(tile)
        if not tile.full:
            data = b"".join(self._edge[tile.level])
            if self._read(path) != data:
                self._keep(path, data, PUBLIC)
            return
        if self._is_held(tile) and (self._directory / path).is_file():
            return
        if (there := self._read(path)) is not None and self._fits(tile, there):
            return  # of a run that did not come to its end
        data = self._source.tile(path)
        if not self._fits(tile, data):
            raise Corrupt(f"the log's {path} (it does not add up to its checkpoint)")
        self._keep(path, data, PUBLIC)

    def _fits(self, tile: Tile, data: bytes) -> bool:
        """Whether a full tile is what the tile above it says."""
        above = self._hashes(Tile(tile.level + 1, tile.index // WIDTH, WIDTH))
        return len(data) == WIDTH * HASH_SIZE and full_root(decode_hashes(tile, data)) == above[tile.index % WIDTH]

    def _hashes(self, tile: Tile) -> list[bytes]:
        """Return the hashes of a tile that was taken: of the edge, or from its file, which still has to fit."""
        if tile.index == (self._checkpoint.size >> (HEIGHT * tile.level)) // WIDTH:
            return self._edge[tile.level]
        before = self._read_before.get(tile.level)
        if before is not None and before[0] == tile:
            return before[1]
        path = tile_path(tile)
        data = self._read(path)
        if data is None or not self._fits(tile, data):
            raise Conflict(f"{self._directory / path} is not what was written there; remove it, and run this again")
        self._read_before[tile.level] = tile, decode_hashes(tile, data)
        return self._read_before[tile.level][1]

    def _write_bundle(self, tile: Tile) -> None:
        path = tile_path(tile, ENTRIES)
        if self._is_held(tile) and (self._directory / path).is_file():
            return
        leaves = self._hashes(tile)
        if (there := self._read(path)) is not None and _is_of(tile, there, leaves):
            return
        data = self._source.tile(path)
        if not _is_of(tile, data, leaves):
            raise Corrupt(f"the log's {path} (its entries are not those of the tree)")
        self._keep(path, data, PRIVATE)

    # -- Files ----------------------------------------------------------------------------------------

    def _keep(self, name: str, data: bytes, mode: int) -> None:
        """Write a file, whole or not at all, and durably."""
        path = self._directory / name
        self._make(path.parent)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        self._touched.add(path.parent)
        self._written += 1

    def _make(self, directory: Path) -> None:
        """Make a directory below ours; what is below the entries' own is hidden by that one."""
        if directory.is_dir():
            return
        self._make(directory.parent)
        directory.mkdir(mode=0o750 if directory.name == ENTRIES else 0o755)
        self._touched.add(directory.parent)

    def _drop_outgrown(self) -> None:
        """Remove the partial tiles of the checkpoint before whose full tile is there now: nobody needs them any more."""
        for level in range(HEIGHT):
            index, width = divmod(self._before >> (HEIGHT * level), WIDTH)
            for kind in ("", ENTRIES) if level == 0 else ("",):
                full = self._directory / tile_path(Tile(level, index, WIDTH), kind)
                outgrown = full.with_name(f"{full.name}.p")
                if width and full.is_file():
                    for path in outgrown.glob("*"):
                        path.unlink()
                    with suppress(FileNotFoundError):
                        outgrown.rmdir()


def _is_of(tile: Tile, data: bytes, leaves: Sequence[bytes]) -> bool:
    """Whether a bundle has the entries of these leaves."""
    try:
        return [leaf_hash(entry) for entry in decode_bundle(tile, data)] == leaves
    except Corrupt:
        return False


def _sync(directory: Path) -> None:
    """Return when a directory's entries are durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    """Exclude other runs over the same directory. Raises `Conflict`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another process writes tiles into {directory}; let it finish") from None
        yield
    finally:
        os.close(descriptor)
