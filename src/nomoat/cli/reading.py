"""How much of a model's files has been read, on a terminal."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from nomoat.cli import output
from nomoat.client.snapshots import SnapshotFile

Watch = Callable[[Sequence[SnapshotFile]], Callable[[int], None]]


@contextmanager
def reading(*, shown: bool) -> Generator[Watch]:
    """Show on a terminal (standard error) how much has been read."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:

        def watch(files: Sequence[SnapshotFile]) -> Callable[[int], None]:
            total = sum(file.size for file in files)
            task = progress.add_task(f"reading {output.counted(len(files), 'file')}", total=total)
            return lambda count: progress.advance(task, count)

        yield watch
