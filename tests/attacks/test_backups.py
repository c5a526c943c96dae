"""Backups that were made, changed or named by somebody else, and those that must bring everything back."""

import asyncio
import os
import shutil
import threading
import time
import tomllib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from nomoat.audit.checkpoint import WITNESS_KEY, NoteSigner
from nomoat.audit.retention import Blanking
from nomoat.core.errors import Conflict, Corrupt
from nomoat.server.assembly import open_gateway
from nomoat.server.backup import back_up
from nomoat.server.configuration import load_configuration
from nomoat.server.manifest import hash_file, load_manifest
from nomoat.server.restore import OlderThanKept, restore
from nomoat.server.retention import forget_due
from nomoat.stores.keys import KeyEncryptionKey
from tests.cli.live import Live
from tests.server.test_backup import NOBODY, restored
from tests.server.test_witness import nomoat, running, wait_for

MORE = """
[[forward]]
name = "siem"
kind = "otlp"
url = "http://127.0.0.1:1/v1/logs"
query = "refused"
acknowledge = false

[retention]
Identify = 30
Read = 400
"""


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(tmp_path / "gateway")


def configure(live: Live, text: str) -> None:
    path = live.data / "nomoat.toml"
    path.write_text(path.read_text() + text)


def test_attack_a_restore_makes_the_gateway_forward_and_forget_nothing_any_more(live: Live, tmp_path: Path) -> None:
    configure(live, "# by order of ann\n" + MORE)
    back_up(live.data, tmp_path / "backup", time.time())
    restored(tmp_path / "backup", tmp_path / "restored")
    text = (live.data / "nomoat.toml").read_text()
    assert (tmp_path / "restored" / "nomoat.toml").read_text() == text
    moved = tmp_path / "moved.kek"
    shutil.copy(str(live.made["kek"]), moved)
    moved.chmod(0o600)
    restored(tmp_path / "backup", tmp_path / "elsewhere", kek=moved)
    written = (tmp_path / "elsewhere" / "nomoat.toml").read_text()
    assert tomllib.loads(written) == {**tomllib.loads(text), "kek": str(moved)}


def later() -> float:
    return time.time() + 31 * 86400


async def forget(live: Live, clock: Callable[[], float]) -> int:
    configuration = load_configuration(live.data)
    async with open_gateway(live.data, configuration, clock) as gateway:
        return await forget_due(gateway, live.data, Blanking(live.data / "log"), configuration.retention)


def test_a_backup_of_a_log_that_forgot_is_restored(live: Live, tmp_path: Path) -> None:
    configure(live, "[retention]\nIdentify = 30\n")
    with live:
        assert live.admin().nomoat("whoami").code == 0
    assert asyncio.run(forget(live, later)) > 3
    back_up(live.data, tmp_path / "backup", later())
    restore(tmp_path / "backup", tmp_path / "restored", NOBODY, later)
    assert live.operator.nomoat("audit", "verify", str(tmp_path / "restored")).code == 0


def made_by_a_thief(thief: Live, backup: Path, kek: Path) -> None:
    """A whole backup of somebody else's gateway that names a copy of its own key-encryption key at `kek`."""
    theirs = Path(str(thief.made["kek"]))
    back_up(thief.data, backup, time.time())
    shutil.copy(theirs, kek)
    path = backup / "nomoat.toml"
    path.write_text(path.read_text().replace(str(theirs), str(kek)))
    key = KeyEncryptionKey.load(kek)
    manifest = load_manifest(backup, key)
    (backup / "manifest.json").unlink()
    replace(manifest, files={**manifest.files, "nomoat.toml": hash_file(path)}).write(backup, key)


def test_attack_a_backup_brings_the_key_that_it_is_made_under(live: Live, tmp_path: Path) -> None:
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    thief = Live(tmp_path / "thief")
    made_by_a_thief(thief, inside, inside / "kek")
    made_by_a_thief(thief, beside, tmp_path / "beside.kek")
    with pytest.raises(Conflict, match="a key-encryption key inside itself"):
        restored(inside, tmp_path / "restored")
    with live:
        ann = live.admin()
    said = ann.nomoat("restore", str(beside), str(tmp_path / "restored"))
    assert (said.code, "your profiles know another key of this log" in said.err) == (4, True), said.err
    for backup in (inside, beside):
        with pytest.raises(Corrupt, match="another key-encryption key"):
            restored(backup, tmp_path / "restored", kek=Path(str(live.made["kek"])))
    assert not (tmp_path / "restored").exists()
    # Who says which key it is knows better than their profiles.
    options = ("--kek", str(tmp_path / "beside.kek"))
    assert ann.nomoat("restore", str(beside), str(tmp_path / "restored"), *options).code == 0


@pytest.mark.parametrize("name", ["tokens", "server", "authority", "authority-certificate", "pseudonyms"])
def test_a_damaged_key_fails_the_backup(live: Live, tmp_path: Path, name: str) -> None:
    path = live.data / "keys" / f"{name}.key"
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    with pytest.raises(Corrupt, match=f"the key {name}"):
        back_up(live.data, tmp_path / "backup", time.time())
    assert not (tmp_path / "backup").exists()


