"""`audit who` and `audit touched`: who had to do with something, and what somebody had to do with, at a glance."""

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option

MOST = 1000
LIMIT = click.IntRange(1, MOST)


@click.command()
@click.argument("query")
@click.option("--limit", type=LIMIT, default=50, show_default=True, help="At most this many.")
@profile_option
@json_option
@pass_invocation
def who(invocation: Invocation, query: str, limit: int) -> None:
    """Print who is in the records that match QUERY, for example 'on acme/digits since 30d'.

    One line for each person or workload: how often allowed and refused, first and last. What QUERY may
    say: nomoat audit search --help. Counted by the index: for evidence, search and prove the records.
    """
    _summarize(invocation, query, "who", limit)


@click.command()
@click.argument("query")
@click.option("--limit", type=LIMIT, default=50, show_default=True, help="At most this many.")
@profile_option
@json_option
@pass_invocation
def touched(invocation: Invocation, query: str, limit: int) -> None:
    """Print what the records that match QUERY are on, for example 'by ann@acme.example allowed'.

    One line for each thing, in all its versions: how often allowed and refused, the first use and the
    last. Counted by the index: for evidence, search and prove the records.
    """
    _summarize(invocation, query, "on", limit)


def _summarize(invocation: Invocation, query: str, by: str, limit: int) -> None:
    with invocation.session() as session:
        found = session.gateway.summary(query, by, limit=limit)
    if invocation.as_json:
        groups = [
            {
                by: group.name,
                "allowed": group.allowed,
                "refused": group.refused,
                "records": group.count,
                "first": {"record": group.first[0], "at": group.first[1]},
                "last": {"record": group.last[0], "at": group.last[1]},
            }
            for group in found.groups
        ]
        output.document({"groups": groups, "total": found.total, "counted": found.counted, "size": found.size})
        return
    rows = [
        (
            group.name or "erased",
            str(group.allowed),
            str(group.refused),
            f"{output.local_time(group.first[1])} ({group.first[0]})",
            f"{output.local_time(group.last[1])} ({group.last[0]})",
        )
        for group in found.groups
    ]
    output.table((by, "allowed", "refused", "first (record)", "last (record)"), rows, right=["allowed", "refused"])
    output.say(f"{len(rows)} of {found.total}, in the first {found.counted} of {found.size} records")


COMMANDS = (who, touched)
