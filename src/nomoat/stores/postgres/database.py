"""The database: connections that may do nothing but what a transaction takes on, and what is refused to be connected to."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import resources
from typing import Final, final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from nomoat.core.errors import Malformed, Unavailable

READER: Final = "nomoat_reader"
WRITER: Final = "nomoat_writer"
CONNECTIONS: Final = 4
STATEMENT_MS: Final = 30_000
CONNECT_S: Final = 5
_LOOPBACK: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})

_LOGIN: Final = text(
    "SELECT bool_or(rolsuper OR rolbypassrls) FROM pg_roles WHERE rolname IN (session_user, 'nomoat_reader', 'nomoat_writer')"
)
_SEEN: Final = text(
    "SELECT count(*) FROM pg_policies WHERE schemaname = 'nomoat' AND policyname <> 'permitted' AND EXISTS (SELECT FROM unnest(roles)"
    " AS role WHERE CASE role WHEN 'public' THEN true ELSE pg_has_role('nomoat_reader', role, 'MEMBER') END)"
)
_OWNED: Final = text(
    "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('nomoat') AND pg_has_role(session_user, relowner, 'MEMBER')"
)
_UNFORCED: Final = text(
    "SELECT count(*) FILTER (WHERE relrowsecurity AND relforcerowsecurity) FROM pg_class"
    " WHERE relnamespace = to_regnamespace('nomoat') AND relkind = 'r' AND relname IN ('access', 'document', 'passage', 'posting')"
)
_APPROXIMATE: Final = text(
    "SELECT count(*) FROM pg_class JOIN pg_am ON pg_am.oid = relam"
    " WHERE relnamespace = to_regnamespace('nomoat') AND amname IN ('hnsw', 'ivfflat')"
)


def schema() -> str:
    """The SQL that makes the tables, roles and policies."""
    return resources.files(__name__.rpartition(".")[0]).joinpath("schema.sql").read_text("utf-8")


def parse_url(said: str) -> URL:
    """Where a database is, as libpq has it. Raises `Malformed` for one that is not verified on its way, or has a password in it."""
    try:
        url = make_url(said)
    except ArgumentError:
        url = None
    if url is None or url.drivername not in {"postgresql", "postgres"} or not url.database or not url.username:
        raise Malformed("a PostgreSQL database is written postgresql://USER@HOST/DATABASE")
    if url.password:
        raise Malformed("a password does not stand in the address: give password_file")
    socket = str(url.query.get("host", ""))
    here = socket.startswith("/") or (not socket and (url.host or "") in _LOOPBACK)
    if not here and url.query.get("sslmode") != "verify-full":
        raise Malformed("a database on another machine is reached with ?sslmode=verify-full&sslrootcert=FILE")
    return url.set(drivername="postgresql+psycopg")


@final
class Database:
    """A database. Nothing is asked before the first transaction, which begins with what is refused."""

    def __init__(self, url: str, password: str = "") -> None:
        whole = parse_url(url)
        self._engine = create_engine(
            whole.set(password=password) if password else whole,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=CONNECT_S,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_S,
                "options": f"-c statement_timeout={STATEMENT_MS} -c idle_in_transaction_session_timeout={STATEMENT_MS}",
            },
        )
        self._checked = False

    @contextmanager
    def reading(self, permitted: str) -> Generator[Connection]:
        """A transaction that sees, of one instant, what `permitted` names (an array of numbers, as PostgreSQL writes it)."""
        with self._begun("REPEATABLE READ, READ ONLY", READER) as connection:
            connection.execute(
                text("SELECT set_config('nomoat.permitted', :permitted, true)"), {"permitted": permitted}
            )
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction that may change documents, and see all; in force at its end."""
        with self._begun("READ COMMITTED, READ WRITE", WRITER) as connection:
            yield connection

    @contextmanager
    def _begun(self, mode: str, role: str) -> Generator[Connection]:
        """Raises `Unavailable`, for a database that may not be used, too."""
        try:
            with self._engine.begin() as connection:
                connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL {mode}"))
                if not self._checked:
                    _require(connection)
                    self._checked = True
                connection.execute(text(f"SET LOCAL ROLE {role}"))
                yield connection
        except NoConnection:
            raise Unavailable("postgres", "every connection to the database is busy; try again") from None
        except DBAPIError as error:
            raise Unavailable("postgres", f"the database failed ({_said(error)})") from error

    def close(self) -> None:
        """End its connections."""
        self._engine.dispose()


def _require(connection: Connection) -> None:
    """Raise `Unavailable` for a database in which row-level security would not hold, or answers would not be exact."""
    if connection.scalar(_LOGIN):
        raise Unavailable("postgres", "the gateway's login may bypass row-level security: give it one that may nothing")
    if connection.scalar(_SEEN):
        raise Unavailable("postgres", "nomoat_reader is shown more than a transaction permits: it has other policies")
    if connection.scalar(_UNFORCED) != 4:
        raise Unavailable(
            "postgres",
            "row-level security is not forced, or the tables are not there: make them by nomoat index schema",
        )
    if connection.scalar(_OWNED):
        raise Unavailable("postgres", "the gateway's login owns the tables: have another role own them")
    if connection.scalar(_APPROXIMATE):
        raise Unavailable("postgres", "there is an approximate index, whose answers depend on what is hidden: drop it")


def _said(error: DBAPIError) -> str:
    """The kind of error, which has nothing of what was asked."""
    code: object = getattr(error.orig, "sqlstate", None)
    return str(code) if code else type(error.orig).__name__
