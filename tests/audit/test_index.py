"""The index finds what the log itself says, sooner: the same answers, and made anew whenever it cannot be right."""

import asyncio
import os
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomoat.audit.entries import Pseudonyms
from nomoat.audit.index import Index
from nomoat.audit.indexing import BLOCK, Indexer
from nomoat.audit.log import Log
from nomoat.audit.query import parse_query
from nomoat.audit.reading import Reader
from nomoat.audit.segments import list_segments
from nomoat.core.errors import Corrupt
from nomoat.core.record import REFUSED, Json, Receipt, Record, RecordKind
from nomoat.stores.postings import Damaged, Postings
from tests.audit.attacks import flip
from tests.audit.world import FAST, ORIGIN, MemoryKeys, World, outcome

KEY = bytes(range(100, 132))
PEOPLE = [f"person{number}@acme.example" for number in range(12)]
FILES = ["", ":data/a.parquet", ":data/b c.parquet", ":metrics.json", "@3f9c:metrics.json", "@3f9c"]
FOUND = ["secret:aws-access-key", "secret:jwt", "source:acme/engine", "value:names"]
THINGS = [f"acme/d{number}{file}" for number in range(4) for file in FILES] + ["acme/d", "acme", "other/d1"]


def access(chance: random.Random) -> Record:
    name, on = chance.choice(PEOPLE), chance.choice(THINGS)
    kind = "person" if name < PEOPLE[6] else "workload"
    decision = chance.choice(["allow", "allow", "deny"])
    what = chance.choice(["ReadFile", "WriteFile", "ListFiles", "InvokeModel"])
    content: dict[str, Json] = {
        "who": {"kind": kind, "name": name, "session": f"s-{chance.randrange(30)}"},
        "what": what,
        "on": {"kind": "File", "name": on, "labels": chance.sample(["metrics", "raw", "pii"], chance.randrange(3))},
    }
    if chance.random() < 0.1:
        content["all"] = {"count": 2, "names": [on, chance.choice(THINGS)]}
    if chance.random() < 0.1:
        content["on"] = {"requested": on}
    if what == "InvokeModel":
        content["asked"] = {"found": " ".join(chance.sample(FOUND, chance.randrange(3)))}
    return Record(RecordKind.OPENING, f"{kind}:{name}", what, on, decision, content)


def ended(receipt: Receipt, ending: str, chance: random.Random) -> Record:
    """How an access ended; some of them had asked a server."""
    record = outcome(receipt, ending, PEOPLE[0], "deny" if ending == REFUSED else "")
    if chance.random() < 0.5:
        return record
    said: dict[str, Json] = {**record.content, "facts": {"upstream": chance.choice(["ours", "theirs"])}}
    return record._replace(what="InvokeModel", content=said)


@dataclass
class Indexed:
    """A log, how it is read without an index, and where its index goes."""

    world: World
    path: Path
    size: int = 0

    def erased(self) -> int:
        assert isinstance(self.world.keys, MemoryKeys)
        return max(self.world.keys.erasures.values(), default=-1)

    @property
    def reader(self) -> Reader:
        return Reader(self.world.directory, self.world.key, Pseudonyms(self.world.pseudonym_key), self.world.keys)

    def indexer(self, key: bytes = KEY) -> Indexer:
        pseudonyms = Pseudonyms(self.world.pseudonym_key)
        return Indexer(self.world.directory, self.path, key, self.world.key, pseudonyms, self.world.keys, self.erased)

    def catch_up(self, size: int | None = None) -> None:
        with closing(self.indexer()) as indexer:
            while indexer.follow(self.size if size is None else size):
                pass

    def index(self) -> Index:
        return Index(self.path, KEY, self.world.directory, self.reader, self.erased)


