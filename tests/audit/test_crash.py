"""Kill the writer at random moments: what was acknowledged is there, and a restart needs no hand."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from nomoat.audit.report import Report
from nomoat.audit.tree import leaf_hash
from nomoat.audit.verification import verify_directory
from tests.audit.attacks import records, segments, take_apart
from tests.audit.world import kept_records, shared_world

ROUNDS = 10
CHECKOUT = Path(__file__).parents[2]


def write_and_kill(directory: Path, receipts: int) -> list[tuple[int, str]]:
    """Start a writer, kill it (SIGKILL) once it printed that many receipts; return all it printed."""
    command = [sys.executable, "-m", "tests.audit.writer", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT, text=True) as writer:
        assert writer.stdout is not None
        printed = [writer.stdout.readline() for _ in range(receipts)]
        writer.kill()
        printed += writer.stdout.readlines()
    lines = [line.split() for line in printed if line.endswith("\n")]
    return [(int(index), leaf) for index, leaf in lines]


def leaves(directory: Path) -> list[str]:
    parts = [part for path in segments(directory) for part in take_apart(path)]
    return [leaf_hash(parts[at].entry).hex() for at in records(parts)]


def verify(directory: Path) -> Report:
    report = verify_directory(directory, shared_world(directory).key)
    assert report.consistent, report.problems
    return report


def test_kill_the_writer_at_random_moments(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    moment = random.Random(20261122)  # noqa: S311 - only the moments of death
    for _ in range(ROUNDS):
        acknowledged = write_and_kill(directory, moment.randrange(1, 1500))
        verify(directory)  # as the crash left it
        kept = leaves(directory)
        assert [kept[index] for index, _ in acknowledged] == [leaf for _, leaf in acknowledged]

    async def reopen() -> None:
        log = await shared_world(directory).open()
        await log.close()

    asyncio.run(reopen())
    report = verify(directory)
    assert report.open == 0
    assert report.unfinished == report.unsigned == 0
    contents = kept_records(shared_world(directory))
    interrupted = [leaf.of for leaf, content in contents if content.get("outcome") == "interrupted"]
    assert len(interrupted) == len(set(interrupted)) >= ROUNDS
