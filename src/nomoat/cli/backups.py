"""`backup` and `restore`: a copy that starts, and the way back from it."""

from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation
from nomoat.cli.problems import ExitCode
from nomoat.server.backup import back_up
from nomoat.server.restore import OlderThanKept, Restored
from nomoat.server.restore import restore as restore_backup

DATA = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("directory", type=DATA)
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--since", type=DATA, help="An earlier backup on the same disk: what has not changed is linked to it.")
@json_option
@pass_invocation
def backup(invocation: Invocation, directory: Path, destination: Path, since: Path | None) -> None:
    """Back a data directory up to the new directory DESTINATION, also while its gateway serves.

    The key-encryption key is needed, and is not in the backup: keep it apart. Nobody waits for a backup.
    """
    done = back_up(directory.absolute(), destination.absolute(), invocation.clock(), since and since.absolute())
    manifest = done.manifest
    if invocation.as_json:
        output.document(
            {
                "backup": str(destination),
                "records": manifest.records,
                "generation": manifest.generation,
                "schema": manifest.schema,
                "files": len(manifest.files),
                "bytes": done.size,
                "shared_bytes": done.shared,
                "checkpoint": manifest.checkpoint,
            }
        )
        return
    output.answer(f"backed up {manifest.records} records and {len(manifest.files)} files to {destination}")
    output.say(f"  {done.size / 2**20:,.1f} MiB, {done.shared / 2**20:,.1f} MiB of it shared with the earlier backup")
    output.say("  the key-encryption key is not in it: keep a copy of that, in another place")
    output.say(f"  back   nomoat restore {destination} DIRECTORY")


@click.command()
@click.argument("backup", type=DATA)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--kek", type=FILE, help="Where the key-encryption key is [default: where it was].")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=FILE,
    help="A checkpoint that somebody kept; repeat for several. Those of your own profiles are used by themselves.",
)
@click.option(
    "--older",
    is_flag=True,
    help="Restore it although somebody kept a checkpoint of more records. Ends everybody's sessions, devices and codes.",
)
@json_option
@pass_invocation
def restore(
    invocation: Invocation, backup: Path, directory: Path, kek: Path | None, checkpoints: tuple[Path, ...], older: bool
) -> int:
    """Make the data directory of BACKUP anew as DIRECTORY, verified whole, and say how old it is.

    Needs the key-encryption key. Compares with every checkpoint that is known here and asks the witness.
    Never run two gateways from one backup: their logs would contradict each other.
    """
    try:
        done = restore_backup(
            backup.absolute(),
            directory.absolute(),
            invocation.environment,
            invocation.clock,
            kek=kek,
            checkpoints=checkpoints,
            older=older,
        )
    except OlderThanKept as error:
        return _tell_older(invocation, error)
    _tell(invocation, directory, done)
    return ExitCode.DONE


def _tell_older(invocation: Invocation, error: OlderThanKept) -> int:
    lost = error.known - error.found
    if invocation.as_json:
        output.document(
            {"restored": False, "older": True, "records": error.found, "known": error.known, "kept_by": error.whom}
        )
    output.say(f"refused: this backup is older: {error.found} records, and {error.known} are known ({error.whom})")
    output.say(f"  so {lost} records are missing, and revocations among them would be undone")
    output.say("  next   restore the newest backup that there is; if this is it, add --older: nobody stays logged in")
    return ExitCode.VERIFICATION_FAILED


def _tell(invocation: Invocation, directory: Path, done: Restored) -> None:
    manifest = done.manifest
    if invocation.as_json:
        output.document(
            {
                "restored": True,
                "directory": str(directory),
                "records": manifest.records,
                "records_now": done.records,
                "generation": manifest.generation,
                "taken_at": manifest.at,
                "proven": done.proven,
                "older": done.known is not None,
                "known": done.known,
                "kept_from": list(done.kept_from),
                "witness": done.witness or None,
            }
        )
        return
    output.answer(f"restored {manifest.records} records, taken {output.local_time(manifest.at)}, as {directory}")
    output.say(f"  the restore is on record, too: {done.records} records now, as nomoat status says")
    output.say(f"  with the key-encryption key {done.configuration.kek}")
    if done.witness:
        output.say(f"  {done.witness}")
    if done.known is not None:
        output.say(f"  OLDER: {done.known} records are known; everybody's sessions, devices and codes are ended")
        output.say(
            "  what was erased after it can be read again: erase it again (nomoat audit erase), and destroy the backup"
        )
        output.say(f"  next   nomoat recover {directory} NAME   (a code for an administrator)")
        return
    if done.proven != manifest.records:
        output.say("  whether anything happened after it is not known here; whoever kept a newer checkpoint will tell")
    output.say(f"  next   nomoat serve {directory}")
