"""`token`, `env`, `exec`: what a stock client needs to work through the gateway."""

from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, hold_option, json_option, pass_invocation, profile_option
from nomoat.cli.problems import tell
from nomoat.client.entrance import Entrance, find_standing
from nomoat.client.environment import MODEL_TOOLS, TOOLS, Settings, hub, hub_through, models_through
from nomoat.client.errors import NotLoggedIn
from nomoat.client.execution import run
from nomoat.client.profiles import Profile
from nomoat.client.tokens import Refresher, write_token
from nomoat.core.errors import NoMoatError

_BY_PROXY = (
    "what {0} would be given is a token that others could use: let it come by way of a proxy, for one program with "
    "'nomoat exec --tool {0} -- COMMAND', or for a terminal with 'nomoat proxy' in another one and "
    "'nomoat env {0} --proxy' here"
)


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
@click.argument("tool", type=click.Choice([*TOOLS, *MODEL_TOOLS]))
@click.option("--proxy", is_flag=True, help="By way of the running 'nomoat proxy': nothing to steal, nothing to renew.")
@profile_option
@json_option
@pass_invocation
def env(invocation: Invocation, tool: str, proxy: bool) -> None:
    """Print the settings that a stock client needs, and write its token.

    For a POSIX shell: eval "$(nomoat env hub)". The token is good for minutes, for whoever has it; with
    --proxy, which needs a running 'nomoat proxy', there is none. 'nomoat exec' does that for one program.
    Clients of models (openai, anthropic) and coding assistants (aider, claude-code, codex) work by way of a proxy
    only: --proxy is needed for them.
    """
    if tool in MODEL_TOOLS and not proxy:
        raise click.UsageError(_BY_PROXY.format(tool))
    with invocation.session() as session:
        if proxy:
            entrance = find_standing(session.profile)
            settings = _through(tool, entrance, session.profile, invocation)
            expires_at = None
        else:
            expires_at = int(write_token(session, invocation.clock).expires_at)
            settings = hub(session.profile, session.identity)
    if invocation.as_json:
        arguments = [settings.program, *settings.arguments] if settings.program else []
        told = {"set": dict(settings.set), "unset": list(settings.unset), "expires_at": expires_at}
        output.document({**told, "command": arguments} if arguments else told)
        return
    output.raw(settings.shell())
    if expires_at is None:
        output.say("# good for as long as that proxy runs; stop what uses it before the proxy")
    else:
        until = output.local_time(expires_at)
        output.say(f"# the token in it is good until {until}; for longer work: nomoat exec -- COMMAND")


@click.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--tool",
    type=click.Choice([*TOOLS, *MODEL_TOOLS]),
    default="hub",
    show_default=True,
    help="The settings to give it.",
)
@click.option("--direct", is_flag=True, help="Without a proxy: the program gets a token that others could use.")
@hold_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@profile_option
@pass_invocation
def execute(invocation: Invocation, tool: str, direct: bool, hold: float, command: tuple[str, ...]) -> int:
    """Run COMMAND with the settings of 'nomoat env', behind a proxy of its own.

    Signals reach the program and its exit code becomes this one. The program never has a token: its proxy
    proves a key for each request, and keeps token and certificate fresh, so work of hours is fine. If the
    session ends meanwhile, or a policy asks for a newer log-in, log in again in another terminal, and it goes on.
    A coding assistant is run as COMMAND itself (--tool codex -- codex …): it is given arguments besides.
    """
    if tool in MODEL_TOOLS and direct:
        raise click.UsageError(_BY_PROXY.format(tool))

    def warn(error: NoMoatError) -> None:
        stale = f"the identity of {command[0]} is not renewed any more or not yet"
        output.say(f"nomoat: {'somebody has to log in' if isinstance(error, NotLoggedIn) else stale}:")
        tell(error, as_json=False, environment=invocation.environment)

    profile = invocation.profile
    if direct:
        with invocation.session() as session, Refresher(session, invocation.clock, warn):
            return _run(command, hub(session.profile, session.identity), invocation)
    # The server is loaded only here: 'nomoat token' must start fast.
    from nomoat.client.proxy.serving import Proxy  # noqa: PLC0415

    with Proxy(profile, invocation.clock, warn, hold=hold) as proxy:
        settings = _through(tool, proxy.entrance, profile, invocation)
        if settings.program and Path(command[0]).name != settings.program:
            raise click.UsageError(
                f"--tool {tool} runs {settings.program} itself, which is given arguments besides; COMMAND is {command[0]}"
            )
        return _run((command[0], *settings.arguments, *command[1:]), settings, invocation)


def _through(tool: str, entrance: Entrance, profile: Profile, invocation: Invocation) -> Settings:
    if tool in MODEL_TOOLS:
        return models_through(tool, entrance, invocation.environment)
    return hub_through(entrance, profile, profile.identity(), invocation.environment)


def _run(command: tuple[str, ...], settings: Settings, invocation: Invocation) -> int:
    try:
        return run(command, settings.applied(invocation.environment))
    except OSError as error:
        output.say(f"nomoat: {command[0]} cannot be run: {error.strerror}")
        # What shells answer: 127 for no such program, 126 for one that cannot be run.
        return 127 if isinstance(error, FileNotFoundError) else 126
