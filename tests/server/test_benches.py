"""The benches say what they need before they begin, to people."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT


@pytest.mark.parametrize("what", ["bound.measure()", "service.measure()", "listing.measure()", "__main__.main()"])
def test_a_bench_without_its_tools_says_what_to_install(tmp_path: Path, what: str) -> None:
    module = what.partition(".")[0]
    done = subprocess.run(
        [sys.executable, "-c", f"from bench import {module}; {what}"],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "needed; run: apt-get install" in done.stderr
