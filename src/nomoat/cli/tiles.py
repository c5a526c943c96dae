"""`audit tiles`: the log as static files, for tools that are not ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option

TELL_EVERY_S: Final = 2.0


class Progress:
    """Tells how far long work is, every few seconds; short work says nothing. `clock` gives seconds."""

    def __init__(self, things: str, clock: Callable[[], float]) -> None:
        self._things = things
        self._clock = clock
        self._told = clock()

    def tell(self, done: int, total: int) -> None:
        """Hear that `done` of `total` are done."""
        now = self._clock()
        if now - self._told >= TELL_EVERY_S:
            self._told = now
            output.say(f"  {done} of {total} {self._things} ({done * 100 // total} %)")


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--hashes-only", is_flag=True, help="Leave the entries out: what is written is then public, and anybody may do it."
)
@profile_option
@json_option
@pass_invocation
def tiles(invocation: Invocation, directory: Path, hashes_only: bool) -> None:
    """Write the log into DIRECTORY as static files for others' tools.

    The files are those of c2sp.org/tlog-tiles, and any web server can serve them. Each is verified before it is
    written, and the checkpoint is written last; another run adds what is new. Entries (pseudonyms, no names) need
    the right to read them, and each reading is recorded; only you and your group may read their files.
    """
    progress = Progress("files", invocation.clock)
    with invocation.session() as session:
        done = session.tiles(directory, entries=not hashes_only, told=progress.tell)
    if invocation.as_json:
        output.document(
            {
                "directory": str(directory),
                "size": done.size,
                "root": done.root.hex(),
                "before": done.before,
                "written": done.written,
                "entries": not hashes_only,
            }
        )
        return
    files = output.counted(done.written, "file")
    output.answer(f"{directory} holds the log of {output.counted(done.size, 'record')}; {files} written")
    if not hashes_only:
        output.say("  note   tile/entries says in pseudonyms who did what: serve it to those alone who may know")


COMMANDS = (tiles,)
