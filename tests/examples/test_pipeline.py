"""The demonstration, run once as anybody would run it, and what must not be left behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from rich.console import Console

from examples.pipeline.ledger import Expected, Json, Ledger, draw

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 360

RECORDS: list[Json] = [
    {"n": 3, "who": {"kind": "workload", "name": "train"}, "what": "ReadFile", "decision": "allow"}
    | {"on": {"name": "acme/digits@" + "a" * 40 + ":data/train.parquet"}, "policies": ["p", "q"]}
    | {"outcome": {"outcome": "complete", "bytes": 5}},
    {"n": 5, "who": {"kind": "unauthenticated"}, "what": "Authenticate", "decision": "deny", "why": "it has expired"},
    {"n": 7, "who": {}, "what": "Authenticate", "decision": "deny", "reasons": {"bad-certificate": 1}},
]


def start(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "examples.pipeline", "--directory", str(directory)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},  # wherever the tests find it
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_in(directory: Path) -> list[str]:
    """What runs in a directory or was told of it."""
    if not Path("/proc/self/cwd").exists():
        return []
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((entry / "cwd").readlink())
        except OSError:
            continue
        if str(directory) in told or where.startswith(str(directory)):
            found.append(f"{entry.name} {told}")
    return found


@pytest.fixture
def entered_by_all() -> Iterator[Path]:
    """A directory that the witness, as another user, can reach (`tmp_path` is for its owner only)."""
    with TemporaryDirectory(prefix="nomoat-demo-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_whole_demonstration(entered_by_all: Path) -> None:
    child = start(entered_by_all / "demo")
    try:
        out, err = child.communicate(timeout=LIMIT_S)
    finally:
        child.kill()
    assert child.returncode == 0, out + err
    assert re.search(r"log verified: \d+ records, checkpoint signed and witnessed, 0 gaps", out), out
    assert "every expectation met" in out
    assert not re.search(r"\bNO\b", out), out
    for attack in ("bound token", "expired", "revoked device", "rival.example", "failed verification", "edited"):
        assert attack in out, attack
    for seen in ("near duplicates of each other", "model_signing", "of the summary", "of the stored signature"):
        assert seen in out, seen
    for refusal in ("pickle.dangerous-global", "authors-do-not-approve", "is quarantined", "is withdrawn"):
        assert refusal in out, refusal
    for scene in (
        "answered by acme/tiny-lm@",
        "no server has said",
        "tokens arrived",
        "loaded is withdrawn",
        "no such model",
    ):
        assert scene in re.sub(r"\s+", " ", out), scene
    assert "IT WORKS" in out  # a stolen unbound bearer: said plainly
    assert "yesterday's copy" in out
    if os.geteuid() == 0:
        assert "user nobody" in out
    assert not re.search(r"eyJ|nm[pw]-[a-z2-7]{8}|PRIVATE KEY", out + err), "a secret was printed"
    assert processes_in(entered_by_all) == []


def test_ended_from_outside_it_takes_everything_with_it(tmp_path: Path) -> None:
    child = start(tmp_path / "demo")
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if "serves https://" in line:
                break
        assert len(processes_in(tmp_path)) > 1, "the gateway should be running now"
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 128 + signal.SIGTERM
    finally:
        child.kill()
        child.communicate()
    assert processes_in(tmp_path) == []


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    child = start(tmp_path)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "holds something else" in err, out
    assert precious.read_text() == "years of work"


MET = Expected(0, "workload train", "ReadFile", "acme/digits@*:data/train.parquet", "allowed", "q", ending="complete")


@pytest.mark.parametrize(
    "change",
    [
        {"after": 3},
        {"who": "workload deploy"},
        {"what": "WriteFile"},
        {"on": "acme/other*"},
        {"decision": "refused"},
        {"why": "r"},
        {"ending": "cut"},
        {"also": False},
    ],
    ids=str,
)
def test_an_expectation_that_the_log_does_not_meet_is_told(change: dict[str, Any]) -> None:
    ledger = Ledger()
    ledger.expect(replace(MET, **change))
    (row,) = ledger.compare(RECORDS)
    assert not row.held


def test_expectations_that_the_log_meets() -> None:
    stranger = partial(Expected, 0, "unauthenticated", "Authenticate", "", "refused")
    ledger = Ledger()
    ledger.expect(stranger("expired", shown="thief: a token", asked="acme/digits"))
    ledger.expect(MET)
    ledger.expect(stranger("bad-certificate"))
    rows = ledger.compare(RECORDS)
    assert [row.record for row in rows] == ["3", "5", "7"]  # in the order of the log
    assert all(row.held for row in rows)
    assert rows[0].on == "acme/digits@aaaaaaa:data/train.parquet"
    assert rows[0].decision == "allowed, then complete"
    assert (rows[1].who, rows[1].on) == ("thief: a token", "acme/digits")
    assert rows[2].why == "bad-certificate, counted 1 time"


def test_names_in_the_table_are_names_not_markup() -> None:
    ledger = Ledger()
    ledger.expect(replace(MET, shown="[red]train[/red]"))
    printed = StringIO()
    draw(ledger.compare(RECORDS), Console(width=200, file=printed))
    assert "[red]train[/red]" in printed.getvalue()
