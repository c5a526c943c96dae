"""The options that say whose cosignatures count, and how many there have to be."""

from collections.abc import Sequence

import click

from nomoat.audit.checkpoint import WITNESS_KEY, parse_verifier_key
from nomoat.audit.quorum import Quorum
from nomoat.cli.invocation import FunctionT
from nomoat.client.verification import read_key, read_quorum
from nomoat.core.errors import Malformed


def require_witness_keys(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what is no witness's verifier key, nor a file with one, as a wrong argument that is named."""
    for key in given:
        try:
            parse_verifier_key(read_key(key), WITNESS_KEY)
        except Malformed as error:
            raise click.BadParameter(error.reason, context, parameter) from None
    return given


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
        callback=require_witness_keys,
        help="A witness's verifier key, or a file with it; repeat for several.",
    )
    return keys(needed(function))


def quorum_of(witnesses: Sequence[str], needed: int | None) -> Quorum:
    """Return what the options say; raise `click.UsageError` for what is no quorum."""
    try:
        return read_quorum(witnesses, needed)
    except Malformed as error:
        raise click.UsageError(error.reason) from None
