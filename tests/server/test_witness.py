"""A gateway and a witness, each a process of its own: what the witness cosigned proves the log, offline."""

import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from nomoat.audit.checkpoint import WITNESS_KEY, parse_verifier_key
from nomoat.audit.quorum import Quorum
from nomoat.audit.verification import verify_directory

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
