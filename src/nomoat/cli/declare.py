"""`apply`: declaring people, groups, workloads, datasets, models and labels."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.gateway import Planned
from nomoat.core.errors import Malformed


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask after showing the plan.")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@profile_option
@json_option
@pass_invocation
def apply(invocation: Invocation, files: tuple[Path, ...], yes: bool, dry_run: bool) -> None:
    """Declare what exists: people, groups, workloads, datasets, models, labels.

    Shows what would change, asks, and applies exactly that: if the directory changed meanwhile,
    nothing is applied. Every table and field of FILES: docs/reference/declarations.md.
    """
    document = read_documents(files)
    with invocation.session() as session:
        gateway = session.gateway
        planned = gateway.apply_directory(document, dry_run=True)
        if not planned.plan or dry_run:
            _report(invocation, planned.plan, planned.generation, applied=False)
            return
        if not invocation.as_json:
            show_plan(planned.plan)
        invocation.confirm(f"Apply {count(planned.plan)} to generation {planned.generation}?", yes=yes)
        done = gateway.apply_directory(document, dry_run=False, base=planned.generation)
    if invocation.as_json or not done.applied:
        _report(invocation, done.plan, done.generation, applied=done.applied)
    else:
        output.answer(f"applied: the directory is now at generation {done.generation}")


def read_documents(files: Sequence[Path]) -> str:
    """Read TOML files into one document; raises `Malformed` with the file's name and the place."""
    texts: list[str] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
            table = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"{file} is not TOML: {error}") from None
        # Text after text is the same declaration only if nothing stands before the first header.
        if stray := [name for name, value in table.items() if not isinstance(value, list)]:
            raise Malformed(f"{file}: {stray[0]!r} is not a declaration; write [[person]], [[dataset]] and so on")
        texts.append(text)
    return "\n".join(texts)


def show_plan(plan: Sequence[Planned]) -> None:
    """Print what would change."""
    output.table(["change", "kind", "name", "detail"], [(row.change, row.kind, row.name, row.detail) for row in plan])


def count(plan: Sequence[Planned]) -> str:
    """Write the number of changes."""
    return f"{len(plan)} change{'' if len(plan) == 1 else 's'}"


def _report(invocation: Invocation, plan: Sequence[Planned], generation: int, *, applied: bool) -> None:
    if invocation.as_json:
        rows = [{"change": row.change, "kind": row.kind, "name": row.name, "detail": row.detail} for row in plan]
        output.document({"plan": rows, "generation": generation, "applied": applied})
    elif plan:
        show_plan(plan)
        output.answer(f"{count(plan)}, not applied (generation {generation})")
    else:
        output.answer(f"nothing to change (generation {generation})")
