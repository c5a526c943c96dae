"""DuckDB as both processes have it: in memory, with no way out, and with limits."""

from typing import Final

import duckdb

_CLOSED: Final = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    # A name that is no table must not become a variable of the Python code around it.
    "python_enable_replacements": "false",
    "temp_directory": "",
    "home_directory": "/nowhere",
    "secret_directory": "/nowhere",
    "async_threads": "1",
}


def connect(memory: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open an empty database that may use `memory` bytes and so many threads."""
    limits = {"memory_limit": f"{memory // (1 << 20)}MiB", "threads": str(threads)}
    return duckdb.connect(":memory:", config={**_CLOSED, **limits})
