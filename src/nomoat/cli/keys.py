"""`nomoat keys`: what wraps everything at rest, and its rotation."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import click
import uvloop

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.client.keys import read_keys, rotate_keys
from nomoat.server.key_file import adopt_keys, destroy_key

DIRECTORY: Final = click.Path(exists=True, file_okay=False, path_type=Path)
POLL_S: Final = 0.5


@click.group()
def keys() -> None:
    """See and rotate the key-encryption key, which wraps every other key."""


@keys.command()
@profile_option
@json_option
@pass_invocation
def status(invocation: Invocation) -> None:
    """Show the versions of the key-encryption key, and how many keys each of them wraps."""
    with invocation.session() as session:
        found = read_keys(session.gateway)
    _show(invocation, found)


@keys.command()
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when everything is wrapped anew.")
@profile_option
@json_option
@pass_invocation
def rotate(invocation: Invocation, wait: bool) -> None:
    """Make a new version of the key-encryption key, and wrap every key by it while the gateway serves.

    Contents are not written anew, only their keys. The old version stays in the key file, for backups from before;
    `nomoat keys destroy` ends that. Copy the key file once this is done: older copies lack the new version.
    """
    with invocation.session() as session:
        found = rotate_keys(session.gateway)
        while wait and found.get("left"):
            time.sleep(POLL_S)
            found = read_keys(session.gateway)
    _show(invocation, found)
    output.say("  next   copy the key file, apart from the backups: it has a new version")


@keys.command()
@click.argument("directory", type=DIRECTORY)
@click.argument("version", type=click.IntRange(1))
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_invocation
def destroy(invocation: Invocation, directory: Path, version: int, yes: bool) -> None:
    """Take an old VERSION of the key-encryption key out of the key file of DIRECTORY, for good.

    Works only while no gateway runs, and only when nothing in DIRECTORY is wrapped by it any more. Backups from
    before the rotation cannot be restored without it. It is recorded.
    """
    invocation.confirm(f"Backups whose keys version {version} wraps will be of no use. Go on?", yes=yes)
    record = uvloop.run(destroy_key(directory.absolute(), version, invocation.clock))
    if invocation.as_json:
        output.document({"version": version, "record": record})
        return
    output.answer(f"destroyed version {version} of the key-encryption key; record {record} says so")
    output.say("  next   destroy every copy of the key file that has it")


@keys.command()
@click.argument("directory", type=DIRECTORY)
@json_option
@pass_invocation
def adopt(invocation: Invocation, directory: Path) -> None:
    """Hand the key file of DIRECTORY to the key management that [keys] in its nomoat.toml names.

    Works only while no gateway runs. The key lay readable on the disk until then: rotate it afterwards.
    """
    kms, path = adopt_keys(directory.absolute())
    if invocation.as_json:
        output.document({"kms": kms, "kek": str(path)})
        return
    output.answer(f"{path} is of no use now without {kms}")
    output.say("  next   nomoat serve DIRECTORY, then nomoat keys rotate, and destroy the old copies of the key file")


def _show(invocation: Invocation, found: Mapping[str, object]) -> None:
    if invocation.as_json:
        output.document(found)
        return
    rows = cast("list[dict[str, object]]", found["versions"])
    newest = found["newest"]
    output.table(
        ["version", "keys", ""],
        [(str(row["version"]), str(row["keys"]), "newest" if row["version"] == newest else "") for row in rows],
        right=["version", "keys"],
    )
    output.say(f"kept by {found['kms']}; {found['left']} keys are to be wrapped anew")
