"""Every command of the guide about publishing runs, in order, and leads to what the page says."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from nomoat.core.lifecycle import Stage, stage_of
from nomoat.core.verdict import Verdict
from tests.cli.live import Caller, Live

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "publishing-a-model.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SAID = re.findall(
    r"^```\n(.*?)^```$|`(nomoat [^`\n]+)`",
    re.sub(r"(?s)^```\w.*?^```$", "", GUIDE, flags=re.MULTILINE),
    re.MULTILINE | re.DOTALL,
)
COMMANDS = [line for fence, inline in SAID for line in (fence or inline).splitlines()]


def test_the_commands_of_the_guide_run(
    live: Live, admin: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, fence in FENCES:
        if language == "python":
            (tmp_path / fence.split("\n", 1)[0].removeprefix("# ")).write_text(fence)
    (declared,) = [fence for language, fence in FENCES if language == "toml"]
    (tmp_path / "review.toml").write_text(declared)
    callers = {"": admin}

    def versions() -> list[dict[str, Any]]:
        said = callers["modeler"].nomoat("versions", "acme/digit-reader", "--json")
        return cast("list[dict[str, Any]]", said.json()["versions"])

    stages = []
    assert COMMANDS[0] == "nomoat apply review.toml"
    for line in COMMANDS:
        profile, _, command = line.rpartition("nomoat ")
        words = shlex.split(command) + (["--yes"] if command.startswith("apply") else [])  # nobody can be asked here
        commit = versions()[0]["commit"][:8] if "COMMIT" in words else ""
        given = [{"COMMIT": commit, "python": sys.executable}.get(word, word) for word in words]
        said = callers[profile.removeprefix("NOMOAT_PROFILE=").strip()].nomoat(*given)
        assert said.code == 0, (line, said.out, said.err)
        if command.startswith("audit search"):
            assert "approver@acme.example  ApproveVersion" in said.out
        if command.startswith("apply"):
            callers |= {who: logged_in(live, admin, who) for who in ("modeler", "approver")}
        else:
            stages.append((versions()[0]["stage"], versions()[0]["served"]))
    candidate, approved, withdrawn = ("candidate", False), ("approved", True), ("withdrawn", False)
    assert stages == [candidate, candidate, candidate, *[approved] * 4, withdrawn, approved, candidate]


def logged_in(live: Live, admin: Caller, who: str) -> Caller:
    code = str(admin.nomoat("enroll", f"{who}@acme.example", "--json").json()["code"])
    caller = Caller(live.root / f"guide-{who}")
    assert caller.nomoat("login", live.url, "--code", code).code == 0
    return caller


@pytest.mark.parametrize("verdict", Verdict)
def test_what_the_guide_says_of_each_verdict_is_so(verdict: Verdict) -> None:
    (row,) = [line for line in GUIDE.splitlines() if line.startswith("| `") and f"`{verdict}`" in line.split("|")[1]]
    if verdict is not Verdict.REFUSED:
        expected = "quarantine" if stage_of([verdict], reviewed=True) is Stage.QUARANTINED else "candidate"
        assert expected in row
        assert (stage_of([verdict], reviewed=False) is Stage.QUARANTINED) == ("whatever `review` says" in row)
