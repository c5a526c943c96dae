"""`proxy`: a companion that gives stock clients on this machine a credential that cannot be stolen from them."""

import signal
import threading
from contextlib import nullcontext
from types import FrameType

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, hold_option, json_option, pass_invocation, profile_option
from nomoat.cli.problems import tell
from nomoat.client.entrance import STANDING, standing_alone
from nomoat.client.errors import NotLoggedIn
from nomoat.client.proxy.serving import Proxy
from nomoat.core.errors import NoMoatError


@click.command()
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    default="127.0.0.1:0",
    show_default=True,
    help="A loopback address (0: any port).",
)
@click.option("--socket", "path", metavar="PATH", help="A unix socket instead, which only you can use.")
@hold_option
@click.option("--certificate", is_flag=True, help="Lend the certificate of the connection instead of DPoP proofs.")
@profile_option
@json_option
@pass_invocation
def proxy(invocation: Invocation, listen: str, path: str | None, hold: float, certificate: bool) -> None:
    """Run a proxy on this machine that makes this profile's requests for stock clients.

    What clients get is the key of this proxy, which means nothing anywhere else. The proxy sends a token
    that is bound to a key in its memory, with a fresh proof for each request, and keeps the token and the
    certificate fresh until it is stopped. Clients: eval "$(nomoat env hub --proxy)".
    A request that needs you to log in again waits for that, and goes on by itself.
    """
    where = listen
    if path is not None:
        where = path if "/" in path else f"./{path}"

    def told(error: NoMoatError) -> None:
        what = "somebody has to log in" if isinstance(error, NotLoggedIn) else "the proxy cannot make requests now"
        output.say(f"nomoat: {what}:")
        tell(error, as_json=False, environment=invocation.environment)

    over = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        over.set()

    folder = "" if path is not None else STANDING
    with (
        standing_alone(invocation.profile) if folder else nullcontext(),
        Proxy(
            invocation.profile,
            invocation.clock,
            told,
            listen=where,
            folder=folder,
            by_certificate=certificate,
            hold=hold,
        ) as runs,
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        if invocation.as_json:
            key = "" if path is not None else str(runs.entrance.token_path)
            output.document({"url": runs.url, "key_file": key, "socket": path or ""}, indent=None)
        else:
            output.answer(
                f"proxy of the profile {invocation.profile.name!r} at {path or runs.url}; stop it with Ctrl-C"
            )
            if path is None:
                output.say('  next   in another terminal: eval "$(nomoat env hub --proxy)"')
        over.wait()
