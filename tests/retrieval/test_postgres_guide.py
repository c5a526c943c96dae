"""The guide to an index in PostgreSQL: its commands and tables, as they stand there."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from nomoat.server.postgres import parse_postgres
from tests.cli.live import Caller
from tests.hub.live import ADMIN, gateway
from tests.retrieval.postgres import Server

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "postgresql.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_guide_run(postgres: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configured, declared = [fence for language, fence in FENCES if language == "toml"]
    commands = [line for language, fence in FENCES if not language for line in fence.strip().splitlines()]
    schema, *administering, apply, add, search = commands
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "travel.md").write_text("The budget for travel is approved by the head of finance.\n")
    (tmp_path / "docs" / "board.md").write_text("---\nclassification: confidential\n---\nThe budget of the board.\n")
    (tmp_path / "wiki.toml").write_text(declared)
    monkeypatch.chdir(tmp_path)
    caller = Caller(tmp_path / "home")
    printed = caller.nomoat(*schema.removeprefix("nomoat ").partition(" > ")[0].split())
    assert printed.code == 0
    Path("nomoat.sql").write_text(printed.out)
    there = {**os.environ, "PGHOST": str(postgres.socket), "PGUSER": "postgres"}
    for command in administering:
        done = subprocess.run(
            ["bash", "-c", f"{postgres.programs}/{command}"], env=there, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "ERROR" not in done.stderr
    table = tomllib.loads(configured.replace("/run/postgresql", str(postgres.socket)))["postgres"]
    with gateway(tmp_path / "live", postgres=parse_postgres(table, tmp_path)) as live:
        profiles = {"": live.profiles[ADMIN].name}
        caller = Caller(live.root / "home")

        def run(command: str, *more: str, code: int = 0) -> str:
            who, _, rest = command.rpartition("nomoat ")
            words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", rest)]
            said = caller.nomoat(*words, *more, "--profile", profiles[who.removeprefix("NOMOAT_PROFILE=").strip()])
            assert said.code == code, said.err
            return said.out + said.err

        run(apply, "--yes")
        profiles["lib"] = live.join("person:lib@acme.example").name
        assert "2 documents sent" in run(add)
        assert "travel.md#0" in run(search)
        said = run(add, "--believe", "front-matter", code=1)
        assert "board.md is confidential, and the index wiki lies in a database in plaintext" in said
        assert "travel.md#0" in run(search)
        assert "board.md" not in run(search)
        doctor = ("doctor", str(live.directory), "--json")
        assert looked(caller.nomoat(*doctor).out) == ("good", None)
        postgres.run("nomoat", "ALTER TABLE nomoat.passage NO FORCE ROW LEVEL SECURITY")
        health, advice = looked(caller.nomoat(*doctor).out)
        assert (health, "nomoat index schema" in str(advice)) == ("advice", True), advice


def looked(said: str) -> tuple[str, str | None]:
    """What `nomoat doctor` says of the database."""
    (found,) = [each for each in json.loads(said)["findings"] if each["check"] == "postgres"]
    return found["health"], found["do"]
