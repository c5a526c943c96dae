"""`metrics`, `metric`, `reopen-budget`: what a dataset tells with noise, and what is left of its privacy budget."""

from collections.abc import Mapping, Sequence

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.metrics import Left, list_metrics, number, read_metric, rows
from nomoat.client.metrics import reopen_budget as reopen
from nomoat.core.errors import Malformed
from nomoat.core.names import RepositoryKind, RepositoryName, parse_repository_name


@click.command()
@click.argument("dataset")
@profile_option
@json_option
@pass_invocation
def metrics(invocation: Invocation, dataset: str) -> None:
    """List what may be asked of DATASET, and what is left of its privacy budget.

    Each metric costs its epsilon once for a version. What is left is the smaller of what everybody together
    and you yourself may still have told.
    """
    name = _dataset(dataset)
    with invocation.session() as session:
        answer, left = list_metrics(session.gateway, name)
    if invocation.as_json:
        output.document({"dataset": str(name), **answer})
        return
    found = rows(answer, "metrics")
    output.table(
        ["metric", "kind", "of", "by", "minimum", "epsilon"], [*map(_row, found)], right=["minimum", "epsilon"]
    )
    output.say(f"{_said(left)} of {number(answer, 'budget'):g}")


@click.command()
@click.argument("dataset")
@click.argument("name")
@click.option("--revision", metavar="NAME", default="main", show_default=True, help="A branch, tag or commit.")
@profile_option
@json_option
@pass_invocation
def metric(invocation: Invocation, dataset: str, name: str, revision: str) -> None:
    """Have the metric NAME of DATASET told, with noise.

    The first answer about a version is charged to the dataset's budget, and stays the same from then on: to ask
    again costs nothing. Groups that are too small, as counted with noise, are withheld.
    """
    of = _dataset(dataset)
    with invocation.session() as session:
        answer, left = read_metric(session.gateway, of, name, revision)
    if invocation.as_json:
        output.document({"dataset": str(of), **answer})
        return
    told = [_told(row) for row in rows(answer, "groups")]
    output.table(["group", str(answer.get("kind", "value")), "within", "count"], told, right=["within", "count"])
    charged = number(answer, "charged")
    cost = f"cost epsilon {charged:g}" if charged else "told before: cost nothing"
    output.say(f"{cost}; {_said(left)}; 95 of 100 values are as near as 'within' says")


@click.command()
@click.argument("dataset")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever asks later.")
@profile_option
@json_option
@pass_invocation
def reopen_budget(invocation: Invocation, dataset: str, reason: str) -> None:
    """Open the privacy budget of DATASET again, which a restore closed.

    What was told after the backup is forgotten, and so is what it cost. Look at an exported copy of the log for
    ReadMetric first, and declare a smaller budget where something was told.
    """
    name = _dataset(dataset)
    with invocation.session() as session:
        answer, left = reopen(session.gateway, name, reason)
    if invocation.as_json:
        output.document({"dataset": str(name), **answer})
    else:
        output.answer(f"opened the privacy budget of {name}: {_said(left)}")


def _row(metric: Mapping[str, object]) -> Sequence[str]:
    return (
        str(metric.get("name", "")),
        str(metric.get("kind", "")),
        str(metric.get("column", "rows")),
        str(metric.get("group", "")),
        f"{number(metric, 'minimum'):g}",
        f"{number(metric, 'epsilon'):g}",
    )


def _told(cell: Mapping[str, object]) -> Sequence[str]:
    group = str(cell.get("group", "")) or "all"
    if "low" in cell:
        bin_ = f"{number(cell, 'low'):g} to {number(cell, 'high'):g}"
        group = bin_ if group == "all" else f"{group}, {bin_}"
    if cell.get("withheld"):
        return (group, "withheld", "", "")
    return (group, f"{number(cell, 'value'):.6g}", f"{number(cell, 'accuracy'):.3g}", f"{number(cell, 'count'):g}")


def _said(left: Left) -> str:
    if left.closed:
        return f"the budget is closed ({left.closed})"
    return f"left: {min(left.dataset, left.person):g}"


def _dataset(text: str) -> RepositoryName:
    """Parse a dataset's name; what is none is wrong usage."""
    try:
        return parse_repository_name(RepositoryKind.DATASET, text)
    except Malformed as error:
        raise click.UsageError(error.reason) from None
