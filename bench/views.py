"""Queries over a masked view beside the same queries over the raw rows in DuckDB, and what a query costs besides."""

import asyncio
import contextlib
import io
import time

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Figure
from nomoat.core.names import Classification
from nomoat.core.view import Column, Comparison, Condition, Mask, View
from nomoat.resources.repositories.views import Question, Source
from nomoat.server.querying import Limits, Queries, QueryProcess

ROWS = 2_000_000
ROUNDS = 5
SQL = "SELECT plan, born, count(*) AS n, avg(income) AS income, count(DISTINCT customer) AS c FROM masked GROUP BY ALL"
VIEW = View(
    "masked",
    Classification.INTERNAL,
    ("*.parquet",),
    (
        Column("customer", Mask.PSEUDONYM),
        Column("email", Mask.REDACT),
        Column("born", Mask.TRUNCATE, to="year"),
        Column("zip", Mask.TRUNCATE, keep=2),
        Column("income", Mask.BUCKET, width=1000),
        Column("plan"),
    ),
    (Condition("country", Comparison.AMONG, ("DE", "FR", "US")),),
    project="bench",
    k=5,
    quasi_identifiers=("born", "zip"),
)


def measure() -> list[Figure]:
    """The times of one aggregate over two million rows."""
    raw = _rows()
    with duckdb.connect() as database:
        database.register("raw", raw)
        database.execute("CREATE TABLE masked AS SELECT * REPLACE (date_trunc('year', born) AS born) FROM raw")
        plain = min(_timed(lambda: database.execute(SQL).fetchall()) for _ in range(ROUNDS))
    made, query, small = asyncio.run(_through_the_engine(raw))
    return [
        Figure("masked query over 2M rows, raw DuckDB", query / plain, "×", "at most", 2, f"{query * 1000:.0f} ms"),
        Figure("making a view of 2M rows", made, "s", "at most", 20, "pseudonyms, buckets, k = 5"),
        Figure("the smallest query over a view", small * 1000, "ms", "at most", 500, "a process of its own"),
    ]


async def _through_the_engine(raw: pa.Table) -> tuple[float, float, float]:
    sink = io.BytesIO()
    pq.write_table(raw, sink)
    content = sink.getvalue()
    source = Source("parquet", len(content), lambda: contextlib.nullcontext(iter([content])))
    process = QueryProcess()
    queries = Queries(process, Limits())
    try:
        began = time.perf_counter()
        await _asked(queries, source, "SELECT 1")
        made = time.perf_counter() - began
        times = [await _asked(queries, source, SQL) for _ in range(ROUNDS)]
        small = [await _asked(queries, source, "SELECT count(*) FROM masked") for _ in range(ROUNDS)]
    finally:
        queries.close()
        process.end()
    return made, min(times), min(small)


async def _asked(queries: Queries, source: Source, sql: str) -> float:
    began = time.perf_counter()
    async with queries.answer(Question("person:a", "r", "v", VIEW, b"k" * 32, [source], sql)) as answer:
        async for _ in answer.parts:
            pass
    return time.perf_counter() - began


def _timed(work: object) -> float:
    began = time.perf_counter()
    assert callable(work)
    work()
    return time.perf_counter() - began


def _rows() -> pa.Table:
    chance = np.random.default_rng(7)
    customers = chance.integers(0, 500_000, ROWS)
    days = pa.array(chance.integers(0, 18_000, ROWS), pa.int32()).cast(pa.date32())
    emails = pa.array([f"p{number}@example.org" for number in range(500_000)]).take(pa.array(customers))
    choose = {
        name: pa.array(values)
        for name, values in {"plan": ["a", "b", "c"], "country": ["DE", "FR", "US", "GB"]}.items()
    }
    return pa.table(
        {
            "customer": pa.array(customers),
            "email": emails,
            "born": days,
            "zip": pa.array(chance.integers(10_000, 99_999, ROWS)).cast(pa.string()),
            "income": pa.array(chance.gamma(4, 10_000, ROWS)),
            **{name: values.take(pa.array(chance.integers(0, len(values), ROWS))) for name, values in choose.items()},
        }
    )
