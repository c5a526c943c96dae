"""`audit erase`: what the log says of somebody is destroyed; what proves the records stays."""

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option


@click.command()
@click.argument("subject")
@click.option("--yes", is_flag=True, help="Do not ask.")
@profile_option
@json_option
@pass_invocation
def erase(invocation: Invocation, subject: str, yes: bool) -> None:
    """Destroy what every record of SUBJECT (person:NAME, workload:NAME) says, for good.

    Who did what, to what, from where: all of it that the records of SUBJECT hold becomes unreadable. That
    there was a record, when, of which action and how it was decided stays, under a pseudonym, and so does
    every proof. What was kept of their prompts and the answers to them goes with it. What others' records say of SUBJECT stays, what was exported or forwarded cannot be called
    back, and copies of the gateway's database keep the key. The erasure itself is recorded.
    """
    invocation.confirm(f"What the log says of {subject} will be gone for good. Go on?", yes=yes)
    with invocation.session() as session:
        pseudonym, record = session.gateway.erase(subject)
    if invocation.as_json:
        output.document({"subject": subject, "pseudonym": pseudonym, "record": record})
        return
    output.answer(f"erased the content of {subject}, whom the log still knows as {pseudonym}; record {record} says so")
    output.say("  next   destroy, or let expire, the copies of the gateway's database that are older than this")
