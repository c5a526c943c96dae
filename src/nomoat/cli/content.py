"""`content`: what prompts are looked through for beside what the gateway knows: registered values, canaries."""

from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.metrics import rows
from nomoat.client.registrations import list_registrations, plant_canary, register_values, remove_registration
from nomoat.core.errors import Malformed


@click.group()
def content() -> None:
    """What prompts are looked through for, beside secrets and personal data."""


@content.command()
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--label", metavar="LABEL", required=True, help="What a prompt is labelled with that has one of them.")
@click.option("--classification", metavar="LEVEL", required=True, help="How confidential such a prompt is.")
@profile_option
@json_option
@pass_invocation
def add(invocation: Invocation, name: str, file: Path, label: str, classification: str) -> None:
    """Register the values in FILE, one a line, as NAME; those that NAME had before are replaced.

    Customer numbers, names of projects: they are found whole, in any case and with any spaces and punctuation between
    their words. The gateway keeps no value, only what one is recognised by.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise Malformed(f"{file} is not UTF-8") from None
    values = [line.strip() for line in lines if line.strip()]
    with invocation.session() as session:
        count = register_values(session.gateway, name, values, label, classification)
    if invocation.as_json:
        output.document({"name": name, "values": count})
    else:
        output.answer(f"prompts are looked through for the {output.counted(count, 'value')} of {name}")


@content.command()
@click.argument("name")
@profile_option
@json_option
@pass_invocation
def canary(invocation: Invocation, name: str) -> None:
    """Make a canary: a word to put where nobody should read, by which a prompt is known that has it.

    It is printed once. Remember by NAME where you put it: that is what the record of such a prompt says.
    """
    with invocation.session() as session:
        made = plant_canary(session.gateway, name)
    if invocation.as_json:
        output.document({"name": name, "canary": made})
    else:
        output.answer(made)


@content.command(name="list")
@profile_option
@json_option
@pass_invocation
def listing(invocation: Invocation) -> None:
    """List what is registered; values are not told."""
    with invocation.session() as session:
        answer = list_registrations(session.gateway)
    if invocation.as_json:
        output.document(answer)
        return
    columns = ["name", "kind", "values", "classification", "label", "by"]
    told = [[str(row.get(column, "")) for column in columns] for row in rows(answer, "registrations")]
    output.table(columns, told, right=["values"])


@content.command()
@click.argument("name")
@profile_option
@json_option
@pass_invocation
def remove(invocation: Invocation, name: str) -> None:
    """Look for what is registered as NAME no more."""
    with invocation.session() as session:
        answer = remove_registration(session.gateway, name)
    if invocation.as_json:
        output.document(answer)
    else:
        output.answer(f"prompts are looked through for {name} no more")
