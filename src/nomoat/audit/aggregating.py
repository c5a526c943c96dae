"""The process that makes and asks columns: `python -m nomoat.audit.aggregating`, and nothing else runs in it.

Rules: it has no key, no environment and no file of ours but the descriptors that it was given, which are
memory and not disk; it can write no file larger than nothing when it answers. What it is asked comes on
its standard input, what it answers goes to its standard output.
"""

import json
import resource
import sys
from typing import Any, Final

from nomoat.audit.columns import connect, row_types
from nomoat.audit.counted import TYPES

# Outcomes whose access began too long before to be told with them: here it is looked up.
_LATE: Final = "CREATE TEMP TABLE late AS SELECT n, \"of\", \"at\", decision, why, bytes FROM told WHERE kind = 'outcome' AND who_kind = ''"
_COMPLETED: Final = """
    FROM told WHERE NOT (kind = 'outcome' AND who_kind = '')
    UNION ALL BY NAME
    SELECT told.* REPLACE (late.n AS n, 'outcome' AS kind, late."of" AS "of", late."at" AS "at", late.bytes AS bytes,
        late.decision AS decision, if(late.decision = 'deny', late.why, told.why) AS why)
    FROM late JOIN told ON told.n = late."of"
"""


def make(target: int, source: int) -> None:
    """Make one Parquet file, in descriptor `target`, of the rows in `source` (JSON lines)."""
    with connect() as connection:
        rows = f"read_json('/proc/self/fd/{source}', format = 'newline_delimited', columns = {row_types(TYPES)})"
        connection.execute(
            f"COPY (FROM {rows}) TO '/proc/self/fd/{target}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
        )


def answer(question: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a statement over Parquet descriptors (`chunks`) and one of JSON lines (`rest`)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    paths = [f"/proc/self/fd/{each}" for each in question["chunks"]]
    rest = f"/proc/self/fd/{question['rest']}"
    with connect() as connection:
        connection.execute(f"SET allowed_paths = {[*paths, rest]!r}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        parts = [f"FROM read_json('{rest}', format = 'newline_delimited', columns = {row_types(TYPES)})"]
        if paths:
            parts.append(f"FROM read_parquet({paths!r})")
        connection.execute(f"CREATE TEMP VIEW told AS {' UNION ALL BY NAME '.join(parts)}")
        connection.execute(_LATE)
        late = connection.execute("SELECT count(*) FROM late").fetchall()[0][0]
        connection.execute(f"CREATE TEMP VIEW log AS {_COMPLETED if late else 'FROM told'}")
        found = connection.execute(question["sql"], question["values"])
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def main() -> None:
    """Do what standard input says, once."""
    question = json.load(sys.stdin)
    if "make" in question:
        make(question["make"], question["rest"])
    else:
        json.dump(answer(question), sys.stdout)


if __name__ == "__main__":
    main()
