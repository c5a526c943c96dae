"""`policy show`: the policies as the gateway holds them, to look at or to compare with files."""

import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.gateway import HeldPolicies
from nomoat.core.errors import Conflict, Corrupt, NotFound, Unavailable
from nomoat.policy.compilation import digest, is_file_name


@click.command()
@click.option("--candidate", is_flag=True, help="The set on trial instead of the active one.")
@click.option(
    "--output",
    "-o",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files into this directory, which is new or empty [default: print].",
)
@profile_option
@json_option
@pass_invocation
def show(invocation: Invocation, candidate: bool, directory: Path | None) -> None:
    """Show the policies as the gateway holds them: texts, digest, since when, by whom.

    To compare them with files: nomoat policy show --output held, then diff -r held policies. What is printed
    is Cedar, whatever else it says is a comment. With --json, both sets.
    """
    with invocation.session() as session:
        active, tried = session.gateway.policies()
    chosen = tried if candidate else active
    if chosen is None:
        raise NotFound("no policies are on trial; begin with: nomoat policy try DIRECTORY", kind="entry")
    if digest(chosen.files) != chosen.digest or not all(map(is_file_name, chosen.files)):
        raise Corrupt("what the gateway says of its policies")
    if directory is not None:
        _write(directory, chosen)
    if invocation.as_json:
        told = {"active": asdict(active), "candidate": asdict(tried) if tried else None}
        output.document({"directory": str(directory), "digest": chosen.digest} if directory else told)
    elif directory is not None:
        output.say(f"wrote {output.counted(len(chosen.files), 'file')} into {directory}: {chosen.digest}")
    else:
        _print(active, tried, chosen)


def _print(active: HeldPolicies, tried: HeldPolicies | None, chosen: HeldPolicies) -> None:
    output.answer(f"// in force  {_said(active)}")
    output.answer(f"// on trial  {_said(tried) if tried else 'none'}")
    for name, text in sorted(chosen.files.items()):
        output.answer(f"// -- {name}")
        if sys.stdout.isatty():
            for line in text.splitlines():
                output.answer(line)  # without what a terminal would obey
        else:
            output.raw(text.rstrip("\n"))


def _said(held: HeldPolicies) -> str:
    return f"{held.digest} (version {held.version}) since {output.local_time(held.since)} by {held.by}"


def _write(directory: Path, held: HeldPolicies) -> None:
    """Make a directory of the files that only its owner may read: whole or not at all, never over another."""
    directory = directory.absolute()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as unfinished:
            made = Path(unfinished, "made")
            made.mkdir(0o700)
            for name, text in held.files.items():
                descriptor = os.open(made / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                    stream.write(text)
            if os.path.lexists(directory) and any(directory.iterdir()):
                raise Conflict(f"{directory} is not empty; name another directory")
            made.rename(directory)
    except OSError as error:
        raise Unavailable("disk", f"{directory} cannot be written ({error.strerror})") from error
