"""The indexer: a process of the gateway's own that keeps the index beside the log.

Rules: `python -m nomoat.server.indexer DIRECTORY`, started by the gateway and by nothing else; it ends when
the gateway does (its standard input closes). It is a process so that its work takes no time of the event
loop's: it opens every record, which would cost the path more than the path itself. It reads the log and the
keys and writes nothing but the index. On its standard input comes, a line each time, how many records are
durable; on its standard output goes how many are in the index.
"""

import os
import select
import signal
import sys
from pathlib import Path
from typing import Final

from nomoat.audit.entries import Pseudonyms
from nomoat.audit.indexing import Indexer
from nomoat.core.errors import NoMoatError
from nomoat.server.configuration import load_configuration
from nomoat.server.names import INDEX_FILE, log_origin
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.postings import Damaged
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys

NICENESS: Final = 2
"""It gives way to the gateway a little where processors are few."""


def main(directory: Path) -> int:
    """Keep the index of a data directory until standard input closes; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway ends it, orderly
    os.nice(NICENESS)
    configuration = load_configuration(directory)
    kek = KeyEncryptionKey.load(configuration.kek)
    state = State.open(directory / "state.db", kek.derive("state"))
    try:
        pseudonyms = Pseudonyms(KeyStore(directory / "keys", kek).load("pseudonyms"))
        keys = StoredSubjectKeys(state, kek)
        indexer = Indexer(
            directory / "log",
            directory / INDEX_FILE,
            kek.derive("index"),
            log_origin(configuration),
            pseudonyms,
            keys,
            keys.newest_erasure,
        )
        try:
            _follow(indexer)
        finally:
            indexer.close()
    finally:
        state.close()
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
        sys.exit(main(Path(sys.argv[1])))
    except (NoMoatError, Damaged, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
