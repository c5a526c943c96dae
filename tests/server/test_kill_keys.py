"""`kill -9` of the gateway at random moments while keys are wrapped anew and versions shredded, under readers and writers.

Whatever was acknowledged is there, or gone, in the end; nothing else is lost, a restart needs no hand, and what was cut
short is gone on with: every key is wrapped by the newest one.
"""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from nomoat.client.keys import read_keys, rotate_keys, shred
from nomoat.core.errors import NoMoatError
from nomoat.core.names import RepositoryKind, RepositoryName
from tests.cli.live import Caller
from tests.hub.live import OUTSIDE, SERVE, Live, commit_lines, gateway
from tests.server.test_kill import start

ROUNDS = 8
OPEN = RepositoryName(RepositoryKind.DATASET, "acme", "open")  # which an administrator is cleared for
SAME = b"what every version has"


@dataclass
class Known:
    """What the callers were told: contents by commit, and what they asked to be destroyed, and what was."""

    kept: dict[str, bytes] = field(default_factory=dict[str, bytes])
    asked: set[str] = field(default_factory=set[str])
    gone: set[str] = field(default_factory=set[str])
    rotations: int = 0
    reads: int = 0
    wrong: list[str] = field(default_factory=list[str])


def write(live: Live, known: Known, most: int = 1_000_000) -> None:
    with live.bound("ingest") as client:
        for number in range(most):
            content = b"%d of %d" % (number, time.monotonic_ns())
            body = "".join(commit_lines({"f.txt": content, "same.txt": SAME}))
            answer = client.post("/api/datasets/acme/open/commit/main", content=body)
            assert answer.status_code == 200, answer.text
            known.kept[answer.json()["commitOid"]] = content


def read(live: Live, known: Known) -> None:
    chance = random.Random(len(known.kept))  # noqa: S311 - which, not a secret
    with live.bound("ingest") as client:
        while True:
            for commit in chance.sample(sorted(known.kept), min(5, len(known.kept))):
                answer = client.get(f"/datasets/acme/open/resolve/{commit}/f.txt")
                known.reads += 1
                if commit not in known.asked and (answer.status_code, answer.content) != (200, known.kept[commit]):
                    known.wrong.append(f"{commit}: {answer.status_code} {answer.text}")


def keep_keys(live: Live, known: Known) -> None:
    """Shred an old version and make a new key, again and again."""
    with live.admin as session:
        while True:
            old = next((commit for commit in list(known.kept)[:-1] if commit not in known.asked), None)
            if old:
                known.asked.add(old)
                shred(session.gateway, OPEN, old, "asked for", [], keep_shared=True)
                known.gone.add(old)
            rotate_keys(session.gateway)
            known.rotations += 1


def one_round(live: Live, known: Known, seconds: float) -> None:
    process = start(live)

    def until_killed(work: Callable[[Live, Known], None]) -> None:
        with suppress(httpx2.TransportError, NoMoatError, OSError):
            work(live, known)

    callers = [threading.Thread(target=until_killed, args=(work,)) for work in (write, read, keep_keys)]
    for each in callers:
        each.start()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for each in callers:
        each.join()


def test_killed_while_keys_are_rotated_and_versions_shredded(tmp_path: Path) -> None:
    chance, known = random.Random(20261127), Known()  # noqa: S311 - moments, not secrets
    with gateway(tmp_path) as live:
        live.declare('[[dataset]]\nname = "acme/open"\nclassification = "public"\n')
        with live.bound("ingest") as client:
            named = {"type": "dataset", "organization": "acme", "name": "open"}
            assert client.post("/api/repos/create", json=named).status_code == 200
        write(live, known, 2)
        port = live.url.rpartition(":")[2]
    configuration = live.directory / "nomoat.toml"
    configuration.write_text(configuration.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    for _ in range(ROUNDS):
        one_round(live, known, chance.uniform(0.4, 1.6))
    assert known.wrong == []
    assert known.rotations > ROUNDS
    assert len(known.gone) > ROUNDS
    assert known.reads > ROUNDS

    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(live.directory)], stdout=subprocess.PIPE, text=True, cwd=OUTSIDE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("https://")
        every_version_is_whole_or_gone(live, known)
        every_key_is_wrapped_by_the_newest(live)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    said = Caller(tmp_path / "operator").nomoat("fsck", str(live.directory))
    assert said.code == 0, said.out + said.err


def every_version_is_whole_or_gone(live: Live, known: Known) -> None:
    with live.bound("ingest") as client:
        for commit, content in known.kept.items():
            found = client.get(f"/datasets/acme/open/resolve/{commit}/f.txt")
            if commit in known.gone or (commit in known.asked and found.status_code == 404):
                assert found.status_code == 404, commit
                assert "was shredded" in found.text, commit
            else:
                assert (found.status_code, found.content) == (200, content), commit
        newest = client.get("/datasets/acme/open/resolve/main/same.txt")
        assert (newest.status_code, newest.content) == (200, SAME)


def every_key_is_wrapped_by_the_newest(live: Live) -> None:
    deadline = time.monotonic() + 60
    with live.admin as session:
        while (found := read_keys(session.gateway))["left"]:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
