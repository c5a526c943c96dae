"""Changes are shown, asked for, and applied only to what was shown."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from nomoat.policy.defaults import starter_policies
from tests.cli.live import Caller, Live


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    directory.mkdir()
    for name, text in starter_policies().items():
        (directory / name).write_text(text)
    return directory


MORE = '@id("more-{0}")\npermit (principal == NoMoat::Person::"nobody-{0}", action, resource);\n'


def test_a_plan_is_shown_and_applied(admin: Caller, tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text('[[group]]\nname = "plan-group"\n[[person]]\nname = "planned"\ngroups = ["plan-group"]\n')
    shown = admin.nomoat("apply", str(path), "--dry-run")
    assert shown.code == 0
    assert "not applied" in shown.out
    generation = admin.nomoat("apply", str(path), "--dry-run", "--json").json()["generation"]
    done = admin.nomoat("apply", str(path), "--yes")
    assert done.code == 0, done.err
    assert [line.split()[:3] for line in done.out.splitlines()[1:3]] == [
        ["add", "group", "plan-group"],
        ["add", "person", "planned"],
    ]
    assert done.out.splitlines()[-1] == f"applied: the directory is now at generation {int(str(generation)) + 1}"
    again = admin.nomoat("apply", str(path), "--yes")
    assert "nothing to change" in again.out


def test_without_a_person_to_ask_nothing_is_applied(admin: Caller, tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text('[[group]]\nname = "never"\n')
    with admin.running("apply", str(path)) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "never" in out
    assert "--yes" in err
    assert "add" in admin.nomoat("apply", str(path), "--dry-run").out


@pytest.mark.parametrize(("typed", "code", "applied"), [("n", 1, False), ("y", 0, True)])
def test_a_person_is_asked(admin: Caller, tmp_path: Path, typed: str, code: int, applied: bool) -> None:
    path = tmp_path / "d.toml"
    path.write_text(f'[[group]]\nname = "asked-{typed}"\n')
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "nomoat.cli", "apply", str(path)],
        env={**admin.environment, "TERM": "dumb"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.write(ours, f"{typed}\n".encode())
    process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == code
    left = admin.nomoat("apply", str(path), "--dry-run").out
    assert ("nothing to change" in left) is applied


def test_several_files_are_one_declaration(admin: Caller, tmp_path: Path) -> None:
    first, second = tmp_path / "1.toml", tmp_path / "2.toml"
    first.write_text('[[group]]\nname = "several"')
    second.write_text('[[person]]\nname = "in-several"\ngroups = ["several"]\n')
    assert admin.nomoat("apply", str(first), str(second), "--yes").code == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("[[group]\n", "is not TOML"), ('name = "x"\n', "'name' is not a declaration"), ("\x00", "is not TOML")],
)
def test_a_file_that_is_wrong_is_named(admin: Caller, tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    said = admin.nomoat("apply", str(path), "--yes")
    assert said.code == 1
    assert "wrong.toml" in said.err
    assert complaint in said.err


def test_policies_are_checked_here_and_say_where(policies: Path, tmp_path: Path) -> None:
    nobody = Caller(tmp_path / "nobody")
    said = nobody.nomoat("policy", "check", str(policies))
    assert said.code == 0
    assert "each valid: sha256:" in said.out
    (policies / "wrong.cedar").write_text("permit (principal, action, resource) when { context.nonsense == 1 };\n")
    said = nobody.nomoat("policy", "check", str(policies))
    assert said.code == 1
    assert said.err.startswith("refused: wrong.cedar:1:1: this policy has no id")


def test_an_empty_directory_is_no_set_of_policies(admin: Caller, tmp_path: Path) -> None:
    said = admin.nomoat("policy", "apply", str(tmp_path), "--yes")
    assert said.code == 1
    assert "would refuse everybody" in said.err


def test_policies_are_replaced_as_planned(admin: Caller, policies: Path) -> None:
    assert "nothing to change" in admin.nomoat("policy", "apply", str(policies), "--yes").out
    (policies / "more.cedar").write_text(MORE.format("a"))
    done = admin.nomoat("policy", "apply", str(policies), "--yes")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split() == ["added", "more-a", "more.cedar"]
    (policies / "more.cedar").unlink()
    applied = admin.nomoat("policy", "apply", str(policies), "--yes", "--json").json()
    assert applied["plan"] == [{"change": "removed", "id": "more-a", "file": "more.cedar"}]
    assert applied["applied"] is True


def test_a_set_that_changed_since_it_was_shown_is_left_alone(admin: Caller, policies: Path) -> None:
    """Between the question and the answer somebody else applies: the answer is refused."""
    (policies / "more.cedar").write_text(MORE.format("b"))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "nomoat.cli", "policy", "apply", str(policies)],
        env={**admin.environment, "TERM": "dumb"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    assert process.stderr is not None
    asked = ""
    while "Apply" not in asked:
        asked += process.stderr.read(1)
    (policies / "more.cedar").write_text(MORE.format("c"))
    assert admin.nomoat("policy", "apply", str(policies), "--yes").code == 0
    os.write(ours, b"y\n")
    _, err = process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 1
    assert "changed since the plan was made" in err
    (policies / "more.cedar").unlink()
    assert admin.nomoat("policy", "apply", str(policies), "--yes").code == 0


def test_nobody_locks_the_door_from_inside(admin: Caller, policies: Path) -> None:
    (policies / "administration.cedar").unlink()
    said = admin.nomoat("policy", "apply", str(policies), "--yes")
    assert said.code == 1
    assert "could not apply policies again" in said.err


def test_who_may_not_apply_is_refused(live: Live, admin: Caller, policies: Path, tmp_path: Path) -> None:
    who = live.person(admin, "meddler")
    path = tmp_path / "d.toml"
    path.write_text('[[group]]\nname = "mine"\n')
    for arguments in (("apply", str(path)), ("policy", "apply", str(policies))):
        said = who.nomoat(*arguments, "--yes")
        assert said.code == 1
        assert "meddler may not Apply" in said.err
