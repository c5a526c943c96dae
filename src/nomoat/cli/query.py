"""`query`: one SELECT over a view of a dataset."""

from collections.abc import Sequence
from math import isfinite
from typing import cast

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.tables import parse_table, require_pyarrow
from nomoat.core.errors import Malformed
from nomoat.core.names import RepositoryKind, parse_repository_name


@click.command()
@click.argument("dataset")
@click.argument("sql")
@click.option("--view", metavar="NAME", required=True, help="The view; in the SQL it is a table of this name.")
@click.option("--revision", metavar="NAME", default="main", show_default=True, help="A branch, tag or commit.")
@profile_option
@json_option
@pass_invocation
def query(invocation: Invocation, dataset: str, sql: str, view: str, revision: str) -> None:
    """Run SQL, one SELECT, over a view of DATASET.

    It runs in DuckDB at the gateway, in a process that has the view's masked rows and nothing else. What columns
    there are: nomoat query DATASET 'DESCRIBE NAME' --view NAME. Ctrl-C ends the query there, too.
    """
    try:
        name = parse_repository_name(RepositoryKind.DATASET, dataset)
    except Malformed as error:
        raise click.UsageError(error.reason) from None
    require_pyarrow()
    with invocation.session() as session:
        table = parse_table(session.gateway.query(name, view, sql, revision))
    columns: Sequence[str] = table.column_names
    rows: Sequence[Sequence[object]] = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    if invocation.as_json:
        told = [[_plain(value) for value in row] for row in rows]
        output.document({"dataset": str(name), "view": view, "columns": list(columns), "rows": told})
        return
    output.table(columns, [["" if value is None else str(value) for value in row] for row in rows])
    output.say(output.counted(len(rows), "row"))


def _plain(value: object) -> object:
    """A value as JSON has it; a moment, a decimal or bytes as text."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in cast("dict[object, object]", value).items()}
    return value.hex() if isinstance(value, bytes) else str(value)
