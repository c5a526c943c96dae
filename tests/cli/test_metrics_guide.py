"""Every command of the guide about metrics runs, in order, and leads to what the page says."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.cli.live import Caller, Live

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "metrics.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [
    (line, language) for language, fence in FENCES if language in {"", "refused"} for line in fence.splitlines()
]


def test_the_commands_of_the_guide_run(
    live: Live, admin: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, fence in FENCES:
        if language == "python":
            (tmp_path / fence.split("\n", 1)[0].removeprefix("# ")).write_text(fence)
    (declared,) = [fence for language, fence in FENCES if language == "toml"]
    live.declare(admin, declared)
    callers = {"clinic": live.workload(admin, "clinic", 'segment = "ingestion"\nclearance = "confidential"')}
    code = str(admin.nomoat("enroll", "analyst@acme.example", "--json").json()["code"])
    analyst = callers["analyst"] = Caller(live.root / "guide-analyst")
    assert analyst.nomoat("login", live.url, "--code", code).code == 0

    said = []
    for line, language in COMMANDS:
        profile, *words = shlex.split(line)
        assert words.pop(0) == "nomoat"
        given = [{"python": sys.executable}.get(word, word) for word in words]
        done = callers[profile.removeprefix("NOMOAT_PROFILE=")].nomoat(*given)
        assert done.code == (1 if language else 0), (line, done.out, done.err)
        said.append(done)
    _, listed, counted, stay, again, _, refused = said
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == ["visits-by-ward", "stay"]
    assert "left: 1.5 of 2" in listed.err
    rows = {line.split()[0]: line.split()[1:] for line in counted.out.splitlines()[1:]}
    assert rows["west"] == ["withheld"]
    assert 250 < float(rows["east"][0]) < 550
    assert "cost epsilon 0.5; left: 1" in counted.err
    mean = float(stay.out.splitlines()[1].split()[1])
    assert 4 < mean < 6
    told = again.json()
    assert (told["charged"], told["epsilon"]) == (0, 1.0)
    assert told["left"] == {"dataset": 0.5, "person": 0, "closed": ""}
    assert f"{told['groups'][0]['value']:.6g}" == f"{mean:.6g}"  # type: ignore[index]
    assert "your own privacy budget" in refused.err or "has 0.5 of 2 left" in refused.err
    assert "Traceback" not in refused.err


def test_opening_a_budget_that_is_open_is_refused_in_words(live: Live, admin: Caller) -> None:
    live.declare(admin, '[[dataset]]\nname = "acme/visits"\nclassification = "confidential"\nbudget = 1.0\n')
    said = admin.nomoat("reopen-budget", "acme/visits", "--reason", "nothing was told")
    assert (said.code, "the privacy budget of acme/visits is open" in said.err) == (1, True), said.err
    assert admin.nomoat("metrics", "no dataset").code == 2
