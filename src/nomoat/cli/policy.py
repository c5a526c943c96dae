"""`policy`: checking and applying the Cedar files that decide."""

from collections.abc import Sequence
from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.declare import count
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.policy_diff import diff
from nomoat.cli.policy_files import DIRECTORY, read_policies
from nomoat.cli.policy_history import differences, explain, simulate, try_command, unused
from nomoat.cli.policy_offline import format_command, lint, test
from nomoat.cli.policy_show import show
from nomoat.client.gateway import Planned, PolicyAnswer
from nomoat.policy.compilation import compile_policies


@click.group()
def policy() -> None:
    """Check and apply the rules: Cedar files in a directory."""


for command in (show, format_command, lint, test, diff, explain, simulate, try_command, differences, unused):
    policy.add_command(command)


@policy.command()
@click.argument("directory", type=DIRECTORY)
@json_option
@pass_invocation
def check(invocation: Invocation, directory: Path) -> None:
    """Check the policies of DIRECTORY strictly, on this machine."""
    snapshot = compile_policies(read_policies(directory))
    if invocation.as_json:
        output.document({"digest": snapshot.digest, "ids": list(snapshot.ids)})
    else:
        number = len(snapshot.ids)
        output.answer(f"{number} polic{'y' if number == 1 else 'ies'}, each valid: {snapshot.digest}")
        output.say(f"  next   nomoat policy lint {directory}, then nomoat policy test {directory}")


@policy.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--yes", is_flag=True, help="Do not ask after showing the plan.")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@profile_option
@json_option
@pass_invocation
def apply(invocation: Invocation, directory: Path, yes: bool, dry_run: bool) -> None:
    """Replace the active policies by those of DIRECTORY.

    Shows what would change, asks, and applies exactly that: if the active set changed meanwhile, or
    the new one does not pass, the active one stays in force.
    """
    files = read_policies(directory)
    with invocation.session() as session:
        gateway = session.gateway
        planned = gateway.apply_policy(files, dry_run=True)
        if not planned.plan or dry_run:
            _report(invocation, planned)
            return
        if not invocation.as_json:
            _show_plan(planned.plan)
        invocation.confirm(f"Apply {count(planned.plan)} to {planned.active[:19]}…?", yes=yes)
        done = gateway.apply_policy(files, dry_run=False, base=planned.active)
    if invocation.as_json or not done.applied:
        _report(invocation, done)
    else:
        output.answer(f"applied: {done.digest} decides from now on")


def _show_plan(plan: Sequence[Planned]) -> None:
    output.table(["change", "policy", "file"], [(row.change, row.name, row.detail) for row in plan])


def _report(invocation: Invocation, answer: PolicyAnswer) -> None:
    if invocation.as_json:
        rows = [{"change": row.change, "id": row.name, "file": row.detail} for row in answer.plan]
        document = {"plan": rows, "digest": answer.digest, "active": answer.active, "applied": answer.applied}
        output.document(document)
    elif answer.plan:
        _show_plan(answer.plan)
        output.answer(f"{count(answer.plan)}, not applied ({answer.active} stays active)")
    else:
        output.answer(f"nothing to change ({answer.active} is active)")
