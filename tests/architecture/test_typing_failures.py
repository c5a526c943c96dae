"""Mistakes on the path do not type-check: each marked line fails with its code, and no other line does."""

import json
import re
import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT, SOURCE

FAILURES = ROOT / "tests" / "architecture" / "typing_failures"
EXPECTED = re.compile(r"# E: ([a-z-]+)$")


def test_each_marked_line_fails_and_no_other(request: pytest.FixtureRequest) -> None:
    files = sorted(FAILURES.glob("*.py"))
    expected = {
        (path.name, number, marked[1])
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (marked := EXPECTED.search(line))
    }
    assert len(expected) >= 30
    cache = request.config.cache
    assert cache is not None
    report = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(cache.mkdir("mypy")), "--output", "json", *map(str, files)],
        cwd=ROOT,
        env={"MYPYPATH": str(SOURCE), "PATH": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert report.returncode == 1, report.stderr
    found = [json.loads(line) for line in report.stdout.splitlines()]
    elsewhere = [each for each in found if not each["file"].startswith("tests/architecture/typing_failures/")]
    assert elsewhere == [], "the package itself must type-check first"
    errors = {
        (each["file"].rpartition("/")[2], each["line"], each["code"]): each["message"]
        for each in found
        if each["severity"] == "error"
    }
    assert errors.keys() == expected, {key: errors.get(key, "nothing failed") for key in errors.keys() ^ expected}
