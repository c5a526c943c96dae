"""The indexer: a process of the gateway's own that keeps the index beside the log.

Rules: `python -m nomoat.server.indexer DIRECTORY LOG` (the log's public key), started by the gateway and by
nothing else; it ends when the gateway does (its standard input closes). It is a process so that its work takes no time of the event
loop's: it opens every record, which would cost the path more than the path itself. It reads the log and the
keys and writes nothing but the index. On its standard input comes, a line each time, how many records are
durable; on its standard output goes how many are in the index.
"""

import os
import select
import sys
from pathlib import Path
from typing import Final

from nomoat.audit.checkpoint import VerifierKey, parse_verifier_key
from nomoat.audit.indexing import Indexer
from nomoat.core.errors import NoMoatError
from nomoat.server.names import INDEX_FILE
from nomoat.server.subprocesses import opened
from nomoat.stores.postings import Damaged

NICENESS: Final = 2
"""It gives way to the gateway a little where processors are few."""


def main(directory: Path, log: VerifierKey) -> int:
    """Keep the index of a data directory until standard input closes; return the exit code."""
    with opened(directory, NICENESS) as parts:
        indexer = Indexer(
            directory / "log",
            directory / INDEX_FILE,
            parts.kek.derive("index"),
            log,
            parts.pseudonyms,
            parts.subject_keys,
            parts.subject_keys.newest_erasure,
        )
        try:
            _follow(indexer)
        finally:
            indexer.close()
    return 0


def _follow(indexer: Indexer) -> None:
    durable, more = 0, False
    told = _Told()
    while True:
        newest = told.newest(wait=not more)
        if newest is None:
            return
        durable = max(durable, newest)
        more = indexer.follow(durable)
        sys.stdout.write(f"{indexer.size}\n")
        sys.stdout.flush()


class _Told:
    """The numbers that come on standard input."""

    def __init__(self) -> None:
        self._rest = b""

    def newest(self, *, wait: bool) -> int | None:
        """Return the newest number that came, 0 if none did; None when no more will come."""
        newest = 0
        while select.select([0], [], [], None if wait else 0)[0]:
            wait = False
            part = os.read(0, 4096)
            if not part:
                return None
            *lines, self._rest = (self._rest + part).split(b"\n")
            newest = max([newest, *map(int, lines)])
        return newest


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), parse_verifier_key(sys.argv[2])))
    except (NoMoatError, Damaged, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
