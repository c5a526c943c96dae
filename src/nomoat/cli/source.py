"""`source`: code whose copies the gateway knows again in prompts and answers."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.core.errors import Malformed, NotFound

REPOSITORY = click.Path(exists=True, file_okay=False, path_type=Path)
installed_option = click.option(
    "--installed/--not-installed",
    default=True,
    show_default=True,
    help="Whether what is installed here for Python counts as code that everybody has.",
)
public_option = click.option(
    "--public",
    type=REPOSITORY,
    multiple=True,
    help="A folder of code that everybody has, beside what is installed here. Repeatable.",
)


@click.group()
def source() -> None:
    """Register source code that some may have: copies of it are known again in prompts."""


@source.command()
@click.argument("repository", type=REPOSITORY)
@click.option("--name", required=True, help="What it is called, as acme/engine.")
@click.option("--cleared", "group", required=True, metavar="GROUP", help="Whose members may have it.")
@click.option("--label", default="source-code", show_default=True, help="What a text that has some of it is labelled.")
@click.option("--classification", default="confidential", show_default=True, help="How confidential such a text is.")
@public_option
@installed_option
@profile_option
@json_option
@pass_invocation
def add(
    invocation: Invocation,
    repository: Path,
    name: str,
    group: str,
    label: str,
    classification: str,
    public: Sequence[Path],
    installed: bool,
) -> None:
    """Register what is committed in REPOSITORY, a git repository on this machine.

    Fingerprints of it are made here and sent to the gateway, which keeps them under its key: neither has the code, nor
    the names of its files. What public packages have as well is left out.
    """
    _register(invocation, repository, (name, label, classification, group), "", _folders(public, installed=installed))


@source.command()
@click.argument("repository", type=REPOSITORY)
@click.option("--name", default="", help="What it is registered as [default: the source whose commit it has].")
@public_option
@installed_option
@profile_option
@json_option
@pass_invocation
def update(
    invocation: Invocation,
    repository: Path,
    name: str,
    public: Sequence[Path],
    installed: bool,
) -> None:
    """Register what was committed in REPOSITORY since the last time.

    Only files that changed are looked at. A commit that the repository does not have any more means adding it anew.
    """
    with invocation.session() as session:
        listed = _sources().list_sources(session.gateway)
    known = _meant(listed, repository, name)
    as_before = (str(known["name"]), str(known["label"]), str(known["classification"]), str(known["cleared"]))
    _register(invocation, repository, as_before, str(known["commit"]), _folders(public, installed=installed))


@source.command("list")
@profile_option
@json_option
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the sources that are known, and who is cleared for them."""
    with invocation.session() as session:
        found = _sources().list_sources(session.gateway)
    if invocation.as_json:
        output.document(found)
        return
    rows = [
        (
            *(str(each[name]) for name in ("name", "classification", "label", "cleared")),
            _commit(each),
            str(each["files"]),
        )
        for each in found
    ]
    output.table(["name", "classification", "label", "cleared", "commit", "files"], rows, right=["files"])


@source.command()
@click.argument("name")
@profile_option
@json_option
@pass_invocation
def remove(invocation: Invocation, name: str) -> None:
    """Have the source NAME known no more."""
    with invocation.session() as session:
        _sources().remove_source(session.gateway, name)
    if invocation.as_json:
        output.document({"removed": name})
    else:
        output.answer(f"copies of {name} are not known any more")


def _meant(listed: Sequence[Mapping[str, object]], repository: Path, name: str) -> Mapping[str, object]:
    """The source that has this name, or that was registered of this repository."""
    if name:
        found = [each for each in listed if each["name"] == name]
        if not found:
            raise NotFound(f"there is no source {name}: nomoat source add", kind="source")
        return found[0]
    found = [each for each in listed if _sources().holds_commit(repository, str(each["commit"]))]
    if len(found) != 1:
        names = ", ".join(str(each["name"]) for each in found) or "none"
        raise click.UsageError(f"sources of which {repository} has the commit: {names}; say which with --name")
    return found[0]


def _commit(known: Mapping[str, object]) -> str:
    return str(known["commit"])[:12] or "(not all of it came)"


def _register(
    invocation: Invocation, repository: Path, stated: tuple[str, str, str, str], base: str, folders: Sequence[Path]
) -> None:
    client = _sources()
    cleared = client.Cleared(*stated)
    with invocation.session() as session, _shown(invocation) as told:
        done = client.register_source(session.gateway, repository, cleared, base, folders, told)
    if invocation.as_json:
        output.document(
            {"commit": done.commit, "files": done.files, "fingerprints": done.fingerprints, "public": done.public}
        )
        return
    if base and not done.files:
        output.answer(f"{cleared.name} is known as of {done.commit[:12]}: no file that is there changed")
        return
    files = output.counted(done.files, "file")
    output.answer(f"{cleared.name} is known as of {done.commit[:12]}: {done.fingerprints} fingerprints of {files}")
    if done.public:
        output.answer(f"left out, as public packages have them too: {done.public}")
    if done.is_mostly_public:
        output.say("that is most of it: is it installed here itself? Then add it anew with --not-installed")
    output.answer(f"who may have it: {cleared.group}; copies are {cleared.classification}, labelled {cleared.label}")


@contextmanager
def _shown(invocation: Invocation) -> Generator[Callable[[int, int], None]]:
    """Show how many files of how many were looked at, in a terminal."""
    console = Console(stderr=True)
    hidden = invocation.as_json or not console.is_terminal
    columns = (TextColumn("looking at files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _folders(public: Sequence[Path], *, installed: bool) -> list[Path]:
    return [*(_sources().public_folders() if installed else []), *public]


def _sources() -> ModuleType:
    """What makes fingerprints; loaded when somebody asks for it, for its arrays are large."""
    try:
        from nomoat.client import sources  # noqa: PLC0415
    except ImportError:
        raise Malformed("this needs what 'pip install nomoat[sources]' installs") from None
    return sources
