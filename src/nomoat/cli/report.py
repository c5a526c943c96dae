"""`audit report`: how many accesses, by whom, of what, when; and how a count says what is not in it."""

from collections.abc import Mapping
from datetime import datetime

import click

from nomoat.audit.aggregates import GROUPINGS, MEASURES
from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.gateway import Aggregate

BY = f"What to count by, with commas between: {', '.join(GROUPINGS)}."
wait_option = click.option(
    "--wait", is_flag=True, help="Wait until every record of now can be counted, for ten minutes at most."
)


def coverage(found: Aggregate) -> Mapping[str, object]:
    """Say in fields which records a count is of."""
    return {
        "counted": found.counted,
        "size": found.size,
        "complete": found.counted >= found.size,
        "missing_since": found.missing_since or None,
    }


def say_coverage(found: Aggregate, rows: str) -> None:
    """Say which records a count is of, and plainly where some are missing."""
    if found.counted >= found.size:
        output.say(f"{rows}, in the first {found.counted} records")
        return
    since = output.local_time(datetime.fromisoformat(found.missing_since).timestamp()) if found.missing_since else ""
    output.say(f"{rows}, counted up to record {found.counted - 1} of {found.size} records")
    output.say(
        f"INCOMPLETE: the last {found.size - found.counted} records, since {since}, are not in it yet; "
        "to wait for them, add --wait"
    )


@click.command()
@click.argument("query", default="")
@click.option("--by", metavar="NAMES", default="what,decision", show_default=True, help=BY)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most this many rows.")
@wait_option
@profile_option
@json_option
@pass_invocation
def report(invocation: Invocation, query: str, by: str, limit: int, wait: bool) -> None:
    """Count the accesses that match QUERY, the largest groups first.

    QUERY has the words of nomoat audit search. The newest record is counted, too, unless the log grows faster
    than it can be counted: then the last line says which records are not in it yet. Counting is itself recorded.
    """
    with invocation.session() as session:
        found = session.gateway.report(by, query, limit=limit, wait=wait)
    if invocation.as_json:
        rows = [dict(row) for row in found.rows]
        output.document({"rows": rows, "groups": found.groups, **coverage(found)})
        return
    names = [name.strip() for name in by.split(",") if name.strip()]
    columns = [*names, *MEASURES]
    cells = [[str(row.get(name, "")) for name in columns] for row in found.rows]
    output.table(columns, cells, right=["accesses", "refused", "bytes"])
    say_coverage(found, f"{len(cells)} of {found.groups} groups")
