"""The columnist: a process of the gateway's own that makes columns of the log (`nomoat.audit.chunking`).

Rules: `python -m nomoat.server.columnist DIRECTORY LOG` (the log's public key), started by the gateway and by nothing else; it ends when the
gateway does (its standard input closes). It is a process so that its work takes no time of the event loop's, and
gives way to everything else. It reads the log and the keys and writes no file. A line on its standard input, the
number of a record and how many after it, is a chunk to make; on its standard output go a line of JSON, which has
the chunk's length or what went wrong, and the chunk.
"""

import json
import sys
from pathlib import Path
from typing import Final

from nomoat.audit.checkpoint import VerifierKey, parse_verifier_key
from nomoat.audit.chunking import Chunker
from nomoat.audit.reading import Reader
from nomoat.core.errors import NoMoatError
from nomoat.server.subprocesses import opened

NICENESS: Final = 10
"""Columns are for those who will ask; whoever is served now comes first."""


def main(directory: Path, log: VerifierKey) -> int:
    """Make chunks until standard input closes; return the exit code."""
    with opened(directory, NICENESS) as parts:
        reader = Reader(directory / "log", log, parts.pseudonyms, parts.subject_keys)
        chunker = Chunker(reader.walk)
        for line in sys.stdin.buffer:
            after, most = map(int, line.split())
            _answer(chunker, after, most)
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
        sys.exit(main(Path(sys.argv[1]), parse_verifier_key(sys.argv[2])))
    except (NoMoatError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
