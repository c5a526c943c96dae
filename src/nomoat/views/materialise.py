"""Materialise: the files of a version → the rows and columns of a view, masked, filtered and in no order.

Rules: pure but for chance, which takes the rows' order away: two views of the same rows cannot be laid side by side.
Names of columns are data, never SQL: columns have numbers there. What does not come out as it was declared fails
(`BrokenView`), and is never shown as it is.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

from nomoat.core.view import Column, Comparison, Condition, Mask, View
from nomoat.views.duck import connect

# It comes without types.
pyarrow: Any = import_module("pyarrow")
csv: Any = import_module("pyarrow.csv")
ipc: Any = import_module("pyarrow.ipc")
json: Any = import_module("pyarrow.json")
parquet: Any = import_module("pyarrow.parquet")

REDACTED: Final = "[redacted]"
PSEUDONYM_BYTES: Final = 9  # of the HMAC: 72 bits, as 12 characters, which DuckDB compares without a look elsewhere
ROWS: Final = 1 << 16  # that are written at a time
BLOCK: Final = 16 << 20  # of CSV and JSON lines that are parsed at a time; no row is longer


class BrokenView(ValueError):
    """A view cannot be made of these files. The message quotes nothing of them but names that were declared."""


class Source(NamedTuple):
    """A file: one of the formats of `nomoat.core.view`, and its bytes."""

    format: str
    content: memoryview


def made(view: View, key: bytes, sources: Sequence[Source], *, memory: int, threads: int) -> tuple[int, Any]:
    """`materialise` as an Arrow stream (a buffer), and how many rows it has."""
    table = materialise(view, key, sources, memory=memory, threads=threads)
    sink = pyarrow.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=ROWS)
    return table.num_rows, sink.getvalue()


def materialise(view: View, key: bytes, sources: Sequence[Source], *, memory: int, threads: int) -> Any:
    """Return the view as a `pyarrow.Table`; `key` makes its pseudonyms. Raises `BrokenView`, and what DuckDB raises."""
    shown = [column for column in view.columns if column.mask is not Mask.DROP]
    unit = [view.unit] if view.unit else []
    needed = list(dict.fromkeys([*(c.name for c in shown), *(c.column for c in view.conditions), *unit]))
    tables = [_read(source, needed) for source in sources]
    rows = pyarrow.concat_tables(tables, promote_options="permissive")
    numbered = {name: f"c{number}" for number, name in enumerate(needed)}
    rows = rows.rename_columns(list(numbered.values()))
    masks: list[str] = []
    for column in shown:
        if column.mask is Mask.PSEUDONYM:
            rows = rows.append_column(f"p{len(masks)}", _pseudonyms(rows[numbered[column.name]], key))
            masks.append(f"p{len(masks)}")
        else:
            masks.append(_masked(column, numbered[column.name], rows.schema.field(numbered[column.name]).type))
    with connect(memory, threads) as database:
        database.register("source", rows)
        types = {row[0]: row[1] for row in database.execute("DESCRIBE source").fetchall()}
        kept, values = _conditions(view.conditions, numbered, types)
        database.execute("CREATE TABLE masked AS " + _select(masks, kept, numbered.get(view.unit, "NULL")), values)
        database.unregister("source")
        released = database.sql(_released(view, [column.name for column in shown])).to_arrow_table()
    return released.rename_columns([column.name for column in shown])


def _read(source: Source, needed: Sequence[str]) -> Any:
    """The needed columns of a file, in this order."""
    stream = pyarrow.BufferReader(pyarrow.py_buffer(source.content))
    if source.format == "parquet":
        table = parquet.ParquetFile(stream).read(columns=list(needed), use_threads=False)
    elif source.format == "csv":
        table = csv.read_csv(stream, read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK))
    else:
        table = json.read_json(stream, read_options=json.ReadOptions(use_threads=False, block_size=BLOCK))
    for name in needed:
        if len(table.schema.get_all_field_indices(name)) != 1:
            raise BrokenView(f"a file has not exactly one column {name!r:.130}")
    table = table.select(list(needed))
    for number, field in enumerate(table.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.tz is not None:  # as UTC, whatever the zone
            table = table.set_column(number, field.name, table[number].cast(pyarrow.timestamp(field.type.unit)))
    return table


def _pseudonyms(column: Any, key: bytes) -> Any:
    """HMAC-SHA256 (RFC 2104) of each value's text; nothing stays nothing."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pyarrow.ChunkedArray):
        encoded = encoded.combine_chunks()
    texts = encoded.dictionary.cast(pyarrow.string()).to_pylist()
    made = [None if text is None else _pseudonym(key, text.encode()) for text in texts]
    return pyarrow.array(made, pyarrow.string()).take(encoded.indices)


