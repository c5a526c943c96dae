"""The profiler: a process of the gateway's own that works out what the rows of contents are like (`nomoat.inspection`).

Rules: `python -P -m nomoat.server.profiler`, started by the gateway when somebody first compares versions, and by nothing
else. It answers as the scanner does (`nomoat.server.scanner`), a child for each question, confined before it reads a byte;
it is a process of its own because DuckDB, which reads Parquet there, is more than a scan should load. A question is
`{"size": SIZE, "key": HEX}`: the key of its hashes opens nothing.
"""

import base64
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from nomoat.core.errors import NoMoatError
from nomoat.core.profile import described
from nomoat.inspection.profiling.profile import connect, profile
from nomoat.server.scanner import Ranges, serve

NICENESS: Final = 10
"""Whoever is served, or publishes, comes first."""


def _profiles(channel: int) -> Callable[[object], Sequence[object]]:
    database = connect()

    def profiles(question: Any) -> Sequence[object]:
        size, key = int(question["size"]), bytes.fromhex(question["key"])
        found = profile(Ranges(channel, 0, size), size, key, database)
        return [described(found) | {"signatures": base64.b64encode(found.signatures).decode()}]

    return profiles


if __name__ == "__main__":
    try:
        sys.exit(serve(_profiles, NICENESS))
    except (NoMoatError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
