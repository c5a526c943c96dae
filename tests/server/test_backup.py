"""Backups: taken under load, restored elsewhere, verified, served; older ones are recognised, changed ones refused."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from nomoat.audit.checkpoint import parse_verifier_key
from nomoat.audit.segments import FrameKind, iterate_frames, list_segments, read_header
from nomoat.audit.verification import verify_directory
from nomoat.core.errors import Conflict, Corrupt, NoMoatError, Unavailable
from nomoat.server.backup import back_up
from nomoat.server.configuration import load_configuration
from nomoat.server.manifest import copy_file
from nomoat.server.restore import OlderThanKept, Restored, restore
from tests.cli.live import Live as Operated
from tests.hub.live import OUTSIDE, SERVE, Live, commit_lines, gateway
from tests.server.test_witness import nomoat, running, wait_for

COMMIT = "/api/datasets/acme/digits/commit/main"
FILES = "/datasets/acme/digits/resolve/main"
NOBODY = {"NOMOAT_HOME": "/nonexistent"}
BACKUPS = 4


def restored(backup: Path, directory: Path, **options: object) -> Restored:
    return restore(backup, directory, NOBODY, time.time, **options)  # type: ignore[arg-type]  # as given


@contextmanager
def serving(live: Live, directory: Path) -> Generator[Live]:
    """A gateway on a restored directory, for the same people and workloads."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(directory)], stdout=subprocess.PIPE, text=True, cwd=OUTSIDE
    )
    assert process.stdout is not None
    with process.stdout as said:
        url = said.readline().strip()
    try:
        assert url
        yield replace(live, directory=directory, url=url, process=process)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def leaves(log: Path) -> list[bytes]:
    """Every record of a log, in its order."""
    found: list[bytes] = []
    for _, path in list_segments(log):
        data = path.read_bytes()
        _, start = read_header(data)
        found += [frame.entry for frame in iterate_frames(data, start) if frame.kind == FrameKind.RECORD]
    return found


