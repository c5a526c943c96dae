"""What a gateway needs besides its data directory: the key management that is configured, and optional packages.

Rules: as of `nomoat doctor`. Key management is asked to wrap a key that nothing uses, and to unwrap it: that it
unwraps the key-encryption key was seen before, and rotating needs both.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from nomoat.core.directory import Directory
from nomoat.core.errors import Unavailable
from nomoat.core.retrieval import POSTGRES, ModelDirectory
from nomoat.resources.directory.document import load
from nomoat.server.configuration import Configuration
from nomoat.server.findings import Finding, Health
from nomoat.server.postgres import PostgresSettings
from nomoat.server.retrieval import plaintext_of
from nomoat.stores.embedders import contents_of, digest_of
from nomoat.stores.keyring import Keyring
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.kms.local import LocalFile
from nomoat.stores.state.look import look_at_state

KEY_MANAGEMENT = "key management"
PACKAGES = "packages"
EMBEDDERS = "embedders"
DATABASE = "postgres"


def key_management(keyring: Keyring) -> Iterator[Finding]:
    """Look at the key management that keeps a key-encryption key which was just read."""
    name = keyring.kms.name
    if name == LocalFile.name:
        return
    try:
        keyring.probe()
    except Unavailable as error:
        said, advice = parted(error)
        yield Finding(KEY_MANAGEMENT, Health.ADVICE, f"{said}; until it does, no key is rotated", advice)
    else:
        yield Finding(KEY_MANAGEMENT, Health.GOOD, f"{name} answers: it unwraps the key-encryption key, and wraps anew")


def parted(error: Unavailable) -> tuple[str, str]:
    """What key management says that is wrong, and what it says to do."""
    said, _, advice = error.reason.rpartition(": ")
    return (said, advice) if said else (advice, "correct [keys] in nomoat.toml")


def packages(configuration: Configuration, state: Path, kek: KeyEncryptionKey) -> Iterator[Finding]:
    """Look for the optional packages that the configuration and the newest declaration ask for."""
    declared = _declared(state, kek)
    repositories = declared.repositories.values()
    wanted = [
        ("query", "pyarrow", "views are declared", any(each.views for each in repositories)),
        ("retrieval", "pypdf", "indexes are declared", bool(declared.indexes)),
        ("postgres", "psycopg", "nomoat.toml has [postgres]", bool(configuration.postgres)),
        ("metrics", "opendp", "metrics are declared", any(each.metrics for each in repositories)),
        ("traces", "opentelemetry", "traces are asked for", bool(configuration.traces)),
    ]
    needed = [(extra, package, why) for extra, package, why, is_wanted in wanted if is_wanted]
    missing = [each for each in needed if find_spec(each[1]) is None]
    for extra, package, why in missing:
        # Without the others it serves, and refuses what needs them.
        health = Health.BAD if extra in {"traces", "postgres"} else Health.ADVICE
        advice = f"in the gateway's environment: pip install 'nomoat[{extra}]'"
        yield Finding(PACKAGES, health, f"{why}, and {package} is not installed", advice)
    if not missing:
        of = f"{', '.join(package for _, package, _ in needed)} is there" if needed else "nothing declared needs more"
        yield Finding(PACKAGES, Health.GOOD, of)


def database(settings: PostgresSettings) -> Iterator[Finding]:
    """Look whether the database of indexes is there, and would refuse by itself."""
    if find_spec("psycopg") is None:  # said by `packages`
        return
    there = plaintext_of(settings)
    try:
        if there is not None:
            there.store.generation("")
    except Unavailable as error:
        said, _, advice = error.reason.partition(": ")
        yield Finding(DATABASE, Health.ADVICE, said, advice or "see that it runs, and docs/guides/postgresql.md")
    else:
        yield Finding(
            DATABASE, Health.GOOD, f"it is there, refuses by itself, and may have what is {settings.highest} at most"
        )
    finally:
        if there is not None:
            there.store.close()


def undeclared(configuration: Configuration, state: Path, kek: KeyEncryptionKey) -> Iterator[Finding]:
    """Look for indexes that are kept in a database which the configuration does not have."""
    kept = [index.name for index in _declared(state, kek).indexes.values() if index.back_end == POSTGRES]
    if kept and configuration.postgres is None:
        said = f"the index {kept[0]} is kept in PostgreSQL, and nomoat.toml has no [postgres]"
        advice = "write there where the database is, with the gateway stopped: docs/guides/postgresql.md"
        yield Finding(DATABASE, Health.ADVICE, said, advice)


def embedders(state: Path, kek: KeyEncryptionKey) -> Iterator[Finding]:
    """Look whether the directories that indexes have as embedders are those that were pinned."""
    found = {index.embedder: index.name for index in _declared(state, kek).indexes.values()}
    for declared, index in found.items():
        if not isinstance(declared, ModelDirectory):
            continue
        try:
            same, why = digest_of(contents_of(Path(declared.path))) == declared.sha256, "its files are others"
        except Unavailable as error:
            same, why = False, error.reason
        if same:
            yield Finding(EMBEDDERS, Health.GOOD, f"{declared.path} is as it was pinned")
        else:
            advice = f"put back what was pinned, or declare it anew: nomoat index pin {declared.path}"
            said = f"the index {index} is searched by keywords alone: of {declared.path}, {why}"
            yield Finding(EMBEDDERS, Health.ADVICE, said, advice)


def _declared(state: Path, kek: KeyEncryptionKey) -> Directory:
    with look_at_state(state, kek.derive("state")) as look:
        return load(*newest) if (newest := look.declaration()) else Directory()
