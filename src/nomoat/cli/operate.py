"""`init`, `serve` and `recover`: making a trust domain, running its gateway, and the way back into it."""

import getpass
import ipaddress
import sys
from pathlib import Path

import click
import uvloop

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation
from nomoat.cli.witnesses import require_witness_keys
from nomoat.client.profiles import home
from nomoat.client.verification import read_key
from nomoat.core.errors import Malformed
from nomoat.core.names import parse_trust_domain
from nomoat.identity.tokens import TOKEN_LIFE
from nomoat.server.configuration import (
    FILE,
    SHORTEST_TOKEN_LIFE,
    Configuration,
    WitnessAddress,
    parse_listen,
    require_policy,
)
from nomoat.server.initialize import Initialized, initialize
from nomoat.server.logs import tell_operator
from nomoat.server.recover import recover as recover_person
from nomoat.server.serve import serve as serve_directory
from nomoat.server.supervision import Supervisor

DATA = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("directory", type=DATA)
@click.option("--trust-domain", default="nomoat.internal", show_default=True, help="The name of what you protect.")
@click.option("--admin", metavar="NAME", default="", help="The first administrator [default: your user name].")
@click.option("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:8443", show_default=True, help="Where to serve.")
@click.option("--host", "hosts", metavar="NAME", multiple=True, help="A name or address by which clients reach it.")
@click.option(
    "--kek",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the key-encryption key goes, outside DIRECTORY [default: keys/TRUST_DOMAIN.kek in the configuration].",
)
@click.option(
    "--witness",
    "witnesses",
    metavar="URL",
    multiple=True,
    help="A witness that co-signs the log's checkpoints; repeat for several.",
)
@click.option(
    "--witness-key",
    "witness_keys",
    metavar="KEY",
    multiple=True,
    callback=require_witness_keys,
    help="The witness's verifier key, or a file with it; one for each --witness, in their order.",
)
@click.option(
    "--witness-quorum",
    metavar="NUMBER",
    type=click.IntRange(1),
    default=None,
    help="How many witnesses have to co-sign [default: all].",
)
@click.option(
    "--token-life",
    metavar="SECONDS",
    type=click.IntRange(SHORTEST_TOKEN_LIFE, TOKEN_LIFE),
    default=TOKEN_LIFE,
    show_default=True,
    help="How long access tokens live.",
)
@json_option
@pass_invocation
def init(
    invocation: Invocation,
    directory: Path,
    trust_domain: str,
    admin: str,
    listen: str,
    hosts: tuple[str, ...],
    kek: Path | None,
    witnesses: tuple[str, ...],
    witness_keys: tuple[str, ...],
    witness_quorum: int | None,
    token_life: int,
) -> None:
    """Make a trust domain: its keys, its empty state and log, and one code for the first administrator.

    The key-encryption key lies outside DIRECTORY. Who has both can read everything; who has only one
    of them, nothing. Back them up apart.
    """
    address, port = parse_listen(listen)
    configuration = Configuration(
        trust_domain=parse_trust_domain(trust_domain),
        host=address,
        port=port,
        hosts=hosts or _default_hosts(address),
        kek=(kek or home(invocation.environment) / "keys" / f"{trust_domain}.kek").absolute(),
        witnesses=_addresses(witnesses, witness_keys),
        witness_quorum=witness_quorum or 0,
        token_lifetime_s=token_life,
    )
    try:
        require_policy(configuration)  # before anything is made
    except Malformed as error:
        raise click.UsageError(error.reason.removeprefix(f"{FILE}: ")) from None
    administrator = admin or getpass.getuser()
    made = uvloop.run(initialize(directory.absolute(), configuration, administrator, invocation.clock))
    _report(invocation, directory.absolute(), configuration, administrator, made)


