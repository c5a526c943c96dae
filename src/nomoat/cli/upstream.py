"""`upstream`: what the gateway shows to the servers of models."""

import sys

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.inference import seal_credential
from nomoat.core.errors import Malformed


@click.group()
def upstream() -> None:
    """The servers that answer prompts."""


@upstream.command()
@click.argument("name")
@profile_option
@json_option
@pass_invocation
def credential(invocation: Invocation, name: str) -> None:
    """Give the gateway the credential that it shows to the upstream NAME.

    It is asked for, or read from standard input, and kept sealed: nobody is told it again. It is for the address that is
    declared now; after another one was declared, give it again.
    """
    said = click.prompt(f"credential for {name}", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    given = str(said).strip()
    if not given:
        raise Malformed(
            f"no credential was given for {name}; nothing was changed: nomoat upstream credential {name} < FILE"
        )
    with invocation.session() as session:
        answer = seal_credential(session.gateway, name, given)
    if invocation.as_json:
        output.document(answer)
    else:
        output.answer(f"the gateway has a credential for {name}, shown at {answer.get('url')} alone")
