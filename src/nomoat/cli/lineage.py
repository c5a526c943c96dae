"""`lineage`, `lower`, `loaded`: what went into a version and what came of it, its label, and who runs it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import click

from nomoat.attestation.model_signature import FILE_NAME
from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.versions import SHORTEST_PREFIX, SHOWN, dataset_option, repository_named, whole_commit
from nomoat.client.bom import bill_of_materials
from nomoat.client.errors import Unintelligible
from nomoat.client.gateway import Gateway
from nomoat.client.snapshots import hash_file, list_snapshot
from nomoat.core.errors import Refused
from nomoat.core.names import Classification, RepositoryName, is_commit_id

COLUMNS: Final = ("", "kind", "name", "version", "files", "by", "record")

Row = Mapping[str, object]


@click.command()
@click.argument("repository")
@dataset_option
@click.option(
    "--revision", metavar="REVISION", default="", help="A branch, tag or commit id [default: what is served]."
)
@click.option("--file", "path", metavar="PATH", default="", help="What came of this file of it.")
@click.option(
    "--contributor", metavar="SUBJECT", default="", help="What came of what person:NAME or workload:NAME wrote."
)
@click.option(
    "--bom",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what went into a model as a CycloneDX ML-BOM (JSON); '-' prints it.",
)
@profile_option
@json_option
@pass_invocation
def lineage(
    invocation: Invocation,
    repository: str,
    dataset: bool,
    revision: str,
    path: str,
    contributor: str,
    bom: Path | None,
) -> None:
    """Show what went into a version of REPOSITORY, and what came of it.

    That is what runs read before they published, as the gateway saw it; nobody has to say so, and nobody can. A run has
    read what its subject read in the same session, or in any other one within the 30 days before. Of repositories that
    you may not know, you are told how many versions there are.
    """
    name = repository_named(repository, dataset=dataset)
    with invocation.session() as session:
        if revision and not is_commit_id(revision) and len(revision) >= SHORTEST_PREFIX:
            revision = _completed(session.gateway, name, revision)
        told = session.gateway.lineage(name, revision=revision, path=path, contributor=contributor)
    if bom is not None:
        _write(bom, bill_of_materials(told, invocation.clock()), as_json=invocation.as_json)
    elif invocation.as_json:
        output.document(told)
    else:
        _show(told)


@click.command()
@click.argument("repository")
@click.argument("commit")
@dataset_option
@click.option(
    "--to",
    "classification",
    type=click.Choice([level.name.lower() for level in Classification]),
    required=True,
    help="How confidential what the version inherits is from now on.",
)
@click.option("--label", "labels", metavar="NAME", multiple=True, help="A label that it keeps; again for each.")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever asks later.")
@profile_option
@json_option
@pass_invocation
def lower(
    invocation: Invocation,
    repository: str,
    commit: str,
    dataset: bool,
    classification: str,
    labels: tuple[str, ...],
    reason: str,
) -> None:
    """Let a version of REPOSITORY have a weaker label than what its run read.

    COMMIT is its id, or the first 8 or more characters of it. Nobody lowers the label of what they wrote, or of what
    came of that. What the repository is declared as stays; what is made of the version inherits the weaker label.
    """
    name = repository_named(repository, dataset=dataset)
    with invocation.session() as session:
        whole = whole_commit(session.gateway, name, commit)
        label = {"classification": classification, "labels": sorted(labels)}
        now = session.gateway.lower(name, whole, label, reason)
    if invocation.as_json:
        output.document({"repository": str(name), "kind": name.kind, "commit": whole, **now})
    else:
        output.answer(f"{name} {whole} inherits {_label(now)} from now on")


@click.command()
@click.argument("repository")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--revision", "commit", metavar="COMMIT", required=True, help="The version it was fetched as, or 8 characters."
)
@profile_option
@json_option
@pass_invocation
def loaded(invocation: Invocation, repository: str, directory: Path, commit: str) -> None:
    """Report which files of a model were loaded: those of DIRECTORY, by their digests.

    The load counts as verified only where the session that reports it fetched every one of these files from the
    gateway, and they are the version's. Run it as the workload that fetched them.
    """
    name = repository_named(repository, dataset=False)
    files = {file.path: hash_file(file) for file in list_snapshot(directory, directory / FILE_NAME)}
    if not files:
        raise click.UsageError(f"{directory} has no files of a model; a download that was refused leaves none")
    with invocation.session() as session:
        commit = whole_commit(session.gateway, name, commit)
        told = session.gateway.loaded(name, commit, files)
    if invocation.as_json:
        output.document({"repository": str(name), "commit": commit, **told})
    else:
        output.answer(f"{told.get('load')}: {output.counted(len(files), 'file')} of {name} {commit[:SHOWN]}")


def _completed(gateway: Gateway, name: RepositoryName, revision: str) -> str:
    """The commit id that begins so; the revision itself, where it is a branch or tag."""
    try:
        return whole_commit(gateway, name, revision)
    except (click.UsageError, Refused):
        return revision


def _show(told: Row) -> None:
    version = str(told.get("commit", ""))
    output.answer(f"{told.get('kind')} {told.get('repository')} {version[:SHOWN] or '(nothing is served)'}")
    inherited, lowered = _object(told, "inherited"), told.get("lowered")
    said = f"  label      {_label(_object(told, 'label'))} (declared {_label(_object(told, 'declared'))}"
    word = f", lowered by {_object(told, 'lowered').get('by')}: {_object(told, 'lowered').get('reason')}"
    output.answer(f"{said}, inherited {_label(inherited)}{word if lowered else ''})")
    for field, heading in (("came_of", "came of"), ("went_into", "went into")):
        rows = _rows(told, field)
        output.answer(f"{heading}: {'' if rows else 'nothing that is known'}".rstrip())
        if rows:
            output.table(COLUMNS, [_row(row) for row in rows], right=("files", "record"))
    for load in _rows(told, "loads"):
        at = load.get("at")
        since = output.local_time(at) if isinstance(at, (int, float)) else ""
        output.answer(f"loaded by {load.get('subject')} since {since}: {load.get('load')}")
    if withheld := told.get("withheld"):
        output.say(f"{withheld} more in repositories that you may not know, or that were deleted")
    if told.get("more"):
        output.say("there is more than one answer holds; ask for one version or file")


def _row(row: Row) -> Sequence[str]:
    near, files = "" if row.get("direct") else "through", row.get("files")
    name, version = str(row.get("repository")), str(row.get("commit"))[:SHOWN]
    return near, str(row.get("kind")), name, version, str(files or ""), str(row.get("subject")), str(row.get("record"))


def _label(label: Row) -> str:
    labels = cast("list[object]", label.get("labels") or [])
    return " ".join([str(label.get("classification")), *map(str, labels)])


def _object(told: Row, name: str) -> Row:
    value = told.get(name)
    return cast("Row", value) if isinstance(value, dict) else {}


def _rows(told: Row, name: str) -> list[Row]:
    value = told.get(name)
    rows = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(row, dict) for row in rows):
        raise Unintelligible(f"its answer has no proper {name!r}")
    return cast("list[Row]", rows)


def _write(bom: Path, document: Row, *, as_json: bool) -> None:
    if str(bom) == "-":
        output.document(document)
        return
    bom.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if as_json:
        output.document({"wrote": str(bom)})
    else:
        output.say(f"wrote {bom}")
