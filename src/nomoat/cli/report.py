"""`audit report`: how many accesses, by whom, of what, when."""

import click

from nomoat.audit.aggregates import GROUPINGS, MEASURES
from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option

BY = f"What to count by, with commas between: {', '.join(GROUPINGS)}."


@click.command()
@click.argument("query", default="")
@click.option("--by", metavar="NAMES", default="what,decision", show_default=True, help=BY)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most this many rows.")
@profile_option
@json_option
@pass_invocation
def report(invocation: Invocation, query: str, by: str, limit: int) -> None:
    """Count the accesses that match QUERY, the largest groups first.

    QUERY has the words of nomoat audit search. The newest record is counted, too; counting is itself
    recorded.
    """
    with invocation.session() as session:
        found = session.gateway.report(by, query, limit=limit)
    if invocation.as_json:
        rows = [dict(row) for row in found.rows]
        output.document({"rows": rows, "groups": found.groups, "counted": found.counted})
        return
    names = [name.strip() for name in by.split(",") if name.strip()]
    columns = [*names, *MEASURES]
    cells = [[str(row.get(name, "")) for name in columns] for row in found.rows]
    output.table(columns, cells, right=["accesses", "refused", "bytes"])
    output.say(f"{len(cells)} of {found.groups} groups, in the first {found.counted} records")