class Load:
    """Commits, reads and administration at once; `committed` is what was acknowledged, in order."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._stop = threading.Event()
        self.committed: list[int] = []
        self.applied = 0
        self.failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,))
            for work in (self._commit, self._read, self._administer)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        assert self.failures == []

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told at the end
            self.failures.append(error)

    def _commit(self) -> None:
        with self._live.http("ingest") as client:
            number = 0
            while not self._stop.is_set():
                lines = "".join(commit_lines({f"n/{number}": str(number).encode() * 5000}))
                answer = client.post(COMMIT, content=lines)
                assert answer.status_code == 200, answer.text
                self.committed.append(number)
                number += 1

    def _read(self) -> None:
        with self._live.http("ingest") as client:
            while not self._stop.is_set():
                assert client.get(f"{FILES}/first").status_code == 200

    def _administer(self) -> None:
        with self._live.admin as session:
            while not self._stop.is_set():
                session.gateway.apply_directory(f'[[group]]\nname = "g{self.applied}"\n', dry_run=False)
                self.applied += 1


def test_backups_taken_under_load_are_restored_verified_and_serve(tmp_path: Path) -> None:
    with gateway(tmp_path) as live:
        live.done("ingest", "import huggingface_hub as hub; hub.create_repo('acme/digits', repo_type='dataset')")
        with live.http("ingest") as client:
            assert client.post(COMMIT, content="".join(commit_lines({"first": b"1"}))).status_code == 200
        made: list[tuple[Path, int]] = []
        with Load(live) as load:
            for number in range(BACKUPS):
                time.sleep(0.7)
                before, backup = len(load.committed), tmp_path / f"backup-{number}"
                since = made[-1][0] if made else None
                done = back_up(live.directory, backup, time.time(), since)
                assert bool(done.shared) == (since is not None)
                made.append((backup, before))
        assert len(load.committed) > BACKUPS
        assert load.applied > BACKUPS
        everything = leaves(live.directory / "log")
        key = parse_verifier_key((live.directory / "public" / "log.vkey").read_text().strip())
        sizes: list[int] = []
        for backup, before in made:
            directory = tmp_path / f"restored-{backup.name}"
            done_again = restored(backup, directory)
            sizes.append(done_again.manifest.records)
            assert not verify_directory(directory / "log", key, [done_again.manifest.checkpoint.encode()]).problems
            assert leaves(directory / "log")[: sizes[-1]] == everything[: sizes[-1]]
            with serving(live, directory) as elsewhere:
                for number in range(before):
                    answer = elsewhere.raw("ingest", "GET", f"{FILES}/n/{number}")
                    assert (answer.status, answer.body) == (200, str(number).encode() * 5000), "an acknowledged commit"
                assert elsewhere.raw("ingest", "GET", f"{FILES}/n/{10**6}").status == 404
                found = elsewhere.raw("", "GET", "/v1/checkpoint")
                assert int(found.text.split("\n")[1]) > sizes[-1]
        assert sizes == sorted(set(sizes))


def test_attack_every_changed_byte_of_a_backup_is_found(tmp_path: Path) -> None:
    live = Operated(tmp_path / "gateway")
    with live:
        live.admin()
    backup = tmp_path / "backup"
    back_up(live.data, backup, time.time())
    files = sorted(path for path in backup.rglob("*") if path.is_file())
    assert {path.parent.name for path in files} == {"backup", "keys", "public", "log"}
    for path in files:
        content = path.read_bytes()
        if not content:
            continue
        path.write_bytes(
            content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]
        )
        with pytest.raises(NoMoatError):
            restored(backup, tmp_path / "restored")
        path.unlink()
        with pytest.raises((Corrupt, Unavailable)):
            restored(backup, tmp_path / "restored")
        path.write_bytes(content)
        path.chmod(0o600)
        assert not (tmp_path / "restored").exists()
    restored(backup, tmp_path / "restored")


def test_a_backup_reads_nothing_without_the_key_and_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    live, other = Operated(tmp_path / "gateway"), Operated(tmp_path / "other")
    backup = tmp_path / "backup"
    back_up(live.data, backup, time.time())
    kek = Path(str(live.made["kek"]))
    secret = kek.read_bytes().strip()
    assert all(secret not in path.read_bytes() for path in backup.rglob("*") if path.is_file())
    with pytest.raises(Corrupt, match="another key-encryption key"):
        restored(backup, tmp_path / "restored", kek=Path(str(other.made["kek"])))
    for taken in (backup, live.data / "inside"):
        with pytest.raises(Conflict):
            back_up(live.data, taken, time.time())
    with pytest.raises(Conflict):
        restored(backup, live.data)
    moved = tmp_path / "elsewhere.kek"
    kek.rename(moved)
    with pytest.raises(Unavailable, match="no key-encryption key"):
        restored(backup, tmp_path / "restored")
    restored(backup, tmp_path / "restored", kek=moved)
    assert load_configuration(tmp_path / "restored").kek == moved
    (live.data / "keys" / "log.key").rename(tmp_path / "log.key")
    moved.rename(kek)
    with pytest.raises(Unavailable, match="key log is missing"):
        back_up(live.data, tmp_path / "second", time.time())
    assert not [path for path in tmp_path.iterdir() if "second" in path.name]


def test_a_content_that_the_state_knows_and_the_disk_lost_fails_the_backup(tmp_path: Path) -> None:
    with gateway(tmp_path) as live:
        live.done("ingest", "import huggingface_hub as hub; hub.create_repo('acme/digits', repo_type='dataset')")
        with live.http("ingest") as client:
            assert client.post(COMMIT, content="".join(commit_lines({"first": b"1"}))).status_code == 200
        (blob,) = [path for path in (live.directory / "objects").rglob("*") if path.is_file()]
        blob.rename(tmp_path / "lost")
        with pytest.raises(Corrupt, match="it is not there"):
            back_up(live.directory, tmp_path / "backup", time.time())
        (tmp_path / "lost").rename(blob)
        back_up(live.directory, tmp_path / "backup", time.time())


def test_attack_an_older_backup_is_recognised_and_brings_nobody_back(tmp_path: Path) -> None:
    with Operated(tmp_path / "gateway") as live:
        ann = live.admin()
        ben = live.person(ann, "ben")
        assert ann.nomoat("backup", str(live.data), str(tmp_path / "old")).code == 0
        assert ann.nomoat("revoke", "person", "ben").code == 0
        assert ann.nomoat("whoami").code == 0
        assert ann.nomoat("audit", "tail").code == 0  # a profile keeps the checkpoint of what it read
        kept = ann.profile / "checkpoint"
        newer = tmp_path / "newer"
        assert live.operator.nomoat("backup", str(live.data), str(newer)).code == 0
        live.stop()
        shutil.rmtree(live.data)

        said = ann.nomoat("restore", str(tmp_path / "old"), str(live.data), "--json")
        assert (said.code, said.json()["older"], "--older" in said.err) == (4, True, True)
        assert not live.data.exists()
        options = ("restore", str(tmp_path / "old"), str(live.data), "--checkpoint", str(kept))
        said = live.operator.nomoat(*options)
        assert (said.code, "revocations among them would be undone" in said.err) == (4, True)
        said = live.operator.nomoat(*options, "--older")
        assert (said.code, "OLDER" in said.err, "nomoat recover" in said.err) == (0, True, True)
        holds = live.operator.nomoat("status", str(live.data), "--json").json()["records"]
        assert f"{holds} records now" in said.err
        code = live.operator.nomoat("recover", str(live.data), "ann", "--json").json()["code"]
        live.start()
        live.follow(ann)
        live.follow(ben)
        for left in (ben, ann):
            told = left.nomoat("whoami")
            assert told.code in {1, 4}, "somebody of the older copy stayed in"
        told = ann.nomoat("login")
        assert told.code in {1, 4}
        fresh = type(ann)(tmp_path / "fresh")
        assert fresh.nomoat("login", live.url, "--code", str(code)).code == 0
        assert "AcceptOlderCopy" in fresh.nomoat("audit", "search", "what AcceptOlderCopy").out
        live.stop()
        shutil.rmtree(live.data)
        # The newer backup holds what the profile saw, so it is restored without a word. Budgets are closed all the same.
        said = ann.nomoat("restore", str(newer), str(live.data), "--json")
        assert (said.code, said.json()["older"]) == (0, False), said.err
        assert said.json()["records_now"] == ann.nomoat("status", str(live.data), "--json").json()["records"]
        assert ann.nomoat("restore", str(newer), str(tmp_path / "x"), "--older").code == 1
        live.start()
        live.follow(ann)
        live.follow(ben)
        live.declare(ann, '[[dataset]]\nname = "acme/metered"\nbudget = 1.0\n')
        opened = ann.nomoat("reopen-budget", "acme/metered", "--reason", "nothing was told")
        assert opened.code == 0, opened.err
        assert ann.nomoat("whoami").code == 0
        assert ben.nomoat("whoami").code in {1, 4}  # 4: to ben, who saw the other history, this one is a contradiction


def test_whatever_the_umask_a_backup_is_its_owners_alone(tmp_path: Path) -> None:
    live = Operated(tmp_path / "gateway")
    umask = os.umask(0)
    try:
        back_up(live.data, tmp_path / "backup", time.time())
        copy_file(tmp_path / "backup" / "nomoat.toml", tmp_path / "new" / "objects" / "ab" / "one")
        restored(tmp_path / "backup", tmp_path / "restored")
    finally:
        os.umask(umask)
    roots = [tmp_path / "backup", tmp_path / "new", tmp_path / "restored"]
    found = {path: stat.S_IMODE(path.stat().st_mode) for root in roots for path in (root, *root.rglob("*"))}
    assert {path for path, mode in found.items() if mode & 0o077} == set()
    assert len([path for path in found if path.is_dir()]) > 8


def test_the_witness_knows_that_a_backup_is_older_at_the_restore_and_at_the_start(tmp_path: Path) -> None:
    witness, data = tmp_path / "witness", tmp_path / "gateway"
    nomoat("witness", "init", str(witness), "--name", "w.example/witness")
    made = ("--trust-domain", "acme.example", "--admin", "me", "--kek", str(tmp_path / "kek"))
    nomoat("init", str(data), *made, "--listen", "127.0.0.1:0")
    log_key = (data / "public" / "log.vkey").read_text().strip()
    with running("witness", "serve", str(witness), "--log", log_key, "--listen", "127.0.0.1:0") as url:
        path = data / "nomoat.toml"
        text = (witness / "witness.vkey").read_text().strip()
        path.write_text(path.read_text() + f'witness = "{url}"\nwitness_key = "{text}"\n')
        back_up(data, tmp_path / "old", time.time())
        shutil.copytree(data, tmp_path / "copy")
        with running("serve", str(data)):
            wait_for(data / "log" / "checkpoint.witnessed")
        with pytest.raises(OlderThanKept) as found:
            restored(tmp_path / "old", tmp_path / "restored")
        assert found.value.whom == "the witness w.example/witness"
        assert found.value.known > found.value.found
        # Whoever only copies files around the restore is told at the start, and the log keeps it.
        command = [sys.executable, "-m", "nomoat.cli", "serve", str(tmp_path / "copy"), "--json"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=OUTSIDE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                assert "does not confirm this log" in process.stderr.readline()
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=20)
    done = restored(tmp_path / "old", tmp_path / "restored")
    assert "cannot be reached" in done.witness
