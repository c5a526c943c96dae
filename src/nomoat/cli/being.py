"""`enroll`, `login`, `whoami`, `revoke`: becoming someone, being someone, and ending that."""

import getpass
import sys
from typing import cast

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.login import log_in, log_in_again
from nomoat.client.profiles import is_profile_name
from nomoat.client.transport import parse_url
from nomoat.core.errors import Malformed
from nomoat.core.names import parse_subject_name

KINDS = ("person", "workload", "device", "session")


@click.command()
@click.argument("name")
@click.option("--workload", is_flag=True, help="The code is for a workload, which joins with it, not for a person.")
@profile_option
@json_option
@pass_invocation
def enroll(invocation: Invocation, name: str, workload: bool) -> None:
    """Print a one-time code for a declared person or workload.

    Hand it over by a channel that you trust: whoever uses it first becomes NAME. A second use is
    refused and ends what the first one made.
    """
    kind = "workload" if workload else "person"
    subject = f"{kind}:{parse_subject_name(name)}"
    with invocation.session() as session:
        code, life = session.gateway.enroll(subject)
        url = session.identity.url
    if invocation.as_json:
        output.document({"subject": subject, "code": code, "expires_in": life, "url": url})
        return
    output.answer(code)
    output.say(f"one use, within {life // 60} minutes, by {subject}")
    # Who enrolls somebody often logs them in on the same machine, where the default profile is their own.
    short = name.partition("@")[0]
    own = f" --profile {short}" if is_profile_name(short) else ""
    output.say(f"  next   nomoat login {url} --code CODE{own}")
    if own:
        output.say("         (on a machine where nobody else is logged in, --profile can be left out)")


@click.command()
@click.argument("url", required=False)
@click.option("--code", metavar="CODE", help="The one-time code; '-' reads it from standard input.")
@click.option("--replace", is_flag=True, help="Replace the log-in that the profile holds, with its key.")
@profile_option
@json_option
@pass_invocation
def login(invocation: Invocation, url: str | None, code: str | None, replace: bool) -> None:
    """Turn a one-time code into a profile, or start a new session.

    With URL and a code, makes a key that never leaves this machine and a profile with it. The code
    names the gateway's certificate authority, so nobody in between can take its place. Without URL,
    a person's registered device starts a new session after the last one ended.
    """
    profile = invocation.profile
    if url is None:
        if code is not None:
            raise click.UsageError("a code goes with the gateway's address: nomoat login URL --code CODE")
        done = log_in_again(profile, invocation.clock)
    else:
        done = log_in(profile, _require_url(url), _read_code(code), replace=replace)
    identity = done.identity
    if invocation.as_json:
        output.document(
            {
                "profile": profile.name,
                "subject": identity.subject,
                "spiffe_id": identity.spiffe_id,
                "trust_domain": identity.trust_domain,
                "session": identity.session,
                "expires_at": int(done.expires_at),
                "directory": str(profile.directory),
            }
        )
        return
    output.answer(f"logged in to {identity.trust_domain} as {identity.subject} (profile {profile.name!r})")
    output.say(f"  certificate until {output.local_time(done.expires_at)}, renewed by itself")
    output.say("  next   nomoat whoami, nomoat exec -- COMMAND")


@click.command()
@profile_option
@json_option
@pass_invocation
def whoami(invocation: Invocation) -> None:
    """Print how the gateway knows you, at this moment."""
    with invocation.session() as session:
        known = session.gateway.whoami()
    if invocation.as_json:
        output.document(dict(known))
    else:
        # Of what a credential can be bound to, the thing that this one is.
        told = {name: value for name, value in known.items() if value or name not in {"certificate", "key"}}
        output.facts([(name, _readable(name, value)) for name, value in told.items()])


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask before ending yourself or your own device.")
@profile_option
@json_option
@pass_invocation
def revoke(invocation: Invocation, kind: str, name: str, yes: bool) -> None:
    """End a person, workload, device or session, everywhere, now.

    The next request of every session that ends is refused, and running transfers are cut. Asks first
    when that would lock you out.
    """
    with invocation.session() as session:
        identity = session.identity
        if name and (f"{kind}:{name}" == identity.subject or (kind == "device" and name == identity.device)):
            invocation.confirm(
                f"{kind} {name} is you: only another administrator can let you in again. Go on?", yes=yes
            )
        done = session.gateway.revoke(kind, name)
    if invocation.as_json:
        output.document(dict(done))
        return
    sessions, devices, codes = _names(done.get("ended")), _names(done.get("devices")), done.get("codes")
    ended = [
        f"{output.counted(number, what)} {how}"
        for number, what, how in (
            (len(sessions), "session", "ended"),
            (len(devices), "device", "ended"),
            (codes if isinstance(codes, int) else 0, "unused code", "cancelled"),
        )
        if number
    ]
    output.answer(f"revoked {kind} {name}: {', '.join(ended) or 'nothing was left to end'}")
    for handle in [*sessions, *devices]:
        output.answer(f"  {handle}")


def _require_url(url: str) -> str:
    """Return a gateway's address; what is none is wrong usage."""
    try:
        return parse_url(url)
    except Malformed as error:
        raise click.UsageError(error.reason) from None


def _read_code(code: str | None) -> str:
    """Return the code from the option, standard input (`-`), or a prompt that does not show it."""
    if code == "-":
        return sys.stdin.readline().strip()
    if code:
        return code
    if not sys.stdin.isatty():
        raise click.UsageError("a code is needed: nomoat login URL --code CODE (or --code - to read it)")
    return getpass.getpass("one-time code: ").strip()


def _names(value: object) -> list[str]:
    return [str(name) for name in cast("list[object]", value)] if isinstance(value, list) else []


def _readable(name: str, value: object) -> str:
    """Write one fact about the caller as a person reads it."""
    if name == "expires_at" and isinstance(value, (int, float)):
        return output.local_time(value)
    if isinstance(value, list):
        return ", ".join(_names(cast("object", value))) or "none"
    return str(value) if value not in (None, "") else "none"
