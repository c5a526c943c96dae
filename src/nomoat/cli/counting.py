"""`audit who` and `audit touched`: who had to do with something, and what somebody had to do with, at a glance."""

from datetime import datetime

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.report import coverage, say_coverage, wait_option

MOST = 1000
LIMIT = click.IntRange(1, MOST)


@click.command()
@click.argument("query")
@click.option("--limit", type=LIMIT, default=50, show_default=True, help="At most this many.")
@wait_option
@profile_option
@json_option
@pass_invocation
def who(invocation: Invocation, query: str, limit: int, wait: bool) -> None:
    """Print who is in the records that match QUERY, for example 'on acme/digits since 30d'.

    One line for each person or workload: how often allowed and refused, first and last. What QUERY may
    say: nomoat audit search --help. Counts are orientation: for evidence, search and prove the records.
    """
    _count(invocation, query, "who", "who", limit, wait=wait)


@click.command()
@click.argument("query")
@click.option("--limit", type=LIMIT, default=50, show_default=True, help="At most this many.")
@wait_option
@profile_option
@json_option
@pass_invocation
def touched(invocation: Invocation, query: str, limit: int, wait: bool) -> None:
    """Print what the records that match QUERY are on, for example 'by ann@acme.example allowed'.

    One line for each thing, in all its versions: how often allowed and refused, the first use and the
    last. Counts are orientation: for evidence, search and prove the records.
    """
    _count(invocation, query, "thing", "on", limit, wait=wait)


def _count(invocation: Invocation, query: str, by: str, shown: str, limit: int, *, wait: bool) -> None:
    with invocation.session() as session:
        found = session.gateway.report(by, query, limit=limit, wait=wait)
    if invocation.as_json:
        groups = [
            {
                shown: row.get(by),
                "allowed": row.get("allowed"),
                "refused": row.get("refused"),
                "records": row.get("accesses"),
                "first": {"record": row.get("first_record"), "at": row.get("first")},
                "last": {"record": row.get("last_record"), "at": row.get("last")},
            }
            for row in found.rows
        ]
        output.document({"groups": groups, "total": found.groups, **coverage(found)})
        return
    rows = [
        (
            str(row.get(by) or "nothing, or erased"),
            str(row.get("allowed")),
            str(row.get("refused")),
            f"{_local(row.get('first'))} ({row.get('first_record')})",
            f"{_local(row.get('last'))} ({row.get('last_record')})",
        )
        for row in found.rows
    ]
    output.table((shown, "allowed", "refused", "first (record)", "last (record)"), rows, right=["allowed", "refused"])
    say_coverage(found, f"{len(rows)} of {found.groups}")


def _local(at: object) -> str:
    return output.local_time(datetime.fromisoformat(str(at)).timestamp())


COMMANDS = (who, touched)
