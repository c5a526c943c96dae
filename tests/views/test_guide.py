"""Every command of the guide about views runs, in order, and says what the page says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.live import Caller
from tests.views.world import Desk

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "querying-views.md").read_text("utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, fence in FENCES if not language for line in fence.splitlines()]


def test_the_commands_of_the_guide_run(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language, fence in FENCES:
        if language == "python":
            (tmp_path / fence.split("\n", 1)[0].removeprefix("# ")).write_text(fence)
    (declared,) = [fence for language, fence in FENCES if language == "toml"]
    desk.live.declare(desk.admin, declared)
    callers = {"": desk.admin}
    for who in ("engineer", "analyst"):
        code = str(desk.admin.nomoat("enroll", f"{who}@acme.example", "--json").json()["code"])
        callers[who] = Caller(desk.live.root / f"guide-{who}")
        assert callers[who].nomoat("login", desk.live.url, "--code", code).code == 0
    printed: list[str] = []
    for line in COMMANDS:
        words = shlex.split(line)
        who = words.pop(0).removeprefix("NOMOAT_PROFILE=") if words[0].startswith("NOMOAT_PROFILE=") else ""
        if words[0] == "python":
            ran = subprocess.run(
                [sys.executable, *words[1:]], env=callers[who].environment, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, ran.stderr
            printed.append(ran.stdout)
            continue
        assert words.pop(0) == "nomoat"
        said = callers[who].nomoat(*[sys.executable if word == "python" else word for word in words])
        assert said.code == 0, (line, said.out, said.err)
        printed.append(said.out)
    (shown,) = [fence for language, fence in FENCES if language == "text"]
    assert shown in printed
    assert "3\n" in printed
    assert "QueryView" in printed[-1]
