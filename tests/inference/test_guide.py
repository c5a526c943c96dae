"""The guide's declaration, script and commands, as they stand there."""

import io
import re
import sys
from pathlib import Path

import pytest

from tests.cli.live import Caller
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "asking-models.md").read_text(encoding="utf-8")
ADA = "ada@acme.example"
GUIDED = f"""
[[group]]
name = "guided"
[[person]]
name = "{ADA}"
groups = ["model-users", "guided"]
clearance = "internal"
"""
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_guide_run(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    declared, quotas = [fence for language, fence in FENCES if language == "toml"]
    (script,) = [fence for language, fence in FENCES if language == "python"]
    commands = [fence.strip() for language, fence in FENCES if not language]
    apply, credential, ask, whoami, login, limit, show, search = commands
    admin, home = Caller(floor.live.root / "home"), floor.live.root
    profile = ["--profile", floor.profile(ADMIN).name]
    # Where the guide's server is, the simulator stands; the endpoints of other tests are not to be the guide's.
    here = declared.replace(":8000/", f":{floor.upstream.port}/").replace("acme/chat", "acme/guide")
    (home / "models.toml").write_text(here)
    assert apply == "nomoat apply models.toml"
    said = admin.nomoat("apply", str(home / "models.toml"), "--yes", *profile)
    assert said.code == 0, said.err
    assert credential == "nomoat upstream credential own-gpus < key.txt"
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-1\n"))
    said = admin.nomoat("upstream", "credential", "own-gpus", *profile)
    assert said.code == 0, said.err
    ada = floor.live.join("person:ada@acme.example")
    (home / "ask.py").write_text(script.replace("acme/chat", "acme/guide"))
    assert ask == "NOMOAT_PROFILE=ada nomoat exec --tool openai -- python ask.py"
    command = ["exec", "--tool", "openai", "--profile", ada.name, "--", sys.executable, str(home / "ask.py")]
    with admin.running(*command) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "hello\n"), err
    assert floor.upstream.asked[-1][2]["model"] == "llama-3.1-8b"
    assert (whoami, login) == ("NOMOAT_PROFILE=ada nomoat whoami", "NOMOAT_PROFILE=ada nomoat login")
    assert "carries      internal" in admin.nomoat("whoami", "--profile", ada.name).out
    assert admin.nomoat("login", "--profile", ada.name).code == 0
    assert "carries      none" in admin.nomoat("whoami", "--profile", ada.name).out
    (home / "quotas.toml").write_text(quotas.replace("acme/chat", "acme/guide").replace("model-users", "guided"))
    assert limit == "nomoat apply quotas.toml"
    (home / "guided.toml").write_text(GUIDED)
    for file in ("guided.toml", "quotas.toml"):  # the group of other tests is to have none
        said = admin.nomoat("apply", str(home / file), "--yes", *profile)
        assert said.code == 0, said.err
    with floor.live.http("ada@acme.example") as client:
        floor.live.refresh("ada@acme.example")
        body = {"model": "acme/guide", "messages": [{"role": "user", "content": "say hello"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    assert show == "NOMOAT_PROFILE=ada nomoat quotas"
    shown = admin.nomoat("quotas", "--profile", ada.name)
    assert shown.code == 0, shown.err
    rows = [re.split(r"  +", line.strip()) for line in shown.out.splitlines()]
    assert ["everybody", f"person:{ADA}", "all", "60 requests a minute", "59"] in rows
    assert ["everybody", f"person:{ADA}", "all", "2,000,000 tokens a day", "1,999,996"] in rows
    assert ["the-model", "everyone", "acme/guide", "500,000 tokens a minute", "499,996"] in rows
    found = admin.nomoat("audit", "search", re.findall(r"'(.*)'", search)[0], "--limit", "5", *profile)
    assert "ada@acme.example" in found.out
