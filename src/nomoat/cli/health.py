"""`status` and `doctor`: how a gateway is, and how its data directory is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.problems import ExitCode
from nomoat.server.doctor import Doctor
from nomoat.server.findings import Finding, Health

DATA = click.Path(exists=True, file_okay=False, path_type=Path)
WORDS: Final = {Health.GOOD: "ok", Health.ADVICE: "advice", Health.BAD: "BAD", Health.DAMAGED: "DAMAGED"}


@click.command()
@click.argument("directory", type=DATA)
@json_option
@pass_invocation
def doctor(invocation: Invocation, directory: Path) -> int:
    """Examine a data directory, with a gateway running on it or not, and say what to do.

    Checks versions, configuration, permissions, folders, disk, port, keys, certificates, schema, state, log
    and clock. Changes nothing. Ends with 0 when it serves, 3 when something keeps it from serving, 4 when
    something is not what was written.
    """
    examined = Doctor(directory.absolute(), invocation.clock())
    examined.examine()
    found = examined.findings
    code = _exit_code(found)
    if invocation.as_json:
        output.document(
            {
                "healthy": code is ExitCode.DONE,
                "running": examined.seen.running,
                "findings": [
                    {"check": each.check, "health": str(each.health), "said": each.said, "do": each.advice or None}
                    for each in found
                ],
            }
        )
        return code
    width = max(len(each.check) for each in found)
    for each in found:
        output.answer(f"{WORDS[each.health]:<7}  {each.check:<{width}}  {each.said}")
        if each.advice:
            output.answer(f"{'':<7}  {'':<{width}}  do: {each.advice}")
    output.say(_sentence(found))
    return code


@click.command()
@click.argument("directory", type=DATA, required=False)
@profile_option
@json_option
@pass_invocation
def status(invocation: Invocation, directory: Path | None) -> int:
    """Print how the gateway of your profile is, or what a data DIRECTORY holds.

    Asking a gateway is an Operation (ReadStatus) and is recorded. A data directory is looked at with its
    key-encryption key, whether a gateway runs on it or not.
    """
    if directory is not None:
        return _print_directory(invocation, directory.absolute())
    with invocation.session() as session:
        found = session.gateway.status()
    if invocation.as_json:
        output.document(dict(found))
    else:
        upstreams = cast("Mapping[str, Mapping[str, object]]", found.get("upstreams", {}))
        shown = [(name.replace("_", " "), _shown(name, value)) for name, value in found.items() if name != "upstreams"]
        output.facts([*shown, *((f"upstream {name}", _health(name, each)) for name, each in upstreams.items())])
    return ExitCode.DONE


def _print_directory(invocation: Invocation, directory: Path) -> int:
    examined = Doctor(directory, invocation.clock())
    examined.examine()
    seen, code = examined.seen, _exit_code(examined.findings)
    if invocation.as_json:
        output.document(
            {
                "directory": str(directory),
                "running": seen.running,
                "trust_domain": seen.trust_domain,
                "schema": seen.schema,
                "generation": seen.generation,
                "records": seen.records,
                "latest_record": seen.latest or None,
                "disk_free_bytes": seen.free,
                "healthy": code is ExitCode.DONE,
            }
        )
        return code
    output.facts(
        [
            ("gateway", "running" if seen.running else "stopped"),
            ("trust domain", seen.trust_domain or "unknown"),
            ("records", _known(seen.records)),
            ("latest record", seen.latest or "unknown"),
            ("state", f"generation {_known(seen.generation)}, schema {seen.schema or 'unknown'}"),
            ("disk", f"{seen.free / 2**30:.1f} GiB free"),
        ]
    )
    if code is not ExitCode.DONE:
        output.say(f"{_sentence(examined.findings)}; run: nomoat doctor {directory}")
    return code


def _known(number: int | None) -> str:
    return "unknown" if number is None else str(number)


def _shown(name: str, value: object) -> str:
    if isinstance(value, (int, float)) and name.endswith("_bytes"):
        return f"{value / 2**20:,.1f} MiB"
    if isinstance(value, (int, float)) and name.endswith("_seconds"):
        return f"{value:,.0f} s"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {count}" for key, count in cast("Mapping[str, object]", value).items()) or "none"
    return "none" if value is None else str(value)


def _health(name: str, seen: Mapping[str, object]) -> str:
    """How a server of models is, in one line."""
    parts = [str(seen["state"])]
    if again := seen["asked_again_in_seconds"]:
        parts.append(f"asked again in {again:g} s")
    if (answered := seen["answered_seconds_ago"]) is not None:
        parts.append(f"answered {answered:.0f} s ago")
    if (failed := seen["failed_seconds_ago"]) is not None:
        parts.append(f"failed {failed:.0f} s ago: {seen['last_failure']}")
    if seen["state"] == "rejecting":
        parts.append(f"give the gateway another: nomoat upstream credential {name}")
    return "; ".join(parts)


def _exit_code(found: list[Finding]) -> ExitCode:
    worst = {each.health for each in found}
    if Health.DAMAGED in worst:
        return ExitCode.VERIFICATION_FAILED
    return ExitCode.UNAVAILABLE if Health.BAD in worst else ExitCode.DONE


def _sentence(found: list[Finding]) -> str:
    wrong = sum(each.health in {Health.BAD, Health.DAMAGED} for each in found)
    advice = sum(each.health is Health.ADVICE for each in found)
    if wrong:
        return f"{wrong} of {len(found)} checks failed"
    return f"all {len(found)} checks hold" + (f", with advice for {advice}" if advice else "")
