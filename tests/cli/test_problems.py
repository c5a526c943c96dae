"""A failure is told in one sentence with what to do next, and its exit code is what a script needs."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nomoat.cli import root as cli
from nomoat.cli.invocation import Invocation
from nomoat.cli.output import printable, table
from nomoat.cli.problems import ExitCode, tell
from nomoat.client.errors import LogContradicted, NotLoggedIn
from nomoat.core.errors import Corrupt, Malformed, Misuse, NotPermitted, Unavailable


def refused() -> NotPermitted:
    error = NotPermitted("ann may not ReadFile acme/digits@3f9c:a: b.csv: no policy permits it")
    error.record = 45
    return error


def test_a_refusal_reads_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(refused(), as_json=False, environment={}) == 1
    assert capsys.readouterr().err == (
        "refused: ann may not ReadFile acme/digits@3f9c:a: b.csv\n"
        "  why    no policy permits it\n"
        "  record 45   (why: nomoat policy explain 45)\n"
    )


@pytest.mark.parametrize(
    ("error", "code", "beginning"),
    [
        (refused(), ExitCode.REFUSED, "refused: ann may not"),
        (Malformed("p.cedar:3:1: this policy has no id"), ExitCode.REFUSED, "refused: p.cedar:3:1: this policy"),
        (NotLoggedIn("work"), ExitCode.REFUSED, "refused: nobody is logged in under the profile 'work'"),
        (Unavailable("log", "no space left"), ExitCode.UNAVAILABLE, "unavailable: log: no space left"),
        (Unavailable("gateway", "log: no space left"), ExitCode.UNAVAILABLE, "unavailable: log: no space left"),
        (Corrupt("blob 3"), ExitCode.VERIFICATION_FAILED, "verification failed: blob 3"),
        (LogContradicted("the log was rolled back"), ExitCode.VERIFICATION_FAILED, "LOG CONTRADICTED: the log"),
        (Misuse("claimed twice"), ExitCode.INTERNAL, "internal error, please report"),
        (ZeroDivisionError("secret detail"), ExitCode.INTERNAL, "internal error, please report: ZeroDivisionError"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
    ],
)
def test_each_failure_has_a_word_and_a_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: ExitCode, beginning: str
) -> None:
    assert tell(error, as_json=False, environment={}) == code
    said = capsys.readouterr()
    assert said.err.startswith(beginning)
    assert said.out == ""
    assert "Traceback" not in said.err
    assert "secret detail" not in said.err


def test_details_only_for_who_asks(capsys: pytest.CaptureFixture[str]) -> None:
    tell(ZeroDivisionError("secret detail"), as_json=False, environment={"NOMOAT_DEBUG": "1"})
    assert "secret detail" in capsys.readouterr().err


def test_an_error_for_a_program_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    tell(refused(), as_json=True, environment={})
    said = json.loads(capsys.readouterr().err)
    assert said == {
        "error": "ann may not ReadFile acme/digits@3f9c:a: b.csv: no policy permits it",
        "outcome": "refused",
        "record": 45,
        "next": None,
        "exit": 1,
    }


def test_a_command_s_failure_arrives_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"NOMOAT_HOME": str(tmp_path)}
    assert cli.run(["whoami"], Invocation(environment)) == 1
    assert "next   nomoat login URL --code CODE" in capsys.readouterr().err
    assert cli.run(["whoami", "--json", "--profile", "p"], Invocation(environment)) == 1
    said = json.loads(capsys.readouterr().err)
    assert said["error"] == "nobody is logged in under the profile 'p'"
    assert said["next"] == "nomoat login URL --code CODE --profile p"


@pytest.mark.parametrize("arguments", [["nonsense"], ["whoami", "--nonsense"], ["exec"], ["revoke", "dog", "rex"]])
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments, Invocation({})) == 2
    assert "Usage: nomoat" in capsys.readouterr().err


def test_a_misspelt_command_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, meant in ((["wohami"], "whoami"), (["audit", "serch"], "search")):
        assert cli.run(arguments, Invocation({})) == 2
        assert f"Did you mean '{meant}'?" in capsys.readouterr().err


def test_the_installed_command_exits_with_the_code(tmp_path: Path) -> None:
    environment = {"NOMOAT_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "nomoat.cli", "token"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m nomoat.cli --help | head -c 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_names_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2Jb\x9b31mc\u202ed\r\n[red]e"
    assert printable(evil) == "a\\x1b[2Jb\\x9b31mc\\u202ed\\r\\n[red]e"
    table(["name"], [[evil]])
    assert capsys.readouterr().out == f"name\n{printable(evil)}\n"


@pytest.mark.parametrize(("no_color", "bold"), [("1", False), ("", True)])
def test_no_color_is_no_bold_either(no_color: str, bold: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    table(["name"], [["x"]])
    assert ("\x1b[1m" in screen.getvalue()) is bold


def test_nothing_is_cut_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    table(["#", "name"], [["7", "x" * 500], ["12", "y"]], right=["#"])
    assert capsys.readouterr().out.splitlines() == [" #  name", " 7  " + "x" * 500, "12  y"]


@pytest.mark.parametrize("command", [["whoami"], ["token"], ["env", "hub"], ["login"], ["audit", "search"]])
@pytest.mark.parametrize("home", ["file", "/dev/null", "/dev/null/x"])
def test_a_home_that_is_none_is_said_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], home: str
) -> None:
    (tmp_path / "file").write_text("")
    at = str(tmp_path / home)  # an absolute one stays as it is
    for environment in ({"NOMOAT_HOME": at}, {"HOME": at, "XDG_CONFIG_HOME": at}):
        assert cli.run(command, Invocation(environment)) == ExitCode.REFUSED
        said = capsys.readouterr().err
        assert "the profile 'default' cannot be used: " in said
        assert "Not a directory" in said
        assert "next   have NOMOAT_HOME name a directory of your own" in said


def test_a_key_that_cannot_be_written_names_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["init", str(tmp_path / "gateway"), "--admin", "ann", "--trust-domain", "t"]
    assert cli.run(arguments, Invocation({"NOMOAT_HOME": str(tmp_path / "file")})) == ExitCode.UNAVAILABLE
    assert f"the key-encryption key {tmp_path / 'file/keys/t.kek'} cannot be written: " in capsys.readouterr().err


def test_a_file_that_is_in_the_way_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError) as caught:  # whichever it is, it names its file
        Path("/dev/null/x").mkdir()
    assert tell(caught.value, as_json=False, environment={}) == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert said.startswith("unavailable: /dev/null/x: Not a directory\n  next   ")


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("embedder: its files are others; nothing was served. (try again in 2 s)", "--by keyword"),
        ("postgres: the database failed (28P01); nothing was served. (try again in 2 s)", "nomoat doctor"),
        ("index: numpy is not installed; nothing was served. (try again in 2 s)", "nomoat doctor"),
        ("index: it is being opened; try again; nothing was served. (try again in 2 s)", "it is safe to try again"),
        ("log: no space left; nothing was served. (try again in 2 s)", "it is safe to try again"),
    ],
)
def test_what_trying_again_does_not_mend_is_for_the_gateways_machine(
    capsys: pytest.CaptureFixture[str], said: str, advice: str
) -> None:
    assert tell(Unavailable("gateway", said), as_json=False, environment={}) == ExitCode.UNAVAILABLE
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("  next")]
    assert advice in line
