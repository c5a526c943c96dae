"""`fsck`: whether a data directory is whole."""

from pathlib import Path

import click
import uvloop

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation
from nomoat.cli.problems import ExitCode
from nomoat.server.fsck import examine


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--no-contents", "quick", is_flag=True, help="Do not decrypt every content; look at its ends only.")
@json_option
@pass_invocation
def fsck(invocation: Invocation, directory: Path, quick: bool) -> int:
    """Look through a whole data directory, or a copy of one, and say what is wrong and what to do.

    Keys, database, log, tree, the content of every record, every content of a file, index, cursors, permissions.
    Changes nothing; works while no gateway runs, and only with the key-encryption key.
    """
    found = uvloop.run(examine(directory.absolute(), contents=not quick))
    if invocation.as_json:
        findings = [
            {"part": each.part, "what": each.what, "advice": each.advice, "grave": each.grave}
            for each in found.findings
        ]
        output.document({"sound": found.sound, "seen": found.seen, "findings": findings})
    else:
        output.facts(list(found.seen.items()))
        for each in found.findings:
            output.answer(f"{'WRONG' if each.grave else 'note'}  {each.part}: {each.what}")
            if each.advice:
                output.answer(f"  next   {each.advice}")
        grave = sum(each.grave for each in found.findings)
        output.answer("the data directory is whole" if found.sound else f"NOT WHOLE: {grave} findings")
    return ExitCode.DONE if found.sound else ExitCode.VERIFICATION_FAILED
