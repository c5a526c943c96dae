"""`audit`: who saw this, and the proof of it."""

import shlex
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import click

from nomoat.audit.checkpoint import parse_checkpoint
from nomoat.audit.report import Fault, Report
from nomoat.cli import counting, evidence, output, records, tiles
from nomoat.cli.contents import print_contents
from nomoat.cli.erasure import erase
from nomoat.cli.export import export
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.problems import ExitCode
from nomoat.cli.report import report
from nomoat.cli.witnesses import quorum_of, quorum_options
from nomoat.client.gateway import Records
from nomoat.client.inference import read_contents
from nomoat.client.verification import Verified, verify
from nomoat.core.errors import Malformed, NotFound

FOLLOW_S = 2.0
PAGE = 1000
SHOWN_PROBLEMS = 20
LONGEST_NUMBER = 18  # digits

# After a line with a backspace, click keeps the lines as they are.
SEARCH = """Print the newest records that match QUERY, for example 'on acme/digits by person since 7d'.

\b
on NAME           a dataset, model, file or identity, and what is in it
by KIND or NAME   person, workload, ann@acme.example, person:ann@acme.example
what ACTION       such as ReadFile, Revoke, Authenticate
allowed, refused  the decision
label NAME        a label that the thing had
session ID        one session
found RULE        what was found in a prompt or an answer: secret, secret:aws-access-key, source:acme/engine
upstream NAME     the server that a prompt was sent to
since AGE or TIME 90s, 15m, 12h, 7d, 4w; or 2026-11-22, 2026-11-22T19:31Z
until AGE or TIME the same: up to then
record N          one record

All of them must hold. Reading the log is itself recorded. An index finds the records, which are then read
from the log; --scan does without it and reads the whole log, which takes long.
"""

Record = Mapping[str, object]


@click.group()
def audit() -> None:
    """Search, show and verify the records of every access."""


