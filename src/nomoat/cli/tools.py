"""`token`, `env`, `exec`: what a stock client needs to work through the gateway."""

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.problems import tell
from nomoat.client.environment import TOOLS
from nomoat.client.execution import run
from nomoat.client.tokens import Refresher, write_token
from nomoat.core.errors import NoMoatError


@click.command()
@click.option("--bound", is_flag=True, help="Bind it to this profile's certificate: useless without its key.")
@profile_option
@json_option
@pass_invocation
def token(invocation: Invocation, bound: bool) -> None:
    """Print a short-lived access token.

    Whoever holds an unbound token can use it until it expires or is revoked. A bound one works only
    over mutual TLS with this profile's certificate.
    """
    with invocation.session() as session:
        issued = session.token(bound=bound)
    if invocation.as_json:
        answer = {"access_token": issued.access_token, "token_type": "Bearer", "expires_in": issued.expires_in}
        output.document(answer)
    else:
        output.answer(issued.access_token)


@click.command()
@click.argument("tool", type=click.Choice(sorted(TOOLS)))
@profile_option
@json_option
@pass_invocation
def env(invocation: Invocation, tool: str) -> None:
    """Print the settings that a stock client needs, and write its token.

    For a POSIX shell: eval "$(nomoat env hub)". The token is good for minutes; 'nomoat exec' keeps
    it fresh for as long as a program runs.
    """
    with invocation.session() as session:
        written = write_token(session, invocation.clock)
        settings = TOOLS[tool](session.profile, session.identity)
    if invocation.as_json:
        output.document(
            {"set": dict(settings.set), "unset": list(settings.unset), "expires_at": int(written.expires_at)}
        )
        return
    output.raw(settings.shell())
    until = output.local_time(written.expires_at)
    output.say(f"# the token in it is good until {until}; for longer work: nomoat exec -- COMMAND")


@click.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--tool", type=click.Choice(sorted(TOOLS)), default="hub", show_default=True, help="The settings to give it."
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@profile_option
@pass_invocation
def execute(invocation: Invocation, tool: str, command: tuple[str, ...]) -> int:
    """Run COMMAND with the settings of 'nomoat env', and keep its token fresh.

    Signals reach the program and its exit code becomes this one. The token, and the certificate that
    it is obtained with, are renewed when half of their life is over, so work of hours is fine.
    """
    with invocation.session() as session:
        settings = TOOLS[tool](session.profile, session.identity)

        def warn(error: NoMoatError) -> None:
            output.say(f"nomoat: the token of {command[0]} is not renewed any more or not yet:")
            tell(error, as_json=False, environment=invocation.environment)

        with Refresher(session, invocation.clock, warn):
            try:
                return run(command, settings.applied(invocation.environment))
            except OSError as error:
                output.say(f"nomoat: {command[0]} cannot be run: {error.strerror}")
                # What shells answer: 127 for no such program, 126 for one that cannot be run.
                return 127 if isinstance(error, FileNotFoundError) else 126
