"""The guide to what may leave, as it stands there."""

import re
import shlex
from pathlib import Path

import openai
import pytest

from tests.cli.live import Caller
from tests.hub.live import ADMIN
from tests.inference.conftest import Floor
from tests.inference.test_clients import gpt, http
from tests.inference.test_content import declared, sent

__all__ = ["declared", "gpt", "http"]  # fixtures

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "what-leaves.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_guide_run(
    floor: Floor, gpt: openai.OpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "customers.txt").write_text("Müller Maschinenbau\n")
    home, profile = Caller(floor.live.root / "home"), ["--profile", floor.profile(ADMIN).name]
    add, plant, search, listing, remove = [shlex.split(fence.strip())[1:] for language, fence in FENCES if not language]
    (shown,) = [fence.strip() for language, fence in FENCES if language == "text"]
    _, body = sent(floor, gpt, "work/partner", "why does AKIAIOSFODNN7ABCDEFG fail?")
    assert body["messages"][0]["content"] == shown
    assert home.nomoat(*add, *profile).code == 0
    _, body = sent(floor, gpt, "work/partner", "a mail to MÜLLER Maschinenbau")
    assert body["messages"][0]["content"] == "a mail to [redacted: value:customers]"
    planted = home.nomoat(*plant, *profile)
    assert planted.code == 0, planted.err
    with pytest.raises(openai.PermissionDeniedError):
        sent(floor, gpt, "work/own", f"what is {planted.out}?")
    found = home.nomoat(*search, *profile)
    assert "ada" in found.out, found.err
    listed = home.nomoat(*listing, *profile)
    assert ("customers" in listed.out, "payroll-share" in listed.out) == (True, True)
    assert home.nomoat(*remove, *profile).code == 0
    assert home.nomoat("content", "remove", "customers", *profile).code == 0


def test_the_policy_of_the_guide_is_one(floor: Floor) -> None:
    (policy,) = [fence for language, fence in FENCES if language == "cedar"]
    with floor.live.admin as session:
        held = dict(session.gateway.policies()[0].files)
        session.gateway.apply_policy({**held, "guide.cedar": policy}, dry_run=True)
