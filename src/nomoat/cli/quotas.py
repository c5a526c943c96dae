"""`quotas`: how much may still be asked of models."""

from collections.abc import Mapping, Sequence

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.answers import rows_of
from nomoat.client.inference import read_quotas
from nomoat.client.metrics import number


@click.command()
@click.option("--all", "everybody", is_flag=True, help="Those of everybody, for administrators.")
@profile_option
@json_option
@pass_invocation
def quotas(invocation: Invocation, everybody: bool) -> None:
    """List the quotas that count your requests to models, and what is left of them.

    Of a quota that is shared, what is left is left to all whom it is for together.
    """
    with invocation.session() as session:
        answer = read_quotas(session.gateway, everybody=everybody)
    if invocation.as_json:
        output.document(answer)
        return
    found = rows_of(answer, "quotas")
    if not found:
        output.say("no quota counts your requests" if not everybody else "no quota counts anything yet")
        return
    output.table(["quota", "for", "models", "limit", "left"], [*map(_row, found)], right=["limit", "left"])


def _row(each: Mapping[str, object]) -> Sequence[str]:
    shared = "" if not each.get("shared") or ":" not in str(each.get("for")) else " (shared)"
    return (
        str(each.get("quota", "")),
        f"{each.get('for', '')}{shared}",
        str(each.get("endpoint", "")) or "all",
        f"{_written(number(each, 'limit'))} {each.get('measure', '')} a {each.get('period', '')}",
        _written(number(each, "left")),
    )


def _written(amount: float) -> str:
    """A number without an exponent: requests and tokens are whole, costs have six decimals at most."""
    return f"{amount:,.6f}".rstrip("0").rstrip(".")
