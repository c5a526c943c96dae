"""The options that say whose cosignatures count, and how many there have to be."""

from collections.abc import Sequence

import click

from nomoat.audit.quorum import Quorum
from nomoat.cli.invocation import FunctionT
from nomoat.client.verification import read_quorum
from nomoat.core.errors import Malformed


def quorum_options(function: FunctionT) -> FunctionT:
    """Add `--witness-key KEY` and `--quorum NUMBER`."""
    needed = click.option(
        "--quorum",
        metavar="NUMBER",
        type=click.IntRange(1),
        default=None,
        help="How many of the witnesses must have cosigned [default: all given].",
    )
    keys = click.option(
        "--witness-key",
        "witnesses",
        metavar="KEY",
        multiple=True,
        help="A witness's verifier key, or a file with it; repeat for several.",
    )
    return keys(needed(function))


def quorum_of(witnesses: Sequence[str], needed: int | None) -> Quorum:
    """Return what the options say; raise `click.UsageError` for what is no quorum."""
    try:
        return read_quorum(witnesses, needed)
    except Malformed as error:
        raise click.UsageError(error.reason) from None
