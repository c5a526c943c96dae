"""Every command of the guide and of the README runs, in order, and does what the page says.

What differs from one machine to another is filled in: the code, the port, a record's number, and the
answer that a person would type.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GUIDE = ROOT / "docs" / "guides" / "first-pipeline.md"


class Terminal:
    """Runs the lines of a page in one folder, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name, text in scripts().items():
            (folder / name).write_text(text)
        (folder / "bin").mkdir()
        for name, command in (("nomoat", "-m nomoat.cli"), ("python", "")):
            tool = folder / "bin" / name
            tool.write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n')
            tool.chmod(0o755)
        self.folder = folder
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "NOMOAT_HOME": str(folder / "home"),
            "HF_HOME": str(folder / "hf"),
            "PYTHONPATH": str(ROOT / "src"),
        }
        self.code = ""
        self.server: subprocess.Popen[str] | None = None

    def run(self, line: str) -> None:
        line = line.split("  #", maxsplit=1)[0].strip()
        line = line.replace("https://127.0.0.1:8443", f"https://localhost:{self.port}").replace("CODE", self.code)
        line = line.replace("audit show NUMBER", "audit show 5")
        if line.startswith("nomoat recover"):
            self.close()
        if line.startswith("nomoat init"):
            line += f" --listen 127.0.0.1:{self.port}"
        if line.startswith("nomoat apply"):
            line += " --yes"
        if line.startswith("nomoat serve"):
            self.serve(line)
            return
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if found := re.search(r"nm[pw]-[a-z2-7-]+", done.stdout):
            self.code = found[0]

    def serve(self, line: str) -> None:
        self.server = subprocess.Popen(
            shlex.split(line.replace("nomoat", f"{sys.executable} -m nomoat.cli", 1)),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.server.stdout is not None
        assert "https://" in self.server.stdout.readline()

    def close(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.wait(20)
            if self.server.stdout is not None:
                self.server.stdout.close()
            self.server = None


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
    opened.close()


def commands(text: str) -> Iterator[str]:
    for _, block in FENCE.findall(text):
        yield from (line for line in block.splitlines() if line.startswith(("nomoat ", "NOMOAT_PROFILE=")))


def declaration() -> str:
    return str(next(block for kind, block in FENCE.findall(GUIDE.read_text()) if kind == "toml"))


def scripts() -> dict[str, str]:
    """The guide's programs by name, which each says in its first line."""
    blocks = [block for kind, block in FENCE.findall(GUIDE.read_text()) if kind == "python"]
    return {block.split("\n", 1)[0].removeprefix("# "): block for block in blocks}


def test_the_guide_runs_from_top_to_bottom(terminal: Terminal) -> None:
    (terminal.folder / "pipeline.toml").write_text(declaration())
    assert set(scripts()) == {"ingest.py", "train.py"}
    lines = list(commands(GUIDE.read_text()))
    assert len(lines) >= 16
    for line in lines:
        terminal.run(line)


def test_the_readme_runs_from_top_to_bottom(terminal: Terminal) -> None:
    (terminal.folder / "pipeline.toml").write_text(declaration())
    lines = list(commands((ROOT / "README.md").read_text()))
    assert len(lines) >= 6
    for line in lines:
        terminal.run(line)
