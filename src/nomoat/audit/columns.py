"""Columns: rows of the log as Parquet, by DuckDB.

Rules: nothing is written but the file that was named, and nothing but the rows is read: DuckDB gets
them through a pipe and has no temporary directory. Memory is bounded.
"""

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import duckdb

from nomoat.audit.tabular import COLUMNS
from nomoat.core.errors import Unavailable

MEMORY: Final = "256MB"
_ROW: Final = {column.name: "BIGINT" if column.numeric else "VARCHAR" for column in COLUMNS}


def connect() -> duckdb.DuckDBPyConnection:
    """Return an empty database in memory that loads nothing from elsewhere and spills nowhere."""
    connection = duckdb.connect(":memory:", config={"threads": 2, "async_threads": 0, "memory_limit": MEMORY})
    connection.execute("SET temp_directory = ''")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    return connection


def row_types(types: Mapping[str, str] = _ROW) -> str:
    """Return the types of a row's columns as DuckDB writes them."""
    return f"{{{', '.join(f'{name!r}: {of!r}' for name, of in types.items())}}}"


def write_parquet(rows: Iterable[bytes], path: Path) -> None:
    """Write rows (JSON lines of `tabular.json_row`, cut anywhere) as one Parquet file.

    Whatever `rows` raises is raised here, and then there is no file. Raises `Unavailable` when the
    file cannot be written.
    """
    reading, writing = os.pipe()
    failed: list[BaseException] = []

    def feed() -> None:
        try:
            with os.fdopen(writing, "wb") as pipe:
                for part in rows:
                    pipe.write(part)
        except BrokenPipeError:
            pass  # DuckDB gave up, and says why
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
            failed.append(error)

    source = f"read_json('/dev/fd/{reading}', format = 'newline_delimited', columns = {row_types()})"
    feeder = threading.Thread(target=feed, name="rows")
    feeder.start()
    try:
        with connect() as connection:
            connection.execute(
                f"COPY (FROM {source}) TO ? (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)", [str(path)]
            )
    except duckdb.Error as error:
        failed.append(Unavailable("export", f"the Parquet file cannot be written ({error})"))
    finally:
        os.close(reading)
        feeder.join()
    if failed:
        path.unlink(missing_ok=True)
        raise failed[0]