def _addresses(urls: tuple[str, ...], keys: tuple[str, ...]) -> tuple[WitnessAddress, ...]:
    """Pair the witnesses with their keys."""
    if len(urls) != len(keys):
        raise click.UsageError("each --witness has a --witness-key, in the same order")
    return tuple(WitnessAddress(url, read_key(key).strip()) for url, key in zip(urls, keys, strict=True))


@click.command()
@click.argument("directory", type=DATA)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to tell the operator of troubles, on standard error.",
)
@json_option
@pass_invocation
def serve(invocation: Invocation, directory: Path, log_format: str) -> None:
    """Run the gateway of a data directory until it is interrupted.

    Then what is being served has ten seconds to end, the rest is cut and recorded, and the log is closed.
    Tells systemd when it is ready (Type=notify) and that it is alive (WatchdogSec).
    """

    def ready(url: str) -> None:
        if invocation.as_json:
            output.document({"url": url}, indent=None)
        else:
            output.answer(f"serving {url}")
            output.say("  ends with an interrupt (ctrl-c)")

    tell_operator(sys.stderr, as_json=log_format == "json")
    supervisor = Supervisor(invocation.environment)
    uvloop.run(serve_directory(directory.absolute(), invocation.clock, ready, supervisor))


@click.command()
@click.argument("directory", type=DATA)
@click.argument("name")
@click.option(
    "--older-state",
    is_flag=True,
    help="Accept a state.db that is older than its log says: the newest one is lost. Ends everybody's sessions, "
    "devices and codes, and removes the contents that only the lost one knew.",
)
@json_option
@pass_invocation
def recover(invocation: Invocation, directory: Path, name: str, older_state: bool) -> None:
    """Print a one-time code for the person NAME when no administrator can log in any more.

    For the operator: works only while no gateway runs, and only with the key-encryption key. It is
    recorded before the code is printed.
    """
    directory = directory.absolute()
    done = uvloop.run(recover_person(directory, name, invocation.clock, older_state=older_state))
    url = _url(done.configuration)
    if invocation.as_json:
        output.document(
            {
                "subject": f"person:{name}",
                "code": done.code,
                "expires_in": done.life,
                "record": done.record,
                "url": url or None,
            }
        )
        return
    output.answer(done.code)
    output.say(f"one use, within {done.life // 60} minutes, by person:{name}; record {done.record} says so")
    output.say(f"  next   nomoat serve {directory}")
    output.say(f"         nomoat login {url or 'URL'} --code CODE --replace")


def _report(
    invocation: Invocation, directory: Path, configuration: Configuration, administrator: str, made: Initialized
) -> None:
    """Print what was made, and what to do with it."""
    url = _url(configuration)
    if invocation.as_json:
        output.document(
            {
                "directory": str(directory),
                "trust_domain": configuration.trust_domain,
                "kek": str(configuration.kek),
                "administrator": f"person:{administrator}",
                "code": made.code,
                "url": url or None,
                "log_key": made.log_key,
            }
        )
        return
    output.answer(f"made the trust domain spiffe://{configuration.trust_domain} in {directory}")
    output.facts(
        [
            ("  key-encryption key", str(configuration.kek)),
            ("  log's verifier key", made.log_key),
            (f"  code for {administrator}", f"{made.code}   (one use, within 10 minutes)"),
        ]
    )
    output.say(f"  next   nomoat serve {directory}")
    output.say(f"         nomoat login {url or 'URL'} --code CODE")
    output.say(f"  late   nomoat recover {directory} {administrator}   (a new code, while no gateway runs)")


def _url(configuration: Configuration) -> str:
    """Return where clients reach the gateway; '' with port 0, which lets the system choose: `serve` says which."""
    name = configuration.hosts[0]
    return f"https://{f'[{name}]' if ':' in name else name}:{configuration.port}" if configuration.port else ""


def _default_hosts(address: str) -> tuple[str, ...]:
    """Return the names in the server's certificate that follow from where it listens."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified:
        raise click.UsageError(f"clients cannot reach a gateway at {address}: say its name with --host NAME")
    return (address, "localhost") if parsed.is_loopback else (address,)
