"""A real log of a few hundred records, laid out as the static files of c2sp.org/tlog-tiles."""

from dataclasses import dataclass
from pathlib import Path

from nomoat.audit.checkpoint import parse_checkpoint
from nomoat.audit.evidence import Evidence
from nomoat.audit.log import Log
from nomoat.audit.tiles import tile_path, tiles_of
from nomoat.audit.tree import Head, inclusion_proof, root_at
from tests.audit.world import World, opening

RECORDS = 700


@dataclass
class Published:
    """The files below `directory`, and what the log itself says of them."""

    directory: Path
    key: str
    note: bytes
    head: Head
    leaves: list[bytes]
    inclusion: dict[int, list[bytes]]
    consistency: dict[int, list[bytes]]
    heads: dict[int, Head]


PLACES = (0, 1, 2, 255, 256, 257, 511, 512, 640, 698, 699)
OLDER = (1, 2, 3, 255, 256, 257, 512, 600, 699, 700)


async def publish(root: Path) -> Published:
    world = World(root / "log")
    log = await world.open()
    while log.size < RECORDS:
        for number in range(min(50, RECORDS - log.size)):
            log.post(opening(f"person:p{number % 7}", f"acme/d{number % 5}", decision="deny"))
        await log.append(opening()) if log.size < RECORDS - 60 else await log._commit.drain()
    try:
        return await _lay_out(world, log, root / "published")
    finally:
        await log.close()


async def _lay_out(world: World, log: Log, directory: Path) -> Published:
    evidence, note = Evidence(log, world.directory, world.keys), log.checkpoint()
    head = parse_checkpoint(note).head
    files = {"checkpoint": note}
    for tile in tiles_of(head.size):
        files[tile_path(tile)] = evidence.tile(tile.level, tile.index, tile.width)
        if tile.level == 0:
            files[tile_path(tile, "entries")] = await evidence.bundle(tile.index, tile.width)
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Published(
        directory,
        str(world.key),
        note,
        head,
        [log.hash_at(0, number) for number in range(head.size)],
        {place: inclusion_proof(place, head.size, log.hash_at) for place in PLACES},
        {old: log.consistency(old, head.size) for old in OLDER},
        {old: Head(old, root_at(old, log.hash_at)) for old in OLDER},
    )