def _require_query(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> str:
    """Return the one argument that a query is."""
    del parameter
    if len(words) > 1:
        raise click.UsageError(f"a query is one argument, so put it in quotes: {shlex.quote(' '.join(words))}", context)
    return "".join(words)


@contextmanager
def _wording_queries() -> Generator[None]:
    """Tell of a query that the gateway does not understand as wrong usage: it knows the words, not this program."""
    try:
        yield
    except Malformed as error:
        record = "" if error.record is None else f" (record {error.record})"
        raise click.UsageError(error.reason + record) from None


query_argument = click.argument("query", nargs=-1, metavar="[QUERY]", callback=_require_query)


class RecordNumber(click.ParamType[int]):
    """A record's number."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
            self.fail(
                f"{text!r:.60} is no record's number; nomoat audit search shows them in its first column", param, ctx
            )
        return int(text)


@audit.command(help=SEARCH)
@query_argument
@click.option("--limit", type=click.IntRange(1, PAGE), default=50, show_default=True, help="At most this many.")
@click.option("--scan", is_flag=True, help="Read every record of the log itself, without the index.")
@profile_option
@json_option
@pass_invocation
def search(invocation: Invocation, query: str, limit: int, scan: bool) -> None:
    """Print the newest records that match a query."""
    with _wording_queries(), invocation.session() as session:
        found = session.records(query, limit=limit, scan=scan)
    if invocation.as_json:
        output.document({"records": [dict(record) for record in found.records], "size": found.size})
        return
    _table(found.records)
    shown = output.counted(len(found.records), "record")
    newest = ", the newest (more with --limit)" if len(found.records) == limit else ""
    output.say(f"{shown} found{newest}; the whole log has {output.counted(found.size, 'record')}")


@audit.command()
@click.argument("number", type=RecordNumber())
@click.option("--contents", is_flag=True, help="Also what was asked of a model and what it said, where that is kept.")
@profile_option
@json_option
@pass_invocation
def show(invocation: Invocation, number: int, contents: bool) -> None:
    """Print everything that record NUMBER holds, and how its access ended."""
    with invocation.session() as session:
        found = session.records(f"record {number}", limit=1)
        said = read_contents(session.gateway, number) if contents and found.records else None
    if not found.records:
        raise NotFound(f"the log has no record {number} that you may read", kind="entry")
    record = found.records[-1]
    if invocation.as_json:
        output.document(dict(record) if said is None else {**record, "contents": dict(said)})
        return
    output.facts(list(records.facts(record)))
    if said is not None:
        print_contents(said)


@audit.command()
@query_argument
@click.option("--follow", "-f", is_flag=True, help="Keep printing new ones until interrupted.")
@click.option("-n", "number", type=click.IntRange(1, PAGE), default=10, show_default=True, help="Start with this many.")
@profile_option
@json_option
@pass_invocation
def tail(invocation: Invocation, query: str, follow: bool, number: int) -> None:
    """Print the newest records that match QUERY, one a line, and follow the log with -f.

    Following reads the log every few seconds, and each reading is recorded; its own readings are not
    printed.
    """
    with _wording_queries(), invocation.session() as session:
        mine = session.identity.session
        newest = _print_lines(invocation, session.records(query, limit=number), -1, following="")
        while follow:
            Event().wait(FOLLOW_S)
            found = session.records(query, after=newest, limit=PAGE)
            newest = _print_lines(invocation, found, newest, following=mine)


def _require_checkpoints(
    context: click.Context, parameter: click.Parameter, files: tuple[Path, ...]
) -> tuple[Path, ...]:
    """Refuse a file that is no checkpoint as a wrong argument: it says nothing about the log."""
    for file in files:
        try:
            parse_checkpoint(file.read_bytes())
        except Malformed as error:
            raise click.BadParameter(f"{file} is no checkpoint: {error.reason}", context, parameter) from None
        except OSError as error:
            raise click.BadParameter(f"{file} cannot be read: {error.strerror}", context, parameter) from None
    return files


@audit.command(name="verify")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key", metavar="KEY", default="", help="The log's verifier key, or a file with it.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_require_checkpoints,
    help="A checkpoint that somebody kept; repeat for several.",
)
@quorum_options
@json_option
@pass_invocation
def verify_command(
    invocation: Invocation,
    directory: Path,
    key: str,
    checkpoints: tuple[Path, ...],
    witnesses: tuple[str, ...],
    quorum: int | None,
) -> int:
    """Verify a log offline: a data directory, its log, or a copy of either.

    Needs no server and no secret. Finds every record that was changed, dropped, moved or added. With
    a checkpoint that somebody kept, it also finds a log that was cut, rolled back or forked; the
    checkpoints of your own profiles are used by themselves. With witnesses, one of all these checkpoints must
    be cosigned by a quorum of them.
    """
    asked = quorum_of(witnesses, quorum)
    try:
        done = verify(directory, invocation.environment, key=key, checkpoints=checkpoints, quorum=asked)
    except Malformed as error:  # there is no log, or no key for it: nothing was verified
        raise click.UsageError(error.reason) from None
    if invocation.as_json:
        output.document(_verification(done))
    else:
        _print_verification(done)
    return ExitCode.DONE if done.report.consistent else ExitCode.VERIFICATION_FAILED


for command in (*counting.COMMANDS, *evidence.COMMANDS, *tiles.COMMANDS, export, report, erase):
    audit.add_command(command)


def _table(found: tuple[Record, ...]) -> None:
    output.table(records.COLUMNS, [records.row(record) for record in found], right=["#"])


def _print_lines(invocation: Invocation, found: Records, newest: int, *, following: str) -> int:
    """Print records one a line, but not the readings of the session `following`; return the newest number seen."""
    for record in found.records:
        if not records.is_reading(record, following):
            if invocation.as_json:
                output.document(dict(record), indent=None)
            else:
                output.answer("  ".join(records.row(record)))
        number = record.get("n")
        newest = max(newest, number) if isinstance(number, int) else newest
    return newest


def _print_verification(done: Verified) -> None:
    report = done.report
    output.facts(
        [
            ("log", report.origin),
            ("key", done.key_from),
            ("kept checkpoints", ", ".join(done.kept_from) or "none"),
            ("records", _counts(report)),
            ("time", f"{report.oldest} to {report.newest}"),
            ("open accesses", str(report.open)),
            *([("forgotten", f"the content of {report.forgotten} records")] if report.forgotten else []),
        ]
    )
    if report.unsigned or report.unfinished:
        behind = f"{output.counted(report.unsigned, 'record')} and {output.counted(report.unfinished, 'byte')}"
        output.answer(f"behind the last checkpoint: {behind}, never acknowledged")
    for problem in list(report.problems)[:SHOWN_PROBLEMS]:
        output.answer(f"  {problem.fault}: {problem}")
    if (more := len(report.problems) - SHOWN_PROBLEMS) > 0:
        output.answer(f"  and {more} more")
    output.answer(sentence(done))
    if report.problems and all(problem.fault is Fault.ROLLED_BACK for problem in report.problems):
        output.say(
            "  note   it is whole, but older than a kept checkpoint: of a backup or an earlier copy, that is expected;"
        )
        output.say("         of the log of a running gateway, it is not")
    if report.consistent and report.proven is None:
        output.say("  next   give a checkpoint that somebody kept: --checkpoint FILE")
    if not done.trusted_key:
        output.say("  next   the key lay beside the log; give the one that you know: --key KEY")


def _counts(report: Report) -> str:
    segments = output.counted(report.segments, "segment")
    return f"{report.records} in {segments}, {output.counted(report.checkpoints, 'signed checkpoint')}"


def sentence(done: Verified) -> str:
    """Return the result in one sentence."""
    report = done.report
    witnessed = " and witnessed" if report.witnessed is not None else ""
    gaps = output.counted(len(report.gaps), "gap")
    counted = f"{output.counted(report.head.size, 'record')}, checkpoint signed{witnessed}, {gaps}"
    if not report.consistent:
        return f"log NOT VERIFIED: {report.first_bad}"
    if report.proven is None:
        return f"consistent, completeness unproven: {counted}, but no checkpoint that somebody kept"
    return f"log verified: {counted}, complete up to the kept checkpoint of {report.proven}"


def _verification(done: Verified) -> dict[str, object]:
    report = done.report
    return {
        "status": report.status,
        "consistent": report.consistent,
        "origin": report.origin,
        "size": report.head.size,
        "root": report.head.root.hex(),
        "records": report.records,
        "segments": report.segments,
        "checkpoints": report.checkpoints,
        "unsigned": report.unsigned,
        "unfinished": report.unfinished,
        "open": report.open,
        "forgotten": report.forgotten,
        "oldest": report.oldest,
        "newest": report.newest,
        "proven": report.proven,
        "witnessed": report.witnessed,
        "gaps": [list(gap) for gap in report.gaps],
        "problems": [
            {"fault": str(problem.fault), "first": problem.first, "last": problem.last, "detail": problem.detail}
            for problem in report.problems
        ],
        "key_from": done.key_from,
        "trusted_key": done.trusted_key,
        "kept_from": list(done.kept_from),
    }
