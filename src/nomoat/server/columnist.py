"""The columnist: a process of the gateway's own that makes columns of the log (`nomoat.audit.chunking`).

Rules: `python -m nomoat.server.columnist DIRECTORY`, started by the gateway and by nothing else; it ends when the
gateway does (its standard input closes). It is a process so that its work takes no time of the event loop's, and
gives way to everything else. It reads the log and the keys and writes no file. A line on its standard input, the
number of a record and how many after it, is a chunk to make; on its standard output go a line of JSON, which has
the chunk's length or what went wrong, and the chunk.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

from nomoat.audit.checkpoint import NoteSigner
from nomoat.audit.chunking import Chunker
from nomoat.audit.entries import Pseudonyms
from nomoat.audit.reading import Reader
from nomoat.core.errors import NoMoatError
from nomoat.server.configuration import load_configuration
from nomoat.server.names import log_origin
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys

NICENESS: Final = 10
"""Columns are for those who will ask; whoever is served now comes first."""


def main(directory: Path) -> int:
    """Make chunks until standard input closes; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway ends it, orderly
    os.nice(NICENESS)
    configuration = load_configuration(directory)
    kek = KeyEncryptionKey.load(configuration.kek)
    state = State.open(directory / "state.db", kek.derive("state"))
    try:
        keys = KeyStore(directory / "keys", kek)
        public = NoteSigner(log_origin(configuration), keys.load("log")).key
        reader = Reader(directory / "log", public, Pseudonyms(keys.load("pseudonyms")), StoredSubjectKeys(state, kek))
        chunker = Chunker(reader.walk)
        for line in sys.stdin.buffer:
            after, most = map(int, line.split())
            _answer(chunker, after, most)
    finally:
        state.close()
    return 0


def _answer(chunker: Chunker, after: int, most: int) -> None:
    try:
        made = chunker.make(after, most)
    except NoMoatError as error:
        said, content = {"failed": str(error)}, b""
    else:
        said, content = made._asdict() | {"content": len(made.content)}, made.content
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n" + content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except (NoMoatError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
