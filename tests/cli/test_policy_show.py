"""`policy show`: the policies as the gateway holds them, to look at and to compare with files."""

import stat
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import cast

import pytest

from nomoat.policy import compile_policies
from nomoat.policy.defaults import starter_policies
from tests.cli.live import Caller, Live

STARTER = starter_policies()
MORE = '// For nobody.\n@id("nobody-does-anything")\nforbid (principal, action, resource) when { context.at < 0 };\n'


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with Live(tmp_path_factory.mktemp("shown") / "gateway") as running:
        yield running


@pytest.fixture(scope="module")
def boss(there: Live) -> Caller:
    return there.admin()


@pytest.fixture(scope="module")
def approver(there: Live, boss: Caller) -> Caller:
    there.declare(boss, '[[group]]\nname = "approvers"\n')
    return there.person(boss, "pat", 'groups = ["approvers"]')


def written(directory: Path, files: Mapping[str, str]) -> Path:
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def read(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_what_decides_and_what_is_on_trial_is_shown_and_taken_away(
    boss: Caller, approver: Caller, tmp_path: Path
) -> None:
    more = {**STARTER, "more.cedar": MORE}
    said = approver.nomoat("policy", "show")
    assert said.code == 0, said.err
    assert said.out.splitlines()[1] == "// on trial  none"
    assert compile_policies({"all.cedar": said.out}).ids == compile_policies(STARTER).ids
    assert approver.nomoat("policy", "show", "--candidate").code == 1

    assert approver.nomoat("policy", "try", str(written(tmp_path / "more", more))).code == 0
    sets = cast("Mapping[str, Mapping[str, object]]", boss.nomoat("policy", "show", "--json").json())
    active, candidate = sets["active"], sets["candidate"]
    assert (active["files"], active["by"], active["version"]) == (STARTER, "init", 1)
    assert (candidate["files"], candidate["by"]) == (more, "person:pat")
    assert candidate["digest"] == compile_policies(more).digest

    for options, files in ((), STARTER), (("--candidate",), more):
        held = tmp_path / f"held{len(options)}"
        assert boss.nomoat("policy", "show", *options, "--output", str(held)).code == 0
        assert read(held) == files
        assert {stat.S_IMODE(path.stat().st_mode) for path in held.iterdir()} == {0o600}
        assert stat.S_IMODE(held.stat().st_mode) == 0o700

    assert boss.nomoat("policy", "apply", str(tmp_path / "more"), "--yes").code == 0
    said = boss.nomoat("policy", "show")
    first, second = said.out.splitlines()[:2]
    assert first.startswith(f"// in force  {compile_policies(more).digest} (version 2) since ")
    assert first.endswith(" by person:ann")
    assert second == "// on trial  none"
    assert boss.nomoat("policy", "apply", str(written(tmp_path / "again", STARTER)), "--yes").code == 0


def test_no_directory_with_something_in_it_is_written_over(boss: Caller, tmp_path: Path) -> None:
    mine, empty = written(tmp_path / "mine", {"mine.cedar": "// mine\n"}), written(tmp_path / "empty", {})
    said = boss.nomoat("policy", "show", "--output", str(mine))
    assert said.code == 1
    assert "is not empty; name another directory" in said.err
    assert read(mine) == {"mine.cedar": "// mine\n"}
    assert boss.nomoat("policy", "show", "--output", str(empty)).code == 0
    assert read(empty) == STARTER
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine"]


def test_reading_them_is_decided_and_recorded(there: Live, boss: Caller) -> None:
    nobody = there.person(boss, "nell")
    said = nobody.nomoat("policy", "show")
    assert said.code == 1
    assert "no policy permits it" in said.err
    assert boss.nomoat("policy", "show").code == 0
    found = cast(
        "list[dict[str, object]]", boss.nomoat("audit", "search", "what ReadPolicy", "--json").json()["records"]
    )
    mine = [record for record in found if cast("dict[str, object]", record["who"])["name"] == "ann"]
    assert mine[-1]["decision"] == "allow"
    assert [record["decision"] for record in found if record not in mine and "pat" not in str(record["who"])] == [
        "deny"
    ]
