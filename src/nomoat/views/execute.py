"""Execute: one SELECT over a materialised view, its answer as an Arrow stream within limits.

Rules: the view is Arrow memory that nobody can change, and the only table; the database has no way out and its settings are
locked before the caller's SQL is parsed. Whatever is no single SELECT is refused unrun. Limits of time and memory are
those of the process; those of the answer are kept here.
"""

from importlib import import_module
from typing import Any, Final

import duckdb

from nomoat.views.duck import connect
from nomoat.views.said import Bounds, Ending

pyarrow: Any = import_module("pyarrow")  # it comes without types
ipc: Any = import_module("pyarrow.ipc")

BATCH: Final = 16_384  # rows of the answer at a time
LONGEST_SAID: Final = 500  # characters of an error that the caller is told


class Unanswerable(ValueError):
    """There is no answer; the message is for the caller, `ending` says why."""

    def __init__(self, ending: Ending, said: str) -> None:
        super().__init__(said)
        self.ending = ending


def execute(view: Any, name: str, sql: str, bounds: Bounds) -> tuple[int, Any]:
    """Run `sql` over the Arrow stream `view` (a buffer) as the table `name`: how many rows, and their Arrow stream.

    Raises `Unanswerable`.
    """
    try:
        with connect(bounds.memory, bounds.threads) as database:
            # Scanned where it lies: a copy into DuckDB's own form costs more than most queries.
            database.register(name, ipc.open_stream(view).read_all())
            database.execute("SET lock_configuration = true")
            return _answered(database.sql(_single(database, sql)), bounds)
    except (MemoryError, duckdb.OutOfMemoryException, pyarrow.ArrowMemoryError):
        raise Unanswerable(Ending.MEMORY, "the query needs more memory than a query may use") from None
    except (duckdb.Error, pyarrow.ArrowException) as error:
        raise Unanswerable(Ending.SQL, str(error)[:LONGEST_SAID]) from None


def _single(database: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = database.extract_statements(sql)
    try:
        selects = [each.type == duckdb.StatementType.SELECT for each in statements]
    except ValueError:  # of a sort that its Python code does not know
        selects = []
    if selects != [True]:
        raise Unanswerable(Ending.STATEMENT, "a view is queried with one SELECT, and with nothing else")
    return statements[0]


def _answered(result: Any, bounds: Bounds) -> tuple[int, Any]:
    reader = result.to_arrow_reader(BATCH)
    sink, rows = pyarrow.BufferOutputStream(), 0
    with ipc.new_stream(sink, reader.schema) as writer:
        for batch in reader:
            rows += batch.num_rows
            if rows > bounds.rows:
                raise Unanswerable(Ending.ROWS, f"the answer has more than {bounds.rows} rows: aggregate, or add LIMIT")
            writer.write_batch(batch)
            if sink.tell() > bounds.size:
                raise Unanswerable(Ending.BYTES, f"the answer has more than {bounds.size} bytes: ask for less of it")
    return rows, sink.getvalue()
