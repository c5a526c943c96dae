"""`audit prove` and `audit receipt`: one record's proof, made for others and verified by others, offline."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from nomoat.audit.receipt import SUFFIX
from nomoat.cli import output, records
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.witnesses import quorum_of, quorum_options
from nomoat.client.verification import VerifiedReceipt, prove_offline, verify_receipt_file
from nomoat.core.errors import Conflict, Unavailable

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("number", type=click.IntRange(0))
@click.option(
    "--output", "-o", "target", type=NEW_FILE, help=f"Where the receipt goes [default: record-NUMBER{SUFFIX}]."
)
@click.option("--own", is_flag=True, help="Prove an access of your own, which needs no right to read the log.")
@click.option("--content", type=NEW_FILE, help="Also disclose what the record says, into this file.")
@click.option(
    "--from",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A copy of the log to prove from, instead of the gateway.",
)
@click.option("--key", metavar="KEY", default="", help="With --from: the log's verifier key, or a file with it.")
@profile_option
@json_option
@pass_invocation
def prove(
    invocation: Invocation,
    number: int,
    target: Path | None,
    own: bool,
    content: Path | None,
    directory: Path | None,
    key: str,
) -> None:
    """Write the receipt of record NUMBER: a proof that it is in the log, for anybody to verify.

    The receipt shows the record's time, action and decision, and pseudonyms for who and what. With
    --content, a second file opens the rest to whoever gets it, and proves it too. A copy of a log holds
    no keys, so it gives receipts without their content. Proving from the gateway is itself recorded.

    With --own, everybody gets the receipt of an access of their own, by the number that the gateway told: in the
    text of a refusal, or in the header NoMoat-Record of an answer. The content stays with the auditors.
    """
    if directory is None and key:
        raise click.UsageError("--key belongs to --from; the gateway's receipts are verified with the pinned key")
    if directory is not None and content is not None:
        raise click.UsageError("a copy of the log has no keys: --content works with the gateway only")
    if own and (directory is not None or content is not None):
        raise click.UsageError("--own asks the gateway for a receipt without its content: neither --from nor --content")
    written = target or Path(f"record-{number}{SUFFIX}")
    opening = b""
    if directory is None:
        with invocation.session() as session:
            if own:
                receipt = session.own_receipt(number)
            else:
                receipt, opening = session.receipt(number, disclose=content is not None)
    else:
        receipt = prove_offline(directory, number, invocation.environment, key=key)
    _write(written, receipt)
    if content is not None:
        _write(content, opening)
    if invocation.as_json:
        output.document(
            {"record": number, "receipt": str(written), "content": str(content) if content is not None else None}
        )
        return
    output.answer(f"wrote the receipt of record {number} to {written}")
    if content is not None:
        output.answer(f"wrote what it says to {content}: whoever has it can read it")
    output.say(f"  next   nomoat audit receipt {written}" + (f" --content {content}" if content is not None else ""))


@click.command()
@click.argument("receipt", type=FILE)
@click.option("--content", type=FILE, help="What the record says, as it was disclosed.")
@click.option("--key", metavar="KEY", default="", help="The log's verifier key, or a file with it.")
@quorum_options
@json_option
@pass_invocation
def receipt(
    invocation: Invocation,
    receipt: Path,
    content: Path | None,
    key: str,
    witnesses: tuple[str, ...],
    quorum: int | None,
) -> None:
    """Verify a RECEIPT offline: that the log has this record, and that it says what CONTENT says.

    Needs the log's public key and nothing else: a profile that logged in to its gateway has it pinned.
    """
    asked = quorum_of(witnesses, quorum)
    done = verify_receipt_file(receipt, invocation.environment, key=key, opening=content, quorum=asked)
    if invocation.as_json:
        output.document(_document(done))
        return
    fields = {name: value for name, value in done.proven.leaf.fields.items() if name not in {"commitment", "sealed"}}
    shown = dict(done.content) | {"n": fields["n"], "at": fields["at"]} if done.content is not None else fields
    output.facts([*records.facts(shown), *_proof(done)])
    said = "and says this" if done.content is not None else "under these pseudonyms"
    output.answer(f"receipt verified: record {done.proven.leaf.number} is in the log {said}")


def _proof(done: VerifiedReceipt) -> list[tuple[str, str]]:
    """The facts of the proof itself."""
    proven = done.proven
    cosigned = [f"{name} at {datetime.fromtimestamp(at, UTC).isoformat()}" for name, at in proven.witnesses]
    return [
        ("log", f"{proven.checkpoint.origin}, {proven.checkpoint.size} records"),
        ("key", done.key_from),
        ("witnesses", ", ".join(cosigned) or "none asked for"),
    ]


def _document(done: VerifiedReceipt) -> dict[str, object]:
    proven = done.proven
    content: Mapping[str, object] | None = done.content
    return {
        "verified": True,
        "record": proven.leaf.number,
        "entry": dict(proven.leaf.fields),
        "content": dict(content) if content is not None else None,
        "origin": proven.checkpoint.origin,
        "size": proven.checkpoint.size,
        "root": proven.checkpoint.head.root.hex(),
        "witnesses": [{"name": name, "at": at} for name, at in proven.witnesses],
        "key_from": done.key_from,
    }


def _write(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read; an existing one is never replaced."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    except FileExistsError:
        raise Conflict(f"{path} exists already; name another file") from None
    except OSError as error:
        raise Unavailable("disk", f"{path} cannot be written ({error.strerror})") from error


COMMANDS = (prove, receipt)
