"""`witness`: a process that co-signs a log's checkpoints, so that no log can be rolled back unseen."""

import socket
from pathlib import Path

import click
import uvloop

from nomoat.audit.checkpoint import parse_verifier_key
from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation
from nomoat.client.verification import read_key
from nomoat.server.configuration import parse_listen
from nomoat.server.witnessing import create_witness, serve_witness

DATA = click.Path(file_okay=False, path_type=Path)


@click.group()
def witness() -> None:
    """Co-sign a log's checkpoints, under another user and key than the gateway."""


@witness.command()
@click.argument("directory", type=DATA)
@click.option("--name", default="", help="What the witness is called [default: this machine's name and /witness].")
@json_option
@pass_invocation
def init(invocation: Invocation, directory: Path, name: str) -> None:
    """Make a witness: its key and its empty state.

    Do it as another user than the gateway's, best on another machine: whoever holds both can roll a
    log back and have it signed.
    """
    key = create_witness(directory.absolute(), name or f"{socket.gethostname()}/witness")
    if invocation.as_json:
        output.document({"directory": str(directory.absolute()), "witness_key": str(key)})
        return
    output.answer(f"made the witness {key.name} in {directory}")
    output.answer(f"  verifier key   {key}")
    output.say(f"  next   nomoat witness serve {directory} --log KEY, with the log's verifier key")


@witness.command()
@click.argument("directory", type=DATA)
@click.option(
    "--log", "logs", metavar="KEY", multiple=True, required=True, help="A log's verifier key, or a file; repeatable."
)
@click.option("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:8444", show_default=True, help="Where to serve.")
@json_option
@pass_invocation
def serve(invocation: Invocation, directory: Path, logs: tuple[str, ...], listen: str) -> None:
    """Co-sign the checkpoints of logs until interrupted.

    Each one must extend the last one that was co-signed. What it signed survives restarts; without
    its state it does not start.
    """
    keys = [parse_verifier_key(read_key(log)) for log in logs]

    def ready(url: str) -> None:
        if invocation.as_json:
            output.document({"url": url}, indent=None)
        else:
            output.answer(f"witnessing {', '.join(key.name for key in keys)} at {url}")
            output.say("  ends with an interrupt (ctrl-c)")

    uvloop.run(serve_witness(directory.absolute(), keys, parse_listen(listen), invocation.clock, ready))
