"""The shapes of c2sp.org/tlog-tiles: which tiles a log has, how they are called, what is no tile."""

from hashlib import sha256

import pytest

from nomoat.audit.tiles import Tile, encode_bundle, encode_hashes, require_within, tile_path, tiles_of
from nomoat.audit.tree import Frontier, leaf_hash, position
from nomoat.core.errors import Malformed, NotFound
from nomoat.protocols.admin.evidence import parse_index


def test_the_tiles_of_the_specification_s_example() -> None:
    tiles = tiles_of(70_000)
    by_level = {level: [tile for tile in tiles if tile.level == level] for level in range(4)}
    assert [len(by_level[level]) for level in range(4)] == [274, 2, 1, 0]
    assert [tile.width for tile in by_level[0]] == [256] * 273 + [112]
    assert [tile.width for tile in by_level[1]] == [256, 17]
    assert [tile.width for tile in by_level[2]] == [1]
    assert tiles_of(256) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert tiles_of(0) == []


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0, 256), "tile/0/000"),
        (Tile(3, 1_234_067, 256), "tile/3/x001/x234/067"),
        (Tile(0, 999, 1), "tile/0/999.p/1"),
        (Tile(1, 1000, 255), "tile/1/x001/000.p/255"),
    ],
)
def test_paths_are_written_and_read(tile: Tile, path: str) -> None:
    assert tile_path(tile) == path
    assert parse_index(path.split("/", 2)[2]) == (tile.index, tile.width)


OTHER = "0|00|0000|x000/001|x01/001|001/001|x001|001.p/0|001.p/256|001.p/01|001.p/1000|001.p|001.p/|001/|/001|-01"
OTHER += f"|\u0660\u0660\u0661|001.p/1/2|{'x001/' * 6}001|001.P/1||001 "


@pytest.mark.parametrize("path", OTHER.split("|"))
def test_other_paths_are_no_tile(path: str) -> None:
    with pytest.raises(Malformed):
        parse_index(path)


def test_a_tile_holds_the_roots_of_full_tiles_below() -> None:
    frontier, leaves = Frontier(), [leaf_hash(b"%d" % n) for n in range(70_000)]
    storage = frontier.extend(leaves)

    def read(level: int, index: int) -> bytes:
        return storage[position(level, index)]

    def root(hashes: list[bytes]) -> bytes:
        while len(hashes) > 1:
            hashes = [sha256(b"\x01" + a + b).digest() for a, b in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]

    assert encode_hashes(Tile(0, 273, 112), read) == b"".join(leaves[273 * 256 :])
    above = encode_hashes(Tile(1, 0, 256), read)
    for at in (0, 1, 255):
        assert above[at * 32 : at * 32 + 32] == root(leaves[at * 256 : at * 256 + 256])
    assert encode_hashes(Tile(2, 0, 1), read) == root([above[at : at + 32] for at in range(0, len(above), 32)])


def test_what_the_log_does_not_have_yet_is_not_there() -> None:
    for tile in tiles_of(70_000):
        require_within(tile, 70_000)
    for tile in (Tile(0, 273, 113), Tile(0, 274, 1), Tile(1, 1, 18), Tile(2, 0, 2), Tile(3, 0, 1), Tile(7, 0, 1)):
        with pytest.raises(NotFound):
            require_within(tile, 70_000)
    for tile in (Tile(8, 0, 1), Tile(0, 0, 0), Tile(0, 0, 257), Tile(-1, 0, 1), Tile(0, -1, 1)):
        with pytest.raises(Malformed):
            require_within(tile, 70_000)


def test_a_bundle_says_how_long_each_entry_is() -> None:
    assert encode_bundle([b"ab", b"", b"x" * 0xFFFF]) == b"\x00\x02ab\x00\x00\xff\xff" + b"x" * 0xFFFF