def _pseudonym(key: bytes, value: bytes) -> str:
    return urlsafe_b64encode(hmac.digest(key, value, "sha256")[:PSEUDONYM_BYTES]).decode()


def _masked(column: Column, name: str, type: Any) -> str:
    match column.mask:
        case Mask.NONE:  # plus zero: -0.0 is in one group with 0.0, and must not look different there
            return f"{name} + 0" if pyarrow.types.is_floating(type) else name
        case Mask.REDACT:
            return f"'{REDACTED}'"
        case Mask.TRUNCATE if column.to:
            return f"CAST(date_trunc('{column.to}', {name}) AS DATE)"
        case Mask.TRUNCATE:
            return f"left(CAST({name} AS VARCHAR), {column.keep:d})"
        case Mask.BUCKET:
            bucket = f"floor({name} / {column.width!r}) * {column.width!r}"
            whole = pyarrow.types.is_integer(type) and column.width == int(column.width)
            return f"CAST({bucket} AS BIGINT)" if whole else f"CAST({bucket} + 0 AS DOUBLE)"
        case _:
            raise BrokenView(f"nothing is known of the mask {column.mask}")


def _conditions(
    conditions: Sequence[Condition], numbered: Mapping[str, str], types: Mapping[str, str]
) -> tuple[str, list[object]]:
    """What SQL says of the conditions, and the values that go with it. Without a value, or with NaN, nothing compares."""
    said, values = ["true"], list[object]()
    for condition in conditions:
        name = numbered[condition.column]
        places = ", ".join(f"CAST(? AS {types[name]})" if isinstance(value, str) else "?" for value in condition.values)
        several = condition.comparison in {Comparison.AMONG, Comparison.NOT_AMONG}
        said.append(f"{name} {condition.comparison.value.upper()} {f'({places})' if several else places}")
        values += condition.values
        if types[name] in {"FLOAT", "DOUBLE"}:  # where NaN is more than everything
            said.append(f"NOT isnan({name})")
    return " AND ".join(said), values


def _select(masks: Sequence[str], kept: str, unit: str) -> str:
    shown = ", ".join(f"{mask} AS o{number}" for number, mask in enumerate(masks))
    return f"SELECT {shown}, {unit} AS unit FROM source WHERE {kept}"  # noqa: S608 - of numbers


def _released(view: View, names: Sequence[str]) -> str:
    """What of the masked rows is released: groups of `k` at least, in an order of chance."""
    shown = ", ".join(f"masked.o{number}" for number in range(len(names)))
    if not view.k:
        return f"SELECT {shown} FROM masked ORDER BY random()"  # noqa: S608 - of numbers
    groups = [f"o{names.index(name)}" for name in view.quasi_identifiers]
    counted = "count(DISTINCT unit)" if view.unit else "count(*)"
    same = " AND ".join(f"masked.{group} IS NOT DISTINCT FROM large.{group}" for group in groups)
    large = f"SELECT {', '.join(groups)} FROM masked GROUP BY ALL HAVING {counted} >= {view.k:d}"  # noqa: S608 - of numbers
    return f"WITH large AS ({large}) SELECT {shown} FROM masked JOIN large ON {same} ORDER BY random()"  # noqa: S608 - of numbers
