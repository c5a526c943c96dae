"""Every command of the guide about reviewing a dataset runs, in order, and shows what the page says."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cli.live import Caller, Live, Said

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "reviewing-a-dataset.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, fence in FENCES if not language for line in fence.splitlines() if " nomoat " in line]
SHOWN = [line for language, fence in FENCES if not language for line in fence.splitlines() if " nomoat " not in line]


class Guide:
    """Those who follow the page, in its directory."""

    def __init__(self, live: Live, admin: Caller, directory: Path) -> None:
        (declared,) = [fence for language, fence in FENCES if language == "toml"]
        live.declare(admin, declared)
        self.directory = directory
        self.callers: dict[str, Caller] = {}
        for who in ("engineer", "helper", "approver"):
            code = str(admin.nomoat("enroll", f"{who}@acme.example", "--json").json()["code"])
            self.callers[who] = Caller(live.root / f"reviewing-{who}")
            assert self.callers[who].nomoat("login", live.url, "--code", code).code == 0

    def versions(self) -> list[dict[str, Any]]:
        said = self.callers["approver"].nomoat("versions", "acme/reviews", "--dataset", "--json")
        return cast("list[dict[str, Any]]", said.json()["versions"])

    def run(self, line: str) -> Said:
        line, _, into = line.partition(" > ")
        profile, *words = shlex.split(line)
        assert words.pop(0) == "nomoat"
        commit = self.versions()[0]["commit"][:8] if "COMMIT" in words else ""
        given = [{"COMMIT": commit, "python": sys.executable}.get(word, word) for word in words]
        said = self.callers[profile.removeprefix("NOMOAT_PROFILE=")].nomoat(*given)
        assert said.code == 0, (line, said.out, said.err)
        if into:
            (self.directory / into).write_text(said.out)
        return said


def test_the_commands_of_the_guide_run_and_a_flood_is_held_back_by_what_they_show(
    live: Live, admin: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, fence in FENCES:
        if language == "python":
            (tmp_path / fence.split("\n", 1)[0].removeprefix("# ")).write_text(fence)
    guide = Guide(live, admin, tmp_path)
    said = {line: guide.run(line) for line in COMMANDS}
    compared = next(each.out for line, each in said.items() if "dataset diff" in line)
    assert SHOWN
    assert set(SHOWN) <= set(compared.splitlines()), compared
    assert compared.splitlines()[1] == SHOWN[0]  # before everything else
    assert "phone" not in compared  # no row
    assert re.search(r"^data/part-2\.csv +added$", compared, re.MULTILINE)
    newest, approved, _ = guide.versions()
    assert (newest["stage"], newest["served"], approved["served"]) == ("candidate", False, True)

    shown = next(each.out for line, each in said.items() if line.endswith("dataset manifest acme/reviews"))
    assert re.search(
        r"^data/part-2\.csv +\w{12} +\d+ +80 +person:helper@acme\.example +" + newest["commit"][:12],
        shown,
        re.MULTILINE,
    )
    kept = tmp_path / "manifest.json"
    approver = guide.callers["approver"]
    digest = str(approver.nomoat("dataset", "verify", str(kept), "--json").json()["manifest"])
    assert approver.nomoat("dataset", "verify", str(kept), "--manifest", digest).code == 0
    assert approver.nomoat("dataset", "verify", str(kept), "--manifest", "00" * 32).code == 4
    kept.write_text(kept.read_text().replace("helper@acme", "engineer@acme"))
    edited = approver.nomoat("dataset", "verify", str(kept))
    assert edited.code == 4
    assert "its manifest is not the one that follows from what it says" in edited.out

    refused = guide.callers["engineer"].nomoat("exec", "--", sys.executable, "-c", _OVERWRITE)
    assert refused.code != 0
    assert guide.versions()[0]["commit"] == newest["commit"]


def test_wrong_usage_and_what_is_no_manifest_are_told(admin: Caller, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"format": "other"}')
    said = admin.nomoat("dataset", "verify", str(tmp_path / "x.json"))
    assert said.code != 0
    assert "Traceback" not in said.err
    assert admin.nomoat("dataset", "diff", "nowhere").code == 2


_OVERWRITE = """
from huggingface_hub import HfApi
HfApi().upload_file(path_or_fileobj=b"text,label", path_in_repo="data/part-1.csv", repo_id="acme/reviews", repo_type="dataset")
"""