async def write(world: World, count: int, seed: int = 1) -> int:
    """Write so many accesses, most of them with an outcome, some of them long after."""
    log, chance = await world.open(settings=FAST), random.Random(seed)  # noqa: S311 - a test's
    try:
        open_accesses: list[Receipt] = []
        for _ in range(count // 500):
            world.clock.now += 10
            receipts = await asyncio.gather(*(log.append(access(chance)) for _ in range(300)))
            open_accesses += receipts
            chance.shuffle(open_accesses)
            for receipt in open_accesses[: chance.randrange(200, 280)]:
                ending = chance.choice(["complete", "complete", "cut", REFUSED])
                log.post(ended(receipt, ending, chance))
            open_accesses = open_accesses[280:] if len(open_accesses) > 280 else []
        await log._commit.drain()
        return log.size
    finally:
        await log.close()


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    root = tmp_path_factory.mktemp("indexed")
    found = Indexed(World(root / "log"), root / "index.db")
    found.size = asyncio.run(write(found.world, BLOCK + 2500))
    found.catch_up()
    return found


def queries() -> list[str]:
    return [
        "",
        "allowed",
        "refused",
        "allowed refused",
        "refused what ReadFile on acme/d1 since 100s",
        "on acme/d1",
        "on acme",
        "on acme/d",
        "on acme/d1:metrics.json",
        "on acme/d1@3f9c",
        "on acme/d1@3f9c:metrics.json",
        '"on" "acme/d2:data/b c.parquet"',
        "on acme/d2:data/b",
        "by person",
        "by workload refused",
        f"by {PEOPLE[3]}",
        f"by person:{PEOPLE[3]} what ReadFile on acme/d2 allowed",
        f"by {PEOPLE[3]} by {PEOPLE[4]}",
        "by system",
        "by nobody",
        "label pii",
        "label pii label raw refused",
        "session s-7",
        "what LogOpened",
        "found secret",
        "found secret:jwt refused",
        "found secret:j",
        "found secret found value:names on acme/d1",
        "found source:acme/engine by person",
        "upstream ours",
        "upstream theirs found secret",
        "upstream ours refused",
        "upstream ours upstream theirs",
        "upstream nobody's",
        "upstream theirs what InvokeModel on acme/d2 since 200s",
        "since 2026-11-18T12:00Z",
        "until 2026-11-18T11:08Z on acme/d1",
        f"since 200s by {PEOPLE[5]}",
    ]


@pytest.mark.parametrize("text", queries())
def test_a_search_finds_what_the_log_says(indexed: Indexed, text: str) -> None:
    query = parse_query(text, indexed.world.clock.now)
    with closing(indexed.index()) as index:
        for after, limit in ((-1, 300), (BLOCK - 9, 1000)):
            expected = indexed.reader.search(query, after=after, limit=limit, size=indexed.size)
            assert index.search(query, after=after, limit=limit, size=indexed.size) == expected


def test_one_record_by_its_number(indexed: Indexed) -> None:
    with closing(indexed.index()) as index:
        for number in (0, 1, 77, BLOCK - 1, BLOCK, indexed.size - 1, indexed.size, 1 << 40):
            query = parse_query(f"record {number}", 0)
            expected = indexed.reader.search(query, after=-1, limit=1, size=indexed.size)
            assert index.search(query, after=-1, limit=1, size=indexed.size) == expected


# -- Behind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1500])
def test_what_the_index_does_not_have_yet_is_read_from_the_log(indexed: Indexed, tmp_path: Path, size: int) -> None:
    behind = Indexed(indexed.world, tmp_path / "index.db", indexed.size)
    behind.catch_up(size)
    with closing(behind.index()) as index:
        assert index.size == size
        for text in ("on acme/d1 refused", f"by {PEOPLE[3]}", "label raw allowed", "upstream ours", "found secret"):
            query = parse_query(text, 0)
            expected = indexed.reader.search(query, after=-1, limit=200, size=indexed.size)
            assert index.search(query, after=-1, limit=200, size=indexed.size) == expected
        for number in (size - 1, size, size + 1, 3):
            query = parse_query(f"record {max(number, 0)}", 0)
            expected = indexed.reader.search(query, after=-1, limit=1, size=indexed.size)
            assert index.search(query, after=-1, limit=1, size=indexed.size) == expected


def test_it_goes_on_where_it_left_off(indexed: Indexed, tmp_path: Path) -> None:
    again = Indexed(indexed.world, tmp_path / "index.db", indexed.size)
    for size in (10, 10, BLOCK + 7, BLOCK + 8, indexed.size):
        again.catch_up(size)
    with closing(again.indexer()) as indexer:
        assert indexer.size == indexed.size // BLOCK * BLOCK  # the newest block is begun anew
        indexer.follow(indexed.size)
    query, size = parse_query("on acme/d1 refused", 0), indexed.size
    with closing(again.index()) as index, closing(indexed.index()) as whole:
        found = index.search(query, after=-1, limit=1000, size=size)
        assert found == whole.search(query, after=-1, limit=1000, size=size) != []


def test_nothing_is_taken_in_that_is_not_durable(indexed: Indexed, tmp_path: Path) -> None:
    early = Indexed(indexed.world, tmp_path / "index.db", indexed.size)
    with closing(early.indexer()) as indexer:
        indexer.follow(123)
        assert indexer.size == 123
        with pytest.raises(Corrupt):
            indexer.follow(indexed.size + 9, most=1 << 30)  # the log has fewer


# -- Not to be trusted ---------------------------------------------------------------------------------


def copied(indexed: Indexed, to: Path) -> Indexed:
    for suffix in ("", "-wal", "-shm"):
        source = indexed.path.with_name(indexed.path.name + suffix)
        if source.exists():
            shutil.copy(source, to / f"index.db{suffix}")
    return Indexed(indexed.world, to / "index.db", indexed.size)


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def rot(path: Path) -> None:
    """Flip a bit on every page."""
    for offset in range(100, path.stat().st_size, 4096):
        flip(path, offset)


@pytest.mark.parametrize("damage", [remove, cut, empty, garbage, rot])
def test_a_damaged_index_is_as_none_and_made_anew(
    indexed: Indexed, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    hurt = copied(indexed, tmp_path)
    damage(hurt.path)
    query = parse_query("on acme/d1 refused", 0)
    expected = indexed.reader.search(query, after=-1, limit=100, size=indexed.size)
    with closing(hurt.index()) as index:
        assert index.search(query, after=-1, limit=100, size=indexed.size) == expected
        hurt.catch_up()
        assert index.size == indexed.size  # by the same reader, which notices
        assert index.search(query, after=-1, limit=100, size=indexed.size) == expected


def test_every_rotten_page_is_noticed_or_changes_nothing(indexed: Indexed, tmp_path: Path) -> None:
    query = parse_query(f"by {PEOPLE[3]} refused", 0)
    expected = indexed.reader.search(query, after=-1, limit=1000, size=indexed.size)
    whole = copied(indexed, tmp_path)
    data = whole.path.read_bytes()
    for offset in range(60, len(data), 4096):  # a byte of each page
        flip(whole.path, offset, bit=offset % 8)
        with closing(whole.index()) as index:
            assert index.search(query, after=-1, limit=1000, size=indexed.size) == expected
        whole.path.write_bytes(data)


def test_an_index_of_another_key_log_or_history_is_made_anew(indexed: Indexed, tmp_path: Path) -> None:
    with closing(copied(indexed, tmp_path).indexer(bytes(32))) as indexer:
        assert indexer.size == 0
    other = copied(indexed, tmp_path)
    other.world = World(tmp_path / "other", indexed.world.signing_key, indexed.world.pseudonym_key, MemoryKeys())
    other.size = asyncio.run(write(other.world, BLOCK + 2000, seed=2))
    with closing(other.indexer()) as indexer:
        assert indexer.size == 0
    shorter = copied(indexed, tmp_path)
    shorter.world = World(tmp_path / "short", indexed.world.signing_key, indexed.world.pseudonym_key, MemoryKeys())
    shorter.size = asyncio.run(write(shorter.world, 1000, seed=3))
    with closing(shorter.indexer()) as indexer:
        assert indexer.size == 0


def test_no_word_of_a_record_is_in_the_file_even_decrypted(indexed: Indexed) -> None:
    raw = b"".join(path.read_bytes() for path in indexed.path.parent.glob("index.db*"))
    postings = Postings.reader(indexed.path, KEY)
    rows = postings._rows("SELECT * FROM fact")
    rows += postings._rows("SELECT block, term FROM posting LIMIT 1000")
    postings.close()
    text = repr(rows).encode()
    for word in (b"person1", b"acme", b"metrics", b"ReadFile", b"aws-access"):  # by chance, three bytes are in any file
        assert word not in raw
        assert word not in text.replace(ORIGIN.encode(), b"")
    with pytest.raises(Damaged):
        Postings.reader(indexed.path, bytes(32))


def test_erased_content_is_found_by_no_name(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    erased = Indexed(world, tmp_path / "index.db")
    erased.size = asyncio.run(write(world, 1000))
    erased.catch_up()
    query = parse_query(f"by {PEOPLE[3]}", 0)
    subject = Pseudonyms(world.pseudonym_key).subject(f"person:{PEOPLE[3]}")
    assert isinstance(world.keys, MemoryKeys)
    with closing(erased.index()) as index:
        assert index.search(query, after=-1, limit=10, size=erased.size)
        del world.keys.keys[subject]
        assert index.search(query, after=-1, limit=10, size=erased.size) == []


def test_attack_searching_what_an_erased_person_touched(tmp_path: Path) -> None:
    """The index knew by whom records were, and others' records name the things: at once after it, nothing is told."""
    world = World(tmp_path / "log")
    erased = Indexed(world, tmp_path / "index.db")
    erased.size = asyncio.run(write(world, 1000))
    subject = Pseudonyms(world.pseudonym_key).subject(f"person:{PEOPLE[3]}")
    assert isinstance(world.keys, MemoryKeys)
    query = parse_query(f"by {PEOPLE[3]}", 0)
    with closing(erased.index()) as index, closing(erased.indexer()) as indexer:
        indexer.follow(erased.size)
        assert index.search(query, after=-1, limit=100, size=erased.size)
        del world.keys.keys[subject]
        world.keys.erasures[subject] = erased.size
        for _ in ("before it is made anew", "after"):
            assert index.search(query, after=-1, limit=100, size=erased.size) == []
            indexer.follow(erased.size)
        assert index.size == erased.size


def test_damage_in_the_log_is_told_by_the_search_without_it(tmp_path: Path) -> None:
    world = World(tmp_path / "log")
    hurt = Indexed(world, tmp_path / "index.db")
    hurt.size = asyncio.run(write(world, 1000))
    (_, segment), *_ = list_segments(world.directory)
    flip(segment, segment.stat().st_size // 2)
    with pytest.raises(Corrupt), closing(hurt.indexer()) as indexer:
        indexer.follow(hurt.size)


def test_the_log_grows_on_while_it_is_followed(tmp_path: Path) -> None:
    """Across segments, through a restart of the log, read by one that stays open."""
    world = World(tmp_path / "log")
    followed = Indexed(world, tmp_path / "index.db")
    index = followed.index()

    async def grow(log: Log, chance: random.Random) -> None:
        await asyncio.gather(*(log.append(access(chance)) for _ in range(400)))

    async def run() -> None:
        small = type(FAST)(segment_size=64 * 1024, probe_interval=0.01, reserve_size=65536, reserve_slice=16384)
        chance = random.Random(5)  # noqa: S311
        for _ in range(3):
            log = await world.open(settings=small)
            with closing(followed.indexer()) as indexer:
                for _ in range(6):
                    await grow(log, chance)
                    indexer.follow(log.size)
                    query = parse_query("on acme/d2 refused", 0)
                    expected = followed.reader.search(query, after=-1, limit=1000, size=log.size)
                    assert index.search(query, after=-1, limit=1000, size=log.size) == expected
            await log.close()

    asyncio.run(run())
    index.close()
    assert len(list_segments(world.directory)) > 5
