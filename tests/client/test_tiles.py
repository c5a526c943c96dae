"""The log laid out as files: read by a reader that is not ours, grown, interrupted, lied to."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from nomoat.audit.checkpoint import Checkpoint, NoteSigner, sign_checkpoint, verify_checkpoint
from nomoat.audit.tiles import Tile, encode_bundle, encode_hashes, tile_path, tiles_of
from nomoat.audit.tree import Frontier, Head, consistency_proof, leaf_hash, position, root_at
from nomoat.client.tiles import LaidOut, lay_out
from nomoat.core.errors import Conflict, Corrupt, Unavailable

SIGNER = NoteSigner("acme.example/log", bytes(range(32)))


class Grown:
    """A log of entries `NAME 0`, `NAME 1` …, as it is asked for its tiles at any size up to `most`."""

    def __init__(self, most: int, name: str = "entry", fork: int = 0) -> None:
        self.entries = [b"%s %d" % (name.encode() if n >= fork else b"entry", n) for n in range(most)]
        self._hashes = Frontier().extend([leaf_hash(entry) for entry in self.entries])
        self.asked: list[str] = []
        self.changed: dict[str, bytes] = {}
        self.failing = ""

    def read(self, level: int, index: int) -> bytes:
        return self._hashes[position(level, index)]

    def checkpoint(self, size: int, signer: NoteSigner = SIGNER) -> Checkpoint:
        return verify_checkpoint(sign_checkpoint(signer, Head(size, root_at(size, self.read))), signer.key)

    def consistency(self, old: int, new: int) -> Sequence[bytes]:
        return consistency_proof(old, new, self.read)

    def tile(self, path: str) -> bytes:
        if path == self.failing:
            raise Unavailable("gateway", "it left")
        self.asked.append(path)
        return self.changed.get(path) or self.right(path)

    def right(self, path: str) -> bytes:
        kind, rest = path.removeprefix("tile/").split("/", 1)
        number, _, width = rest.partition(".p/")
        tile = Tile(
            0 if kind == "entries" else int(kind), int(number.replace("x", "").replace("/", "")), int(width or 256)
        )
        if kind == "entries":
            return encode_bundle(self.entries[tile.first : tile.first + tile.width])
        return encode_hashes(tile, self.read)


def paths(size: int) -> Iterator[str]:
    for tile in tiles_of(size):
        yield tile_path(tile)
        if tile.level == 0:
            yield tile_path(tile, "entries")


def written(directory: Path, log: Grown, size: int, *, entries: bool = True) -> LaidOut:
    return lay_out(directory, log.checkpoint(size), SIGNER.key, log, entries=entries, told=lambda _done, _all: None)


def require_readable(directory: Path, log: Grown, size: int) -> None:
    """A foreign reader finds everything there, from the checkpoint to each entry, and it adds up."""
    reader = TilesReader(LocalBackend(directory))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(str(SIGNER.key)))
    assert (checkpoint.size, reader.calculate_root_hash()) == (size, checkpoint.root_hash)
    for number in {0, size // 2, size - 1}:
        assert reader.get_entry(number) == log.entries[number]
        reader.get_inclusion_proof(number, size).check(leaf_hash(log.entries[number]), checkpoint.root_hash)


def files(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {
        str(path.relative_to(directory)): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in found
    }


@pytest.fixture(scope="module")
def huge() -> Grown:
    return Grown(66_000)


@pytest.mark.parametrize("sizes", [(1, 2), (255, 256, 257), (300, 700, 1024), (65_535, 65_536, 65_537, 65_900)])
def test_a_foreign_reader_reads_each_size(tmp_path: Path, huge: Grown, sizes: tuple[int, ...]) -> None:
    before = 0
    for size in sizes:
        done = written(tmp_path, huge, size)
        assert (done.size, done.before, done.root) == (size, before, huge.checkpoint(size).head.root)
        require_readable(tmp_path, huge, size)
        before = size
        assert set(paths(size)) <= files(tmp_path).keys()


def test_another_run_writes_only_what_is_new(tmp_path: Path) -> None:
    log = Grown(1500)
    written(tmp_path, log, 600)
    first, log.asked = files(tmp_path), []
    done = written(tmp_path, log, 1300)
    second = files(tmp_path)
    complete = {tile_path(Tile(0, index, 256), kind) for index in (0, 1) for kind in ("", "entries")}
    assert {path: second[path] for path in complete} == {path: first[path] for path in complete}
    assert set(log.asked) == set(paths(1300)) - complete
    assert done.written == len(log.asked) + 1
    # What the full tile has made needless is gone, what no full tile has yet stays for who has the old checkpoint.
    assert first.keys() - second.keys() == {"tile/0/002.p/88", "tile/entries/002.p/88"}
    assert "tile/1/000.p/2" in second
    log.asked = []
    assert written(tmp_path, log, 1300).written == 0
    assert set(log.asked) == {tile_path(tile) for tile in tiles_of(1300) if not tile.full}
    assert files(tmp_path) == second


def test_entries_can_come_later(tmp_path: Path) -> None:
    log = Grown(600)
    written(tmp_path, log, 600, entries=False)
    assert not (tmp_path / "tile" / "entries").exists()
    assert not any("entries" in path for path in log.asked)
    written(tmp_path, log, 600)
    require_readable(tmp_path, log, 600)


def test_the_checkpoint_comes_last(tmp_path: Path) -> None:
    log, seen = Grown(900), list[tuple[int, int, bytes]]()

    def told(done: int, total: int) -> None:
        path = tmp_path / "checkpoint"
        seen.append((done, total, path.read_bytes() if path.exists() else b""))

    for size in (600, 900):
        before = (tmp_path / "checkpoint").read_bytes() if size == 900 else b""
        seen.clear()
        lay_out(tmp_path, log.checkpoint(size), SIGNER.key, log, entries=True, told=told)
        total = len(list(paths(size)))
        assert seen == [(done, total, before) for done in range(1, total + 1)]
        assert (tmp_path / "checkpoint").read_bytes() == log.checkpoint(size).note


def test_entries_are_for_the_owner_and_the_group(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        written(tmp_path, Grown(300), 300)
    finally:
        os.umask(before)
    modes = {path: oct((tmp_path / path).stat().st_mode & 0o777) for path in files(tmp_path)}
    assert {modes[path] for path in modes if "entries" in path} == {"0o640"}
    assert {modes[path] for path in modes if "entries" not in path} == {"0o644"}
    assert oct((tmp_path / "tile" / "entries").stat().st_mode & 0o777) == "0o750"


def test_an_older_checkpoint_is_refused(tmp_path: Path) -> None:
    log = Grown(700)
    written(tmp_path, log, 700)
    before = files(tmp_path)
    with pytest.raises(Conflict, match=r"holds the log of 700 records, and .* has 699"):
        written(tmp_path, log, 699)
    assert files(tmp_path) == before


@pytest.mark.parametrize("size", [600, 700, 800])
def test_another_history_is_refused(tmp_path: Path, size: int) -> None:
    written(tmp_path, Grown(700), 700)
    before = files(tmp_path)
    with pytest.raises(Corrupt, match="700 records of another history"):
        written(tmp_path, Grown(800, "other", fork=500), size)
    assert files(tmp_path) == before


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"a gateway's")
    with pytest.raises(Conflict, match=r"holds state\.db, which is no tile; name another directory"):
        written(tmp_path, Grown(10), 10)
    assert list(files(tmp_path)) == ["state.db"]


def test_entries_are_never_left_behind_their_checkpoint(tmp_path: Path) -> None:
    written(tmp_path, Grown(700), 700)
    before = files(tmp_path)
    with pytest.raises(Conflict, match="holds entries too"):
        written(tmp_path, Grown(800), 800, entries=False)
    assert files(tmp_path) == before


def test_another_log_is_refused(tmp_path: Path) -> None:
    written(tmp_path, Grown(10), 10)
    other, log = NoteSigner("acme.example/log", bytes(32)), Grown(20)
    for note in (log.checkpoint(10, other).note, b"nothing"):
        (tmp_path / "checkpoint").write_bytes(note)
        with pytest.raises(Conflict, match=r"not a checkpoint of acme\.example/log"):
            written(tmp_path, log, 20)
        assert (tmp_path / "checkpoint").read_bytes() == note


@pytest.mark.parametrize("path", list(paths(700)))
@pytest.mark.parametrize("how", ["flipped", "short", "long", "empty"])
def test_nothing_changed_is_written(tmp_path: Path, path: str, how: str) -> None:
    log = Grown(700)
    right = log.right(path)
    lies = {"flipped": right[:40] + bytes([right[40] ^ 1]) + right[41:], "short": right[:-1], "long": right + b"\0"}
    log.changed[path] = lies.get(how, b"\0")
    with pytest.raises(Corrupt):
        written(tmp_path, log, 700)
    assert not files(tmp_path).keys() & {path, "checkpoint"}


def test_nothing_changed_is_written_far_below_the_root(tmp_path: Path, huge: Grown) -> None:
    changed = "tile/0/013"
    huge.changed[changed] = huge.right("tile/0/014")
    try:
        with pytest.raises(Corrupt, match="tile/0/013"):
            written(tmp_path, huge, 65_900, entries=False)
    finally:
        huge.changed.clear()
    assert not files(tmp_path).keys() & {changed, "checkpoint"}


@pytest.mark.parametrize("path", list(paths(700)))
def test_a_run_that_was_interrupted_is_gone_on_with(tmp_path: Path, path: str) -> None:
    log = Grown(700)
    log.failing = path
    with pytest.raises(Unavailable):
        written(tmp_path, log, 700)
    there = files(tmp_path)
    assert "checkpoint" not in there
    log.failing, log.asked = "", []
    written(tmp_path, log, 700)
    require_readable(tmp_path, log, 700)
    assert not {path for path in log.asked if ".p/" not in path} & there.keys()


def test_what_somebody_left_there_is_not_taken_for_the_log(tmp_path: Path) -> None:
    log = Grown(700)
    for path in ("tile/0/000", "tile/entries/001"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"rubbish")
    written(tmp_path, log, 700)
    require_readable(tmp_path, log, 700)
    # Of a finished run, a changed file is told where it shows, and the gateway is not blamed for it.
    (tmp_path / "tile/0/001").write_bytes(bytes(8192))
    (tmp_path / "tile/entries/001").unlink()
    with pytest.raises(Conflict, match=r"tile/0/001 is not what was written there"):
        written(tmp_path, log, 700)
    (tmp_path / "tile/0/001").unlink()
    written(tmp_path, log, 700)
    require_readable(tmp_path, log, 700)


def test_two_runs_at_once_are_one_too_many(tmp_path: Path) -> None:
    log, refused = Grown(10), list[str]()

    def told(_done: int, _all: int) -> None:
        with pytest.raises(Conflict) as second:
            written(tmp_path, log, 10)
        refused.append(second.value.reason)

    lay_out(tmp_path, log.checkpoint(10), SIGNER.key, log, entries=False, told=told)
    assert refused
    assert "another process writes tiles" in refused[0]


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "tile").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be written"):
        written(tmp_path, Grown(10), 10)