def test_attack_a_file_of_a_backup_is_a_pipe_or_does_not_end(live: Live, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    (live.data / "public" / "empty").touch()
    back_up(live.data, backup, time.time())
    swaps: list[Callable[[Path], None]] = [os.mkfifo, lambda path: path.symlink_to("/dev/zero")]
    for path in (backup / "state.db", backup / "public" / "empty"):
        kept = path.rename(tmp_path / "kept")
        for swap in swaps:
            swap(path)
            with pytest.raises(Corrupt, match=r"the backup|no regular file"):
                restored(backup, tmp_path / "restored")
            path.unlink()
        kept.rename(path)
    (live.data / "public" / "pipe").symlink_to("/dev/zero")
    with pytest.raises(Corrupt, match="no regular file"):
        back_up(live.data, tmp_path / "second", time.time())


def test_attack_only_the_further_witnesses_know_that_a_backup_is_older(live: Live, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    nomoat("witness", "init", str(witness), "--name", "w.example/witness")
    key = (witness / "witness.vkey").read_text().strip()
    with running(
        "witness", "serve", str(witness), "--log", str(live.made["log_key"]), "--listen", "127.0.0.1:0"
    ) as url:
        configure(live, f'[[witnesses]]\nurl = "{url}"\nkey = "{key}"\n')
        back_up(live.data, tmp_path / "old", time.time())
        with live:
            wait_for(live.data / "log" / "checkpoint.witnessed")
        with pytest.raises(OlderThanKept) as found:
            restored(tmp_path / "old", tmp_path / "restored")
        assert found.value.whom == "the witness w.example/witness"
    assert "cannot be reached" in restored(tmp_path / "old", tmp_path / "restored").witness


@contextmanager
def answering(status: int, body: bytes) -> Generator[str]:
    """A witness of somebody's own, which answers what it likes; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def witnessed(live: Live, url: str, backup: Path) -> int:
    """Back up a gateway whose witness is at `url`; return how many records."""
    key = NoteSigner("w.example/witness", bytes(range(32)), WITNESS_KEY).key
    configure(live, f'witness = "{url}"\nwitness_key = "{key}"\n')
    return back_up(live.data, backup, time.time()).manifest.records


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b""), (200, b"\xe2\x80\x94 w.example/witness AAAAAAAAAA==\n"), (200, b"x" * (1 << 22)), (409, b"007\n")],
    ids=["nothing", "no signature of its own", "without end", "no number"],
)
def test_attack_whoever_answers_for_the_witness_vouches_for_an_older_backup(
    live: Live, tmp_path: Path, status: int, body: bytes
) -> None:
    with answering(status, body) as url:
        witnessed(live, url, tmp_path / "backup")
        said = restored(tmp_path / "backup", tmp_path / "restored").witness
    assert "saw" not in said.removesuffix("it does not say what it saw")
    assert said.startswith("the witness w.example/witness: it")


def test_attack_a_backup_of_another_log_that_is_as_long(live: Live, tmp_path: Path) -> None:
    shutil.copytree(live.data, tmp_path / "copy")
    size = witnessed(live, "http://127.0.0.1:1", tmp_path / "counted")
    shutil.rmtree(live.data)
    (tmp_path / "copy").rename(live.data)
    with answering(409, b"%d\n" % size) as url:  # it would have cosigned the log that it knows
        assert witnessed(live, url, tmp_path / "backup") == size
        with pytest.raises(Corrupt, match=f"saw another log of {size} records"):
            restored(tmp_path / "backup", tmp_path / "restored")


@pytest.mark.parametrize("quorum", [1, 2])
def test_attack_a_witness_that_lies_keeps_a_backup_from_being_restored(live: Live, tmp_path: Path, quorum: int) -> None:
    witness, liar = tmp_path / "witness", NoteSigner("liar.example/witness", bytes(range(32)), WITNESS_KEY).key
    nomoat("witness", "init", str(witness), "--name", "w.example/witness")
    key = (witness / "witness.vkey").read_text().strip()
    size = back_up(live.data, tmp_path / "counted", time.time()).manifest.records
    log = str(live.made["log_key"])
    with (
        running("witness", "serve", str(witness), "--log", log, "--listen", "127.0.0.1:0") as url,
        answering(409, b"%d\n" % size) as lie,
    ):
        kept = (live.data / "log" / "checkpoint").read_bytes()
        assert httpx2.post(f"{url}/add-checkpoint", content=b"old 0\n\n" + kept).status_code == 200
        tables = [f'[[witnesses]]\nurl = "{at}"\nkey = "{each}"\n' for at, each in ((url, key), (lie, str(liar)))]
        configure(live, f"witness_quorum = {quorum}\n" + "".join(tables))
        assert back_up(live.data, tmp_path / "backup", time.time()).manifest.records == size
        if quorum == 2:
            with pytest.raises(Corrupt, match=f"the witness liar.example/witness saw another log of {size} records"):
                restored(tmp_path / "backup", tmp_path / "restored")
            return
        said = restored(tmp_path / "backup", tmp_path / "restored").witness
    assert f"w.example/witness saw {size} records" in said
    assert f"liar.example/witness saw another log of {size} records" in said
