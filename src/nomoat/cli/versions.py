"""`versions`, `approve`, `withdraw`, `shred`: where the versions of a model or dataset stand, and a person's word on one."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final, TypeVar

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.gateway import Gateway
from nomoat.client.keys import shred as shred_version
from nomoat.client.versions import FileFinding, StandingVersion
from nomoat.core.errors import Malformed, NotFound, NotPermitted
from nomoat.core.lifecycle import Stage
from nomoat.core.names import RepositoryKind, RepositoryName, is_commit_id, parse_repository_name

SHORTEST_PREFIX: Final = 8
SHOWN: Final = 12  # characters of a commit id in the table

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def dataset_option(function: FunctionT) -> FunctionT:
    """Add `--dataset`."""
    return click.option("--dataset", is_flag=True, help="REPOSITORY is a dataset, not a model.")(function)


@click.command()
@click.argument("repository")
@dataset_option
@profile_option
@json_option
@pass_invocation
def versions(invocation: Invocation, repository: str, dataset: bool) -> None:
    """List the newest versions of REPOSITORY, and which one is served.

    A version is a commit of the main branch. It is a candidate until a person approves it who wrote nothing
    of it; whoever asks for the branch has the newest approved version. One is in quarantine when a content of
    it may hold code that nobody knows: below the list stands what was found, in each file that you may see.
    """
    name = repository_named(repository, dataset=dataset)
    with invocation.session() as session:
        found = session.gateway.versions(name)
    if invocation.as_json:
        output.document({"repository": str(name), "kind": name.kind, "versions": [asdict(each) for each in found]})
        return
    output.table(["commit", "stage", "author", "published", "judged by", "served", "reason"], [*map(_row, found)])
    for each in found:
        for finding in each.findings:
            output.answer(f"{each.commit[:SHOWN]} is in quarantine: {_found(finding)}")
    if not any(each.served for each in found):
        output.say("none of them is served")


@click.command()
@click.argument("repository")
@click.argument("commit")
@dataset_option
@click.option("--check", "checks", metavar="NAME", multiple=True, help="What you looked at; again for each.")
@click.option("--reason", metavar="TEXT", default="", help="Why; needed for what is in quarantine.")
@profile_option
@json_option
@pass_invocation
def approve(
    invocation: Invocation, repository: str, commit: str, dataset: bool, checks: tuple[str, ...], reason: str
) -> None:
    """Approve a version of REPOSITORY, so that it is served.

    COMMIT is its id, or the first 8 or more characters of it. Nobody approves what they wrote a part of: who
    published since the last approved version is an author of this one. What was withdrawn can be approved again.
    """
    name = repository_named(repository, dataset=dataset)
    with invocation.session() as session:
        gateway = session.gateway
        whole = whole_commit(gateway, name, commit)
        standing = gateway.approve(name, whole, checks, reason)
    if invocation.as_json:
        output.document({"repository": str(name), "kind": name.kind, "commit": whole, **standing})
    else:
        output.answer(f"approved {name} {whole}")


@click.command()
@click.argument("repository")
@click.argument("commit")
@dataset_option
@click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever asks later.")
@profile_option
@json_option
@pass_invocation
def withdraw(invocation: Invocation, repository: str, commit: str, dataset: bool, reason: str) -> None:
    """Withdraw a version of REPOSITORY: it is not served any longer, now.

    COMMIT is its id, or the first 8 or more characters of it. Running downloads of it are cut. The branch means
    the newest version that is still approved from then on. Copies that were downloaded before are not reached.
    """
    name = repository_named(repository, dataset=dataset)
    with invocation.session() as session:
        gateway = session.gateway
        whole = whole_commit(gateway, name, commit)
        standing = gateway.withdraw(name, whole, reason)
    if invocation.as_json:
        output.document({"repository": str(name), "kind": name.kind, "commit": whole, **standing})
    else:
        output.answer(f"withdrew {name} {whole}")


@click.command()
@click.argument("repository")
@click.argument("commit")
@dataset_option
@click.option("--also", metavar="COMMIT", multiple=True, help="A version that shares contents with it, and goes too.")
@click.option("--keep-shared", is_flag=True, help="Keep the contents that other versions have, too.")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever asks later.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@profile_option
@json_option
@pass_invocation
def shred(
    invocation: Invocation,
    repository: str,
    commit: str,
    dataset: bool,
    also: tuple[str, ...],
    keep_shared: bool,
    reason: str,
    yes: bool,
) -> None:
    """Destroy the contents of a version of REPOSITORY for good, copies of its blobs included.

    COMMIT is its id, or the first 8 or more characters of it. The keys of its contents are destroyed: without them
    no copy of a blob, in a backup or elsewhere, is of use to anybody. Running downloads are cut. Contents that other
    versions have, too, are a refusal that names them: shred these with it (--also), or keep what they share
    (--keep-shared). Copies of the gateway's database from before still have the keys.
    """
    name = repository_named(repository, dataset=dataset)
    invocation.confirm(f"What {name} has at {commit} will be gone for good. Go on?", yes=yes)
    with invocation.session() as session:
        gateway = session.gateway
        whole, others = whole_commit(gateway, name, commit), [whole_commit(gateway, name, each) for each in also]
        done = shred_version(gateway, name, whole, reason, others, keep_shared=keep_shared)
    if invocation.as_json:
        output.document({"repository": str(name), "kind": name.kind, "commit": whole, "also": others, **done})
        return
    output.answer(f"shredded {name} {whole}: {done['contents']} contents are gone, {done['kept']} stay with others")
    output.say(
        "  next   nomoat keys rotate, and destroy the old version: copies of the database from before still have"
    )
    output.say("         the keys of these contents, wrapped by it")


def _row(version: StandingVersion) -> Sequence[str]:
    judged = version.stage in {Stage.APPROVED, Stage.WITHDRAWN, Stage.SHREDDED}
    return (
        version.commit[:SHOWN],
        version.stage,
        version.author,
        output.local_time(version.published),
        version.by if judged else "",
        "served" if version.served else "",
        version.reason,
    )


def _found(finding: FileFinding) -> str:
    """Say what was found in a file."""
    where = f" in {finding.where}" if finding.where else ""
    return f"{finding.path}: {finding.what}{where}" + (f" ({finding.rule})" if finding.rule else "")


def repository_named(text: str, *, dataset: bool) -> RepositoryName:
    """Parse a repository's name; what is none is wrong usage."""
    try:
        return parse_repository_name(RepositoryKind.DATASET if dataset else RepositoryKind.MODEL, text)
    except Malformed as error:
        raise click.UsageError(error.reason) from None


def whole_commit(gateway: Gateway, name: RepositoryName, commit: str) -> str:
    """Return the commit id that `commit` is, or begins; raise `click.UsageError` for what is neither."""
    if is_commit_id(commit):
        return commit
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},39}}", commit):
        raise click.UsageError(f"COMMIT is a commit id, or its first {SHORTEST_PREFIX} characters or more")
    try:
        known = [each.commit for each in gateway.versions(name)]
    except NotPermitted:
        raise click.UsageError("you may not list the versions: give the whole commit id, of 40 characters") from None
    return completed(commit, known)


def completed(prefix: str, commits: Sequence[str]) -> str:
    """Return the one of `commits` that begins so.

    Raises `NotFound` when none does, `click.UsageError` when several do.
    """
    found = [commit for commit in commits if commit.startswith(prefix)]
    if not found:
        raise NotFound(f"none of the newest versions begins with {prefix}; say its whole id", kind="revision")
    if len(found) > 1:
        raise click.UsageError(f"{len(found)} versions begin with {prefix}; say more of the one you mean")
    return found[0]
