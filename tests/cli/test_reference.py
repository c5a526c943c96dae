"""The reference is what the commands say, and the commands say what exists."""

from pathlib import Path

import pytest

from nomoat.cli.invocation import Invocation
from nomoat.cli.reference import reference
from nomoat.cli.root import SECTIONS, run

ROOT = Path(__file__).parents[2]
COMMANDS = [name for section in SECTIONS.values() for name in section]


def test_the_reference_is_up_to_date() -> None:
    written = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m nomoat.cli.reference docs/reference/cli.md"


def test_help_is_grouped_by_who_uses_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"], Invocation({})) == 0
    lines = capsys.readouterr().out.splitlines()
    sections = [line.removesuffix(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert [name for name in sections if name in SECTIONS] == list(SECTIONS)
    assert [line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in COMMANDS] == COMMANDS


def test_no_line_of_help_is_cut() -> None:
    assert [line for line in reference().splitlines() if line.endswith("...") and "Usage" not in line] == []


def test_an_example_in_help_keeps_its_lines() -> None:
    assert '\n  [[test]]\n  name = "scientists read results, not data"\n' in reference()
    assert "\\b" not in reference()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"], Invocation({})) == 0
    assert capsys.readouterr().out.startswith(f"Usage: nomoat {command}")
