"""`nomoat fsck` on whole directories, and on ones that were harmed in each of their parts; it changes nothing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from nomoat.server.configuration import load_configuration
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.postings import Changes, Postings
from tests.cli.live import Caller
from tests.hub.live import OUTSIDE, Live, gateway

UPLOAD = """
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("acme/digits", repo_type="dataset")
for path, content in (("a.txt", b"small"), ("b.bin", b"large" * 100_000)):
    api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id="acme/digits", repo_type="dataset")
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Live:
    """A stopped gateway's directory, with contents, people and records."""
    root = tmp_path_factory.mktemp("fsck")
    with gateway(root) as live:
        live.done("ingest", UPLOAD)
        return live


def examined(directory: Path, *options: str) -> tuple[int, dict[str, object]]:
    command = [sys.executable, "-m", "nomoat.cli", "fsck", str(directory), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=OUTSIDE)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout or done.stderr)


def digest_of(directory: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(directory)): (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_a_whole_directory_is_whole_and_stays_as_it_is(whole: Live) -> None:
    before = digest_of(whole.directory)
    code, found = examined(whole.directory)
    assert (code, found["sound"], found["findings"]) == (0, True, [])
    assert found["seen"]["objects"] == "2 contents of 500005 bytes"  # type: ignore[index]
    assert "readable" in found["seen"]["records"]  # type: ignore[index]
    assert digest_of(whole.directory) == before


def test_it_says_so_to_people(whole: Live, tmp_path: Path) -> None:
    said = Caller(tmp_path).nomoat("fsck", str(whole.directory), "--no-contents")
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "the data directory is whole"
    assert "not decrypted" in said.out


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def largest(directory: Path) -> Path:
    return max(
        (path for path in (directory / "objects").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )


def foreign_cursor(directory: Path) -> None:
    directory.mkdir()
    (directory / "x.json").write_text('{"after": 99999}')


def newest_segment(directory: Path) -> Path:
    return max((directory / "log").glob("*.segment"))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


HARMS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a content flipped in its middle": (lambda at: flip(largest(at), 200_000), "objects", "failed verification"),
    "a content cut": (lambda at: largest(at).write_bytes(largest(at).read_bytes()[:-1]), "objects", "failed verification"),
    "a content missing": (lambda at: largest(at).unlink(), "objects", "failed verification"),
    "a record flipped": (lambda at: flip(newest_segment(at), newest_segment(at).stat().st_size // 2), "log", "record"),
    "a log cut back": (
        lambda at: newest_segment(at).write_bytes(newest_segment(at).read_bytes()[:3000]),
        "log",
        "rolled back",
    ),
    "the tree flipped": (lambda at: flip(at / "log" / "tree", -5), "tree", "not those of the log"),
    "a hash within the tree flipped": (lambda at: flip(at / "log" / "tree", 40), "tree", "not those of the log"),
    "a checkpoint emptied": (lambda at: (at / "log" / "checkpoint").write_bytes(b""), "log", "missing or empty"),
    "a pipe in place of a segment": (lambda at: pipe(newest_segment(at)), "log", "is no file"),
    "the database flipped": (lambda at: flip(at / "state.db", 9000), "state", ""),
    "the database cut": (lambda at: (at / "state.db").write_bytes(b""), "state", "cut to nothing"),
    "a key missing": (lambda at: (at / "keys" / "tokens.key").unlink(), "keys", "the key tokens is missing"),
    "a key swapped": (
        lambda at: (at / "keys" / "tokens.key").write_bytes((at / "keys" / "server.key").read_bytes()),
        "keys",
        "the key tokens",
    ),
    "a directory opened to all": (lambda at: (at / "log").chmod(0o777), "permissions", "log can be written by others"),
    "a cursor of another log": (
        lambda at: foreign_cursor(at / "forward"),
        "cursors",
        "is no cursor of this log",
    ),
    "another verifier key beside it": (lambda at: (at / "public" / "log.vkey").write_text("x\n"), "log", "is not the log's key"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_harm_to_any_part_is_found_with_what_to_do(whole: Live, tmp_path: Path, harm: str) -> None:
    copy = Path(shutil.copytree(whole.directory, tmp_path / "copy"))
    do, part, words = HARMS[harm]
    do(copy)
    before = digest_of(copy)
    code, found = examined(copy)
    assert (code, found["sound"]) == (4, False)
    findings = found["findings"]
    assert isinstance(findings, list)
    told = [each for each in findings if each["part"] == part and each["grave"]]
    assert told, findings
    assert any(words in each["what"] and each["advice"] for each in told), told
    assert digest_of(copy) == before


def test_a_backup_which_has_no_stored_hashes_is_whole(whole: Live, tmp_path: Path) -> None:
    said = Caller(tmp_path).nomoat("backup", str(whole.directory), str(tmp_path / "kept"))
    assert said.code == 0, said.err
    code, found = examined(tmp_path / "kept")
    assert (code, found["sound"]) == (0, True), found
    findings = found["findings"]
    assert isinstance(findings, list)
    assert [(each["part"], each["grave"]) for each in findings] == [("tree", False)]


def test_what_a_crash_leaves_is_a_note_and_no_damage(whole: Live, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(whole.directory, tmp_path / "copy"))
    (copy / "objects" / "ab").mkdir(exist_ok=True)
    (copy / "objects" / "ab" / ("ab" + "0" * 30)).write_bytes(b"stray")
    with newest_segment(copy).open("ab") as segment:
        segment.write(b"R\x00\x10")
    code, found = examined(copy)
    assert (code, found["sound"]) == (0, True)
    findings = found["findings"]
    assert isinstance(findings, list)
    assert {(each["part"], each["grave"]) for each in findings} == {("objects", False), ("log", False)}


@pytest.mark.parametrize("harm", ["flipped", "swapped", "of a longer log"])
def test_an_index_that_is_not_what_was_written_is_a_note(whole: Live, tmp_path: Path, harm: str) -> None:
    copy = Path(shutil.copytree(whole.directory, tmp_path / "copy"))
    key = KeyEncryptionKey.load(load_configuration(copy).kek).derive("index")
    with closing(Postings.create(copy / "index.db", key)) as made:
        made.save(Changes({"size": "1000000" if harm == "of a longer log" else "1"}, (), (), ()))
    if harm == "flipped":
        flip(copy / "index.db", (copy / "index.db").stat().st_size // 2)
    elif harm == "swapped":
        shutil.copy(copy / "state.db", copy / "index.db")
    before = digest_of(copy)
    code, found = examined(copy)
    assert (code, found["sound"]) == (0, True)
    findings = found["findings"]
    assert isinstance(findings, list)
    assert [(each["part"], "index.db" in each["what"]) for each in findings] == [("index", True)], findings
    assert digest_of(copy) == before


def test_an_index_is_looked_at(whole: Live, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(whole.directory, tmp_path / "copy"))
    key = KeyEncryptionKey.load(load_configuration(copy).kek).derive("index")
    with closing(Postings.create(copy / "index.db", key)) as made:
        made.save(Changes({"size": "3"}, (), (), ()))
    code, found = examined(copy)
    assert (code, found["sound"], found["findings"]) == (0, True, [])
    seen = found["seen"]
    assert isinstance(seen, dict)
    assert seen["index"] == "3 records"


def test_an_older_database_beside_the_log_is_found(tmp_path: Path) -> None:
    with gateway(tmp_path) as live:
        older = Path(shutil.copytree(live.directory, tmp_path / "older"))
        live.declare('[[person]]\nname = "new"\n')
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (live.directory / name).unlink(missing_ok=True)
        if (older / name).exists() and not name.endswith("shm"):
            shutil.copy(older / name, live.directory / name)
    code, found = examined(live.directory)
    assert code == 4
    assert any("older copy" in each["what"] for each in found["findings"])  # type: ignore[attr-defined]


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    with gateway(tmp_path) as live:
        code, found = examined(live.directory)
    assert code == 3
    assert "a gateway is using it" in str(found["error"])
