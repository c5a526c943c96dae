"""`dataset`: what a version of a dataset holds and who contributed it, and how it differs from the approved one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.problems import ExitCode
from nomoat.client.datasets import DatasetManifest, Difference, read_manifest
from nomoat.core.errors import Malformed
from nomoat.core.names import RepositoryKind, RepositoryName, parse_repository_name

SHOWN = 12  # characters of a commit id or digest in a table
NEWEST = "candidate"


@click.group()
def dataset() -> None:
    """Review versions of a dataset: who contributed what, and what changed."""


@dataset.command()
@click.argument("name")
@click.option("--revision", metavar="REVISION", default=NEWEST, show_default=True, help="A branch, tag or commit id.")
@profile_option
@json_option
@pass_invocation
def manifest(invocation: Invocation, name: str, revision: str) -> int:
    """Print every file of a version of NAME, who contributed it, and since which version.

    The chain of manifests is computed again here. With --json, what 'nomoat dataset verify' takes.
    """
    with invocation.session() as session:
        found = session.gateway.manifest(_name(name), revision)
    if invocation.as_json:
        output.document(found.document)
        return _tell_faults(found)
    rows = [
        (path, held.digest[:SHOWN], str(held.size), str(found.rows.get(path, "")), held.contributor, held.since[:SHOWN])
        for path, held in found.files.items()
    ]
    output.table(["file", "sha256", "bytes", "rows", "contributor", "since version"], rows, right=["bytes", "rows"])
    output.answer(f"manifest {found.digest} of version {found.commit}")
    return _tell_faults(found)


@dataset.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--manifest", "digest", metavar="DIGEST", default="", help="The digest that it has to have.")
@json_option
@pass_invocation
def verify(invocation: Invocation, file: Path, digest: str) -> int:
    """Verify a manifest that was saved with --json, offline.

    Every version's digest has to follow from the one before. That says that nobody changed it since it had this digest. The digest is in the log, in the records of
    WriteFile and ApproveVersion.
    """
    try:
        found = read_manifest(json.loads(file.read_bytes()))
    except (ValueError, RecursionError):
        raise Malformed(f"{file} is no manifest of a dataset") from None
    wrong = found.faults
    if digest and digest != found.digest:
        wrong = [*wrong, f"its digest is {found.digest}, not {digest}"]
    if invocation.as_json:
        output.document({"sound": not wrong, "manifest": found.digest, "version": found.commit, "faults": wrong})
    else:
        for each in wrong:
            output.answer(f"WRONG  {each}")
        output.answer(f"{'NOT ' if wrong else ''}verified: manifest {found.digest} of version {found.commit}")
    return ExitCode.VERIFICATION_FAILED if wrong else ExitCode.DONE


@dataset.command()
@click.argument("name")
@click.option(
    "--from", "base", metavar="REVISION", default="", help="Compare with this version [default: the last approved one]."
)
@click.option("--to", "revision", metavar="REVISION", default=NEWEST, show_default=True, help="The version to look at.")
@profile_option
@json_option
@pass_invocation
def diff(invocation: Invocation, name: str, base: str, revision: str) -> None:
    """Compare a version of NAME with the approved one before it, in figures.

    What a reviewer should look at comes first. No row is shown, and no figure finds a backdoor: a few rows that look like all the others change nothing here.
    """
    with invocation.session() as session:
        found = session.gateway.diff(_name(name), base, revision)
    if invocation.as_json:
        output.document(found.document)
        return
    _show(name, found)


def _show(name: str, found: Difference) -> None:
    output.answer(f"{name}: version {found.after[:SHOWN]} against {found.before[:SHOWN]}")
    for flag in found.flags:
        output.answer(f"LOOK  {flag}")
    if not found.flags:
        output.answer("no figure stands out; that does not mean that nothing is wrong")
    if found.contributors:
        _section("contributors")
        total = sum(_number(each, "bytes") for each in found.contributors) or 1
        rows = [
            (
                str(each.get("contributor")),
                "new" if each.get("new") else "",
                *(str(each.get(field)) for field in ("files", "bytes", "rows")),
                f"{_number(each, 'bytes') / total:.0%}",
            )
            for each in found.contributors
        ]
        columns = ["contributor", "", "files", "bytes", "rows", "share"]
        output.table(columns, rows, right=columns[2:])
    files = [(path, change) for change in ("removed", "changed", "added") for path in found.paths(change)]
    if files:
        _section("files")
        output.table(["file", "change"], files)
    if found.schema:
        _section("schema")
        output.table(
            ["column", "before", "after"],
            [(name, *(kind or "none" for kind in kinds)) for name, kinds in found.schema.items()],
        )
    output.answer("")
    output.answer(f"rows: {found.rows[0]} before, {found.rows[1]} after")
    _drifts(found)
    alike = found.near_duplicates
    if _number(alike, "compared"):
        output.answer(
            f"near duplicates: of {alike.get('compared')} new rows that were compared, {alike.get('among')} are alike among "
            f"each other and {alike.get('known')} like rows that were there"
        )
    if _number(alike, "largest"):
        output.answer(
            f"  the largest group has {alike.get('largest')}, one of them is row {alike.get('row')} of {alike.get('path')}"
        )
    for path, why in found.unprofiled.items():
        output.answer(f"not looked into: {path}: {why}")
    if found.withheld:
        output.answer(f"{output.counted(found.withheld, 'file')} withheld from you: in none of these figures")


def _drifts(found: Difference) -> None:
    moved = [
        (
            str(each.get("column")),
            _percent(each.get("distance")),
            value or "(others)",
            _percent(shares[0]),
            _percent(shares[1]),
        )
        for each in found.values
        if _number(each, "distance") > 0
        for value, shares in cast("Mapping[str, Sequence[float]]", each.get("values", {})).items()
    ]
    if moved:
        _section("values")
        output.table(["column", "moved by", "value", "before", "after"], moved, right=["moved by", "before", "after"])
    lengths = [
        (
            str(each.get("column")),
            _percent(each.get("distance")),
            _lengths(each.get("before")),
            _lengths(each.get("after")),
        )
        for each in found.lengths
        if _number(each, "distance") > 0
    ]
    if lengths:
        _section("lengths of texts, in characters (a tenth / half / nine tenths are shorter)")
        output.table(["column", "moved by", "before", "after"], lengths, right=["moved by"])


def _section(title: str) -> None:
    output.answer("")
    output.answer(title)


def _percent(share: object) -> str:
    return f"{share:.1%}" if isinstance(share, (int, float)) else ""


def _lengths(quantiles: object) -> str:
    return " / ".join(str(each) for each in cast("list[object]", quantiles)) if isinstance(quantiles, list) else ""


def _number(row: Mapping[str, object], field: str) -> float:
    value = row.get(field)
    return value if isinstance(value, (int, float)) else 0


def _tell_faults(found: DatasetManifest) -> int:
    for fault in found.faults:
        output.say(f"WRONG  {fault}")
    if found.withheld:
        output.say(f"{output.counted(found.withheld, 'change')} withheld from you; hashes stand for them")
    return ExitCode.VERIFICATION_FAILED if found.faults else ExitCode.DONE


def _name(text: str) -> RepositoryName:
    try:
        return parse_repository_name(RepositoryKind.DATASET, text)
    except Malformed as error:
        raise click.UsageError(error.reason) from None
