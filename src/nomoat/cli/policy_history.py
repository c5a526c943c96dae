"""`policy` with a gateway: why something was decided, and what other policies make of what was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.policy_files import DIRECTORY, read_policies
from nomoat.client.gateway import Gateway
from nomoat.core.errors import NotFound, NotPermitted

Answer = Mapping[str, object]
SHOWN = 40  # groups of differences


@click.command()
@click.argument("number", type=click.IntRange(0))
@profile_option
@json_option
@pass_invocation
def explain(invocation: Invocation, number: int) -> None:
    """Say why record NUMBER was decided so, and the least that would have had to differ.

    Everybody may explain their own refusals; auditors, every record. The policies are those of that time, and
    every variation that is told was decided by them.
    """
    with invocation.session() as session:
        told = _ask(session.gateway, number)
    if invocation.as_json:
        output.document(dict(told))
    else:
        _explain(told)


def _ask(gateway: Gateway, number: int) -> Answer:
    """Ask as the one who was refused, which everybody may; where that tells nothing, as an auditor."""
    told: Answer | NotFound
    try:
        told = gateway.explain(number, own=True)
        if "snapshot" in told and not told.get("partial"):
            return told
    except NotFound as missing:
        told = missing
    try:
        return gateway.explain(number, own=False)
    except NotPermitted:
        if isinstance(told, NotFound):
            raise told from None
        return told


def _explain(told: Answer) -> None:
    who = cast("Answer", told.get("who") or {})
    caller = f"{who.get('kind', '')} {who.get('name', '')}".strip() or "you"
    on = ", ".join(_texts(told.get("on")))
    asked = f"{caller} · {told.get('what') or 'a request'} · {on}".rstrip(" ·")
    rows = [("record", f"{told.get('record')}  {told.get('at')}"), ("asked", asked)]
    rows.append(("decision", f"{told.get('decision')}" + _by(told)))
    rejected = cast("Answer", told.get("rejected") or {})
    rows += [
        (name, str(rejected[key])) for name, key in (("refused then", "why"), ("rule", "rule")) if rejected.get(key)
    ]
    rows += [("found", each) for each in _texts(told.get("found"))]
    rows += [_withheld(each) for each in _rows(told.get("withheld"))]
    if problem := told.get("unexplained"):
        rows.append(("unexplained", str(problem)))
    if "snapshot" in told:
        still = "in force" if told.get("in_force") else f"no longer in force; now it would be {told.get('now')}"
        rows.append(("by policies", f"{told.get('snapshot')} ({still})"))
    rows += [("read", f"{row.get('name')} = {row.get('value')}") for row in _rows(told.get("read"))]
    for row in _rows(told.get("considered")):
        rows.append(
            (
                "considered",
                f"{row.get('effect')} {row.get('id')}: {'applied' if row.get('applies') else 'did not apply'}",
            )
        )
    if told.get("next"):
        rows.append(("next", str(told["next"])))
    output.facts(rows)
    if told.get("partial"):
        output.say("it is also about files of a folder that are not there, or that you may not see: ask an auditor")
    if "ways" not in told:
        return
    turned = "refused" if told.get("decision") == "allowed" else "allowed"
    ways = _rows(told.get("ways"))
    for way in ways:
        by = f"   (by {', '.join(_texts(way.get('policies')))})" if way.get("policies") else ""
        output.answer(f"it would have been {turned} with {' and '.join(_texts(way.get('changes')))}{by}")
    complete = told.get("complete")
    if not ways:
        output.answer(f"nothing that was tried would have made it {turned}: up to {complete} changes at once")
    if not told.get("confirmed"):
        output.say("the record does not hold all that was read; what is said of it may not be exact")


def _withheld(server: Answer) -> tuple[str, str]:
    """Which server was not sent a prompt, where that is told, and by which policies."""
    by = ", ".join(_texts(server.get("policies")))
    why = f"refused by {by}" if by else "no policy permits it"
    if "upstream" not in server:
        return "no server", why
    return "not sent to", f"{server['upstream']}{', redacted' if server.get('redacted') else ''}: {why}"


def _by(told: Answer) -> str:
    if names := _texts(told.get("policies")):
        return f" by {', '.join(names)}"
    return f": {told.get('why')}" if told.get("why") else ""


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.argument("query", default="")
@click.option("--against", type=DIRECTORY, help="Compare with these policies instead of what was recorded.")
@profile_option
@json_option
@pass_invocation
def simulate(invocation: Invocation, directory: Path, query: str, against: Path | None) -> None:
    """Take the recorded decisions again under the policies of DIRECTORY; tell what differs.

    QUERY chooses records as in 'nomoat audit search', for example 'since 30d'. Nothing is applied.
    """
    files, base = read_policies(directory), read_policies(against) if against else None
    with invocation.session() as session:
        told = session.gateway.simulate(files, base, query)
    if invocation.as_json:
        output.document(dict(told))
        return
    _differences(told)
    _unanswerable(told)
    output.say(f"{told.get('decided')} recorded decisions were taken again, compared with {told.get('compared')}")


@click.command(name="try")
@click.argument("directory", type=DIRECTORY, required=False)
@click.option("--end", is_flag=True, help="End the trial.")
@profile_option
@json_option
@pass_invocation
def try_command(invocation: Invocation, directory: Path | None, end: bool) -> None:
    """Let the policies of DIRECTORY decide beside the active ones, without effect.

    Where they decide otherwise, the record of the access says so: see 'nomoat policy differences'. The trial
    ends with --end, with another one, or when these policies are applied.
    """
    if (directory is None) is not end:
        raise click.UsageError("name the DIRECTORY of the policies to try, or --end")
    with invocation.session() as session:
        told = session.gateway.try_policy(read_policies(directory) if directory else {})
    if invocation.as_json:
        output.document(dict(told))
    elif directory:
        output.answer(f"on trial: {told.get('candidate')} decides beside {told.get('active')}, without effect")
        output.say("  next   nomoat policy differences, after a while")
    else:
        output.answer("no policies are on trial any more")


@click.command()
@click.argument("query", default="")
@profile_option
@json_option
@pass_invocation
def differences(invocation: Invocation, query: str) -> None:
    """Tell what the policies on trial decided otherwise than the active ones.

    QUERY chooses records as in 'nomoat audit search'.
    """
    with invocation.session() as session:
        told = session.gateway.differences(query)
    if invocation.as_json:
        output.document(dict(told))
    else:
        _differences(told)


@click.command()
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="Not used in so many days.")
@profile_option
@json_option
@pass_invocation
def unused(invocation: Invocation, days: int) -> None:
    """Find grants of the active policies that nobody used.

    'remove' is said of grants without which every recorded decision would have been the same, all of them
    together. One that was used before those days, or that came into force within them, is only shown.
    """
    with invocation.session() as session:
        told = session.gateway.unused(days)
    if invocation.as_json:
        output.document(dict(told))
        return
    rows = [
        (str(row.get("id")), str(row.get("file")), str(row.get("last") or "never")[:10], _SAID[str(row.get("verdict"))])
        for row in _rows(told.get("unused"))
    ]
    if rows:
        output.table(["grant", "file", "last used", "what to do"], rows)
    else:
        output.answer(f"every grant was used in the last {days} days")
    _unanswerable(told)
    output.say(f"{len(rows)} of {told.get('grants')} grants unused, by {told.get('decided')} recorded decisions")


_SAID = {
    "remove": "remove: no recorded decision needs it",
    "used before": "look: it was used before",
    "young": "wait: it is younger than that",
    "keep": "keep: some decision would change",
}


def _differences(told: Answer) -> None:
    groups = _rows(told.get("groups"))
    rows = [
        (
            f"newly {group.get('turn')}",
            str(group.get("count")),
            str(group.get("who")),
            str(group.get("what")),
            str(group.get("on")),
            ", ".join(_texts(group.get("policies"))) or "no policy permits it",
            ", ".join(_texts(group.get("records"))),
        )
        for group in groups[:SHOWN]
    ]
    if rows:
        output.table(["change", "count", "who", "what", "on", "decided by", "records"], rows, right=["count"])
    more = len(groups) - len(rows)
    output.answer(
        f"{told.get('newly_allowed')} newly allowed, {told.get('newly_refused')} newly refused"
        + (f" ({more} more groups: --json)" if more > 0 else "")
    )


def _unanswerable(told: Answer) -> None:
    if told.get("unanswerable"):
        output.say(f"{told.get('unanswerable')} records do not hold all that was read, and were left out")


def _rows(value: object) -> Sequence[Answer]:
    return [cast("Answer", row) for row in cast("list[object]", value or []) if isinstance(row, dict)]


def _texts(value: object) -> list[str]:
    return [str(item) for item in cast("list[object]", value or [])]
