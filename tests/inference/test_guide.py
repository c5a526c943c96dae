"""The guide's declaration, script and commands, as they stand there."""

import io
import re
from pathlib import Path

import pytest

from tests.cli.live import Caller
from tests.hub.live import ADMIN, run_stock
from tests.inference.conftest import Floor

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "asking-models.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_guide_run(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    (declared,) = [fence for language, fence in FENCES if language == "toml"]
    (script,) = [fence for language, fence in FENCES if language == "python"]
    apply, credential, search = [fence.strip() for language, fence in FENCES if not language]
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
    token = admin.nomoat("token", "--profile", ada.name).out.strip()
    settings = {"NOMOAT_URL": floor.live.url, "NOMOAT_TOKEN": token, "SSL_CERT_FILE": str(ada.ca_path)}
    done = run_stock(script.replace("acme/chat", "acme/guide"), settings, home)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert floor.upstream.asked[-1][2]["model"] == "llama-3.1-8b"
    found = admin.nomoat("audit", "search", re.findall(r"'(.*)'", search)[0], "--limit", "5", *profile)
    assert "ada@acme.example" in found.out
