"""The guide's declaration and commands, as they stand there."""

import re
from pathlib import Path

import pytest

from tests.cli.live import Caller
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor
from tests.inference.engine_source import CODE, committed, modules, renamed
from tests.inference.test_sources import ask

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "protecting-source.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_guide_run(floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (declared,) = [fence for language, fence in FENCES if language == "toml"]
    apply, add, list_, update, search, remove = [fence.strip() for language, fence in FENCES if not language]
    admin = Caller(floor.live.root / "home")
    monkeypatch.chdir(tmp_path)
    Path("engine.toml").write_text(declared.replace(":8000/", f":{floor.upstream.port}/"))
    files = modules()
    committed(tmp_path / "engine", files, "one")

    def run(command: str, *more: str) -> str:
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]
        assert words[0] == "nomoat"
        said = admin.nomoat(*words[1:], *more, "--profile", floor.profile(ADMIN).name)
        assert said.code == 0, said.err
        return said.out

    run(apply, "--yes")
    for name in ("erin", "otto"):
        floor.live.join(f"person:{name}@acme.example")
    # What is installed here takes a minute to look at; that it is left out is tested beside this.
    assert "who may have it: engine-team" in run(add, "--not-installed")
    assert "acme/engine" in run(list_)
    committed(tmp_path / "engine", {"engine/more.py": "x = 1\n"}, "two")
    run(update, "--not-installed")
    prompt = f"what does this do?\n{renamed(CODE)}"
    assert ask(floor, "erin@acme.example", "acme/helper", prompt) == "hello"
    refused = ask(floor, "otto@acme.example", "acme/helper", prompt)
    assert refused.startswith("403")
    assert "registered source code" in refused
    assert "acme/engine" not in refused
    assert "otto@acme.example" in run(search)
    # The first time already, she hears why what she may have goes to nobody else's server.
    elsewhere = ask(floor, "erin@acme.example", "acme/hosted-only", prompt)
    assert "no server of acme/hosted-only, as it has registered source code: take that out" in elsewhere, elsewhere
    run(remove)
    assert ask(floor, "otto@acme.example", "acme/helper", prompt) == "hello"
