"""A gateway and a witness, each a process of its own: what the witness cosigned proves the log, offline."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2

from nomoat.audit.checkpoint import WITNESS_KEY, NoteSigner, parse_verifier_key, sign_checkpoint
from nomoat.audit.quorum import Quorum
from nomoat.audit.tree import Frontier, leaf_hash
from nomoat.audit.verification import verify_directory
from nomoat.server.witnessing import LIMITS

OUTSIDE = Path(__file__).resolve().parents[2]


def nomoat(*arguments: str) -> str:
    command = [sys.executable, "-m", "nomoat.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=OUTSIDE).stdout


@contextmanager
def running(*arguments: str) -> Generator[str]:
    command = [sys.executable, "-m", "nomoat.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=OUTSIDE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def wait_for(path: Path) -> bytes:
    for _ in range(200):
        if path.exists():
            return path.read_bytes()
        time.sleep(0.1)
    raise AssertionError(f"{path.name} did not come")


def test_a_witness_cosigns_what_the_gateway_logs(tmp_path: Path) -> None:
    witness, gateway = tmp_path / "witness", tmp_path / "gateway"
    nomoat("witness", "init", str(witness), "--name", "w.example/witness")
    witness_key = (witness / "witness.vkey").read_text().strip()
    made = ("--trust-domain", "acme.example", "--admin", "me", "--kek", str(tmp_path / "kek"))
    nomoat("init", str(gateway), *made, "--listen", "127.0.0.1:0")
    log_key = (gateway / "public" / "log.vkey").read_text().strip()
    with running("witness", "serve", str(witness), "--log", log_key, "--listen", "127.0.0.1:0") as url:
        configuration = gateway / "nomoat.toml"
        witnessed = f'witness = "{url}"\nwitness_key = "{witness_key}"\n'
        configuration.write_text(configuration.read_text() + witnessed)
        with running("serve", str(gateway)):
            cosigned = wait_for(gateway / "log" / "checkpoint.witnessed")
    keys = parse_verifier_key(log_key), (parse_verifier_key(witness_key, WITNESS_KEY),)
    report = verify_directory(gateway / "log", keys[0], [cosigned], Quorum(keys[1], 1))
    assert report.consistent
    assert report.witnessed is not None
    assert report.proven is not None
    assert report.proven >= report.witnessed > 0


def test_attack_idle_and_slow_connections_keep_a_witness_from_cosigning(tmp_path: Path) -> None:
    witness, log = tmp_path / "witness", NoteSigner("acme.example/log", bytes(range(32)))
    nomoat("witness", "init", str(witness), "--name", "w.example/witness")
    head = Frontier()
    head.extend([leaf_hash(b"a record")])
    asked = b"old 0\n\n" + sign_checkpoint(log, head.head())
    with (
        running("witness", "serve", str(witness), "--log", str(log.key), "--listen", "127.0.0.1:0") as url,
        ExitStack() as held,
    ):
        host, _, port = url.removeprefix("http://").partition(":")

        def connect() -> socket.socket:
            return held.enter_context(socket.create_connection((host, int(port)), timeout=30))

        idle, slow = connect(), connect()
        slow.sendall(b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 999\r\n\r\nold")
        for _ in range(LIMITS.connections_per_source - 2):
            connect()
        with suppress(ConnectionError):
            assert connect().recv(1) == b"", "one more of that source"
        with httpx2.Client(transport=httpx2.HTTPTransport(local_address="127.0.0.2")) as other:
            assert other.post(f"{url}/add-checkpoint", content=asked).status_code == 200
        for each in (idle, slow):  # and what does not get on is over by itself
            with suppress(ConnectionError):
                assert each.recv(1) == b""
        assert httpx2.post(f"{url}/add-checkpoint", content=asked).status_code == 409
