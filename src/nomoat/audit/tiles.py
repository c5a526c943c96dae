"""Tiles: the log's hashes and entries as resources that never change (c2sp.org/tlog-tiles).

Rules: pure. A tile is made from the hashes of complete subtrees and holds nothing that a proof could not
hold. Whoever reads one believes it only when it adds up to a signed checkpoint; so it is not checked here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nomoat.audit.tree import HASH_SIZE, Frontier, Head, ReadHash
from nomoat.core.errors import Corrupt, Malformed, NotFound

WIDTH: Final = 256
"""Hashes or entries of a full tile."""
HEIGHT: Final = 8
HIGHEST_LEVEL: Final = 7
"""Of a tree below 2^63 leaves: level 7 is above 2^56 of them."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The first `width` hashes of tile `index` of `level`; entries are at level 0."""

    level: int
    index: int
    width: int

    @property
    def first(self) -> int:
        """The first record below it."""
        return self.index << (HEIGHT * (self.level + 1))

    @property
    def full(self) -> bool:
        """Whether it will never be wider."""
        return self.width == WIDTH


def require_within(tile: Tile, size: int) -> None:
    """Raise `NotFound` unless a log of `size` records has this tile, `Malformed` when none can."""
    if not (0 <= tile.level <= HIGHEST_LEVEL and tile.index >= 0 and 1 <= tile.width <= WIDTH):
        raise Malformed(f"a tile has a level up to {HIGHEST_LEVEL} and from 1 to {WIDTH} hashes")
    if (tile.index * WIDTH + tile.width) << (HEIGHT * tile.level) > size:
        raise NotFound("the log has no such tile yet", kind="entry")


def encode_hashes(tile: Tile, read: ReadHash) -> bytes:
    """Return a tile's hashes, 32 bytes each; `read` gives the hash of a complete subtree."""
    level, start = tile.level * HEIGHT, tile.index * WIDTH
    return b"".join([read(level, start + place) for place in range(tile.width)])


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each entry after its length in two bytes."""
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_hashes(tile: Tile, data: bytes) -> list[bytes]:
    """Return a tile's hashes. Raises `Corrupt` when they are not as many as it has."""
    if len(data) != tile.width * HASH_SIZE:
        raise Corrupt(f"the log's {tile_path(tile)}")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def decode_bundle(tile: Tile, data: bytes) -> list[bytes]:
    """Return the entries of a bundle. Raises `Corrupt` when they are not as many as it has."""
    entries, at = list[bytes](), 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if len(entries) != tile.width or at != len(data):
        raise Corrupt(f"the log's {tile_path(tile, 'entries')}")
    return entries


def edge_head(size: int, edge: Mapping[int, Sequence[bytes]]) -> Head:
    """Return the head of a log of `size` records from its partial tiles: the hashes of each, by level.

    Raises `Corrupt` when they are not the partial tiles of such a log.
    """
    peaks: list[bytes] = []
    for level in sorted(edge, reverse=True):
        below = Frontier()
        below.extend(edge[level])
        peaks += below.peaks
    return Frontier(size, peaks).head()


def full_root(hashes: Sequence[bytes]) -> bytes:
    """Return what a full tile is in the tile above it."""
    whole = Frontier()
    whole.extend(hashes)
    return whole.root()


def tiles_of(size: int) -> list[Tile]:
    """Every hash tile of a log of `size` records, the partial ones included."""
    found: list[Tile] = []
    for level in range(HIGHEST_LEVEL + 1):
        whole, rest = divmod(size >> (HEIGHT * level), WIDTH)
        found += [Tile(level, index, WIDTH) for index in range(whole)]
        if rest:
            found.append(Tile(level, whole, rest))
    return found


def tile_path(tile: Tile, kind: str = "") -> str:
    """Return the path of a tile below the log's prefix; `kind` is `entries` for a bundle."""
    number = f"{tile.index % 1000:03d}"
    rest = tile.index // 1000
    while rest:
        number, rest = f"x{rest % 1000:03d}/{number}", rest // 1000
    partial = "" if tile.full else f".p/{tile.width}"
    return f"tile/{kind or tile.level}/{number}{partial}"
