"""Documents of indexes in PostgreSQL with pgvector, which refuses by itself what a transaction does not name as permitted.

Rules: what lies there lies in plaintext. A connection reads or writes in a role that it takes for one transaction; the login that
it has may do nothing by itself, and is refused if it may. Answers are exact: there is no approximate index, and one that
somebody made is refused. `schema.sql` is what a database administrator runs.
"""

from nomoat.stores.postgres.database import Database, parse_url, schema
from nomoat.stores.postgres.documents import Changed, Group, Head, Heads, PostgresDocuments, Written
from nomoat.stores.postgres.searching import Nearest, Reading, Stale

__all__ = [
    "Changed",
    "Database",
    "Group",
    "Head",
    "Heads",
    "Nearest",
    "PostgresDocuments",
    "Reading",
    "Stale",
    "Written",
    "parse_url",
    "schema",
]
