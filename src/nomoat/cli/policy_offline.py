"""`policy` without a gateway: format, lint and test files, on a laptop or in the user's own CI."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation
from nomoat.cli.policy_files import DIRECTORY, FILE, read_policies
from nomoat.cli.problems import ExitCode
from nomoat.core.decision import Allow, Decision
from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.policy.compilation import compile_policies
from nomoat.policy.explanation import differences
from nomoat.policy.formatting import format_file
from nomoat.policy.linting import lint as look
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.server.rehearsal import Expectation, Result, declarations_of, declared, parse_tests, rehearse

TESTS = "*.test.toml"


@click.command(name="format")
@click.argument("directory", type=DIRECTORY)
@click.option("--check", is_flag=True, help="Only say which files would change; exit code 1 if any would.")
@json_option
@pass_invocation
def format_command(invocation: Invocation, directory: Path, check: bool) -> int:
    """Write the policies of DIRECTORY in Cedar's own format; comments stay."""
    files = read_policies(directory)
    formatted = {name: format_file(name, text) for name, text in files.items()}
    changed = [name for name in files if formatted[name] != files[name]]
    if not check:
        for name in changed:
            (directory / name).write_text(formatted[name], encoding="utf-8")
    if invocation.as_json:
        output.document({"changed": changed, "written": not check})
    else:
        for name in changed:
            output.answer(f"{'would change' if check else 'formatted'}  {name}")
        output.say(f"{len(changed)} of {len(files)} files {'would change' if check else 'changed'}")
    return ExitCode.REFUSED if check and changed else ExitCode.DONE


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--declared", multiple=True, type=FILE, help="A declaration; finds names that nobody declared.")
@json_option
@pass_invocation
def lint(invocation: Invocation, directory: Path, declared: tuple[Path, ...]) -> int:
    """Find what compiles and is probably not what was meant, with file, line and column.

    Exit code 1 if anything was found. With a declaration, also groups, segments and labels that it does not have.
    """
    found = look(read_policies(directory), directory_of(declared) if declared else None)
    if invocation.as_json:
        output.document({"findings": [finding._asdict() for finding in found]})
    else:
        for finding in found:
            output.answer(f"{directory}/{finding.position}: {finding.policy}: {finding.message} [{finding.rule}]")
        output.say("nothing found" if not found else f"{len(found)} to look at")
    return ExitCode.REFUSED if found else ExitCode.DONE


def directory_of(files: Sequence[Path]) -> Directory:
    """The directory that declaration files make. Raises `Malformed`."""
    return declared([file.read_text(encoding="utf-8") for file in files])


# After a line with a backspace, click keeps the lines as they are.
EXAMPLE = """Test the policies of DIRECTORY offline: who may do what to what.

\b
declared = ["pipeline.toml"]          # beside the test file
[[test]]
name = "scientists read results, not data"
who = "scientist@acme.example"        # or a list: each of them
what = ["ReadFile", "DescribeFile"]
on = "dataset acme/digits:metrics.json"
decision = "allowed"                  # or "refused"
by = "scientists-read-metrics"        # optional; [] for: no policy permits it
context = { binding = "mtls" }        # optional

Exit code 1 if a test fails.
"""


@click.command(help=EXAMPLE)
@click.argument("directory", type=DIRECTORY)
@click.option("--tests", multiple=True, type=FILE, help=f"A test file [default: every {TESTS} in DIRECTORY].")
@click.option("--declared", multiple=True, type=FILE, help="A declaration, instead of those that the test files name.")
@json_option
@pass_invocation
def test(invocation: Invocation, directory: Path, tests: tuple[Path, ...], declared: tuple[Path, ...]) -> int:
    """Test the policies of DIRECTORY offline."""
    snapshot = compile_policies(read_policies(directory))
    files = tests or tuple(sorted(directory.glob(TESTS)))
    if not files:
        raise Malformed(f"{directory} holds no {TESTS}; name a file with --tests")
    expectations = [each for file in files for each in _tests(file, declared, int(invocation.clock()))]
    results = rehearse(snapshot, expectations)
    failed = [result for result in results if not result.holds]
    untouched = _untouched(snapshot, results)
    if invocation.as_json:
        output.document({"tests": [_described(each) for each in results], "failed": len(failed), "untested": untouched})
        return ExitCode.REFUSED if failed else ExitCode.DONE
    for result in failed:
        _tell(snapshot, result)
    if untouched:
        output.say(f"no test is decided by: {', '.join(untouched)}")
    output.answer(
        f"{len(results) - len(failed)} of {len(results)} cases hold" + (", the others FAILED" if failed else "")
    )
    return ExitCode.REFUSED if failed else ExitCode.DONE


def _tests(file: Path, declarations: Sequence[Path], now: int) -> list[Expectation]:
    text = file.read_text(encoding="utf-8")
    named = declarations or [file.parent / name for name in declarations_of(str(file), text)]
    for each in named:
        if not each.is_file():
            raise Malformed(f"{file}: there is no declaration {each}")
    return parse_tests(str(file), text, directory_of(named), now)


def _tell(snapshot: PolicySnapshot, result: Result) -> None:
    """Say of a failed test what was expected, what came, and the least that would have made it hold."""
    expected = result.expectation
    given = expected.question.given
    output.answer(f"FAILED  {expected.place}  {expected.name}".rstrip())
    output.answer(f"  asked     {expected.who} {expected.what} {expected.on} ({given['binding']})")
    wanted = f"{'allowed' if expected.allowed else 'refused'}"
    output.answer(f"  expected  {wanted}{_by(expected.by) if expected.by is not None else ''}")
    output.answer(f"  got       {_came(result.decision)}")
    if isinstance(result.decision, Allow) is not expected.allowed:
        found = differences(snapshot, expected.question)
        for way in found.ways[:3]:
            output.answer(f"  would be {wanted} with  {' and '.join(map(str, way.changes))}")


def _by(names: Sequence[str]) -> str:
    return f" by {', '.join(names)}" if names else ", by no policy"


def _came(decision: Decision) -> str:
    if isinstance(decision, Allow):
        return f"allowed{_by(decision.policies)}"
    return f"refused{_by(decision.policies)}" if decision.policies else f"refused: {decision.reason}"


def _described(result: Result) -> Mapping[str, object]:
    expected, decision = result.expectation, result.decision
    return {
        "place": expected.place,
        "name": expected.name,
        "who": expected.who,
        "what": expected.what,
        "on": expected.on,
        "holds": result.holds,
        "decision": "allowed" if isinstance(decision, Allow) else "refused",
        "by": list(decision.policies),
    }


def _untouched(snapshot: PolicySnapshot, results: Sequence[Result]) -> list[str]:
    touched = {name for result in results for name in result.decision.policies}
    return [name for name in snapshot.ids if name not in touched]
