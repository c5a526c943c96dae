"""`nomoat audit tiles`: the log of a running gateway as files that a reader which is not ours verifies."""

import json
from pathlib import Path

import pytest
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from nomoat.audit.tree import leaf_hash
from nomoat.cli.tiles import Progress
from tests.cli.live import Caller, Live


def read_by_others(live: Live, directory: Path) -> tuple[int, TilesReader]:
    reader = TilesReader(LocalBackend(directory))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string((live.data / "public" / "log.vkey").read_text().strip()))
    assert reader.calculate_root_hash() == checkpoint.root_hash
    return checkpoint.size, reader


def test_an_auditor_lays_the_log_out_and_goes_on_later(live: Live, admin: Caller, tmp_path: Path) -> None:
    directory = tmp_path / "published"
    said = admin.nomoat("audit", "tiles", str(directory), "--json")
    assert said.code == 0, said.err
    size, reader = read_by_others(live, directory)
    assert (said.json()["size"], said.json()["before"], said.json()["entries"]) == (size, 0, True)
    entry = reader.get_entry(size - 1)
    assert json.loads(entry)["n"] == size - 1
    reader.get_inclusion_proof(size - 1, size).check(leaf_hash(entry), reader.get_checkpoint().root_hash)
    said = admin.nomoat("audit", "tiles", str(directory))
    assert said.code == 0, said.err
    grown, _ = read_by_others(live, directory)
    assert grown > size  # the first run is on record itself
    assert f"holds the log of {grown} records" in said.out
    assert "person ann" in admin.nomoat("audit", "search", "what ReadEntries allowed").out


def test_entries_are_for_who_may_read_them_and_hashes_for_anybody(live: Live, admin: Caller, tmp_path: Path) -> None:
    who = live.person(admin, "tiler")
    said = who.nomoat("audit", "tiles", str(tmp_path / "all"))
    assert said.code == 1
    assert "tiler may not ReadEntries" in said.err
    assert not (tmp_path / "all" / "checkpoint").exists()
    assert not list(tmp_path.glob("all/tile/entries/**/*"))
    said = who.nomoat("audit", "tiles", str(tmp_path / "hashes"), "--hashes-only")
    assert said.code == 0, said.err
    read_by_others(live, tmp_path / "hashes")
    assert not (tmp_path / "hashes" / "tile" / "entries").exists()


def test_what_another_log_wrote_is_not_touched(admin: Caller, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("mine")
    said = admin.nomoat("audit", "tiles", str(tmp_path))
    assert said.code == 1
    assert "name another directory" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_long_work_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.5, 1.9, 2.0, 2.1, 4.0])
    progress = Progress("files", lambda: next(times))
    for done in range(1, 6):
        progress.tell(done * 100, 1000)
    assert capsys.readouterr().err == "  300 of 1000 files (30 %)\n  500 of 1000 files (50 %)\n"
