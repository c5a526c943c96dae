"""Every command of the guide about tracing runs, in order, and leads to what the page says."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cli.live import Caller, Live, Said

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "tracing-a-model.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, fence in FENCES if not language for line in fence.splitlines()]
WORKLOADS, PEOPLE = ("collect", "fit", "answer"), ("approver", "auditor")


@pytest.fixture
def callers(live: Live, admin: Caller) -> Mapping[str, Caller]:
    (declared,) = [fence for language, fence in FENCES if language == "toml"]
    live.declare(admin, declared)
    found: dict[str, Caller] = {}
    for who in (*WORKLOADS, *PEOPLE):
        enrolled = ("enroll", "--workload", who) if who in WORKLOADS else ("enroll", f"{who}@acme.example")
        code = str(admin.nomoat(*enrolled, "--json").json()["code"])
        found[who] = Caller(live.root / f"tracing-{who}")
        assert found[who].nomoat("login", live.url, "--code", code).code == 0
    return found


def test_the_commands_of_the_guide_run(
    callers: Mapping[str, Caller], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, fence in FENCES:
        if language == "python":
            (tmp_path / fence.split("\n", 1)[0].removeprefix("# ")).write_text(fence)
    fetch = ("exec", "--", sys.executable, "-m", "huggingface_hub.cli.hf", "download", "acme/sentiment", "model.txt")

    def sentiment() -> Mapping[str, Any]:
        said = callers["auditor"].nomoat("lineage", "acme/sentiment", "--json")
        assert said.code == 0, said.err
        return said.json()

    def traced(said: Said) -> None:
        assert "dataset  acme/reviews" in said.out
        assert "label      confidential (declared internal, inherited confidential)" in said.out
        assert callers["answer"].nomoat(*fetch).code != 0

    def lowered(_: Said) -> None:
        assert sentiment()["label"] == {"classification": "internal", "labels": []}

    def verified(said: Said) -> None:
        assert said.out.startswith("verified: 1 file of acme/sentiment")
        assert [each["load"] for each in cast("list[Any]", sentiment()["loads"])] == ["verified"]

    def went(said: Said) -> None:
        assert re.search(r"went into:\n.*\n +model  acme/sentiment", said.out)

    after: Mapping[str, Callable[[Said], None]] = {
        "lineage acme/sentiment": traced,
        "lower": lowered,
        "loaded": verified,
        "lineage acme/reviews": went,
    }
    for line in COMMANDS:
        profile, *words = shlex.split(line)
        assert words.pop(0) == "nomoat"
        commit = str(sentiment()["commit"])[:8] if "COMMIT" in words else ""
        meant = {"COMMIT": [commit], "python": [sys.executable], "hf": [sys.executable, "-m", "huggingface_hub.cli.hf"]}
        given = [part for word in words for part in meant.get(word, [word])]
        said = callers[profile.removeprefix("NOMOAT_PROFILE=")].nomoat(*given)
        assert said.code == 0, (line, said.out, said.err)
        checks = [check for begins, check in after.items() if line.split("nomoat ")[1].startswith(begins)]
        for check in checks if said.out else []:
            check(said)
    bom = json.loads((tmp_path / "sentiment.cdx.json").read_text())
    assert [each["name"] for each in bom["components"]] == ["reviews"]
