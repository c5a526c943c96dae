"""`nomoat init`: a trust domain from nothing, and the first administrator's one-time code.

Rules: every key has one purpose; the key-encryption key lies outside the data directory. What exists
is never overwritten. What fails takes back what it made; what was killed leaves a directory that
`nomoat serve` refuses.
"""

import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Connection

from nomoat.core.errors import Conflict, Unavailable
from nomoat.core.names import parse_subject_name
from nomoat.core.principal import PrincipalKind
from nomoat.core.record import system_record
from nomoat.identity import CertificateAuthority, TrustDomain, create_key
from nomoat.policy.defaults import starter_policies
from nomoat.resources.directory.directory import declare
from nomoat.resources.policies import install
from nomoat.server.assembly import open_gateway
from nomoat.server.configuration import FILE, Configuration, is_unfinished
from nomoat.server.lock import LOCK, locked
from nomoat.server.resources import Clock
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.state import State

FIRST_DECLARATION: Final = """
[[group]]
name = "administrators"
[[group]]
name = "auditors"
[[person]]
name = "{admin}"
groups = ["administrators", "auditors"]
clearance = "internal"
"""


@dataclass(frozen=True, slots=True)
class Initialized:
    """What `initialize` made: the first administrator's code, and the log's verifier key."""

    code: str
    log_key: str


async def initialize(directory: Path, configuration: Configuration, admin: str, clock: Clock) -> Initialized:
    """Make a data directory, with `admin` as its first administrator and auditor.

    Raises `Conflict` when the directory holds anything or the key-encryption key exists, `Unavailable`
    when the disk fails, `Malformed` for a bad name; then there is nothing that was not there before.
    """
    parse_subject_name(admin)
    trust_domain = TrustDomain(configuration.trust_domain)
    _require_free(directory, configuration.kek)
    with _made(directory), locked(directory), _emptied(directory), _taken_back(configuration.kek) as kek:
        _create_keys(KeyStore(directory / "keys", kek), trust_domain, clock())
        await _create_state(directory, kek, admin, clock())
        async with open_gateway(directory, configuration, clock) as gateway:
            content = {"trust_domain": trust_domain.name, "administrator": admin}
            await gateway.log.append(system_record("Initialize", content))
            code, _ = await gateway.identity.enroll(PrincipalKind.PERSON, admin)
            log_key = str(gateway.log.verifier_key)
        public = directory / "public"
        public.mkdir(mode=0o755)
        (public / "log.vkey").write_text(log_key + "\n")
        (public / "ca.pem").write_text(gateway.identity.authority.certificate)
        # Last: without its configuration the directory is not one.
        (directory / FILE).write_text(configuration.dump())
        (directory / FILE).chmod(0o600)
    return Initialized(code, log_key)


def _require_free(directory: Path, kek: Path) -> None:
    """Refuse, before anything is made, what would have to be overwritten."""
    if kek.resolve().is_relative_to(directory.resolve()):
        raise Conflict("the key-encryption key must lie outside the data directory; choose another --kek FILE")
    if (directory / FILE).exists():
        raise Conflict(f"{directory} is a data directory already; run: nomoat serve {directory}")
    if is_unfinished(directory):
        raise Conflict(f"{directory} was left by a nomoat init that did not finish; remove it and run that again")
    _require_empty(directory)
    if os.path.lexists(kek):
        raise Conflict(
            f"there is a key-encryption key at {kek} already, and it is never overwritten; name another place with "
            "--kek FILE, or move the old key away if its data directory is gone"
        )


def _require_empty(directory: Path) -> None:
    """Refuse a directory that holds anything, the lock of a caller who holds it aside."""
    try:
        found = any(path.name != LOCK for path in directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable("data directory", f"{directory} cannot be used: {error.strerror}") from error
    if found:
        raise Conflict(f"{directory} is not empty; choose a new directory")


@contextmanager
def _made(directory: Path) -> Generator[None]:
    """Make a directory and those above it; on a failure inside, remove those that were made and are empty."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable("data directory", f"{directory} cannot be made: {error.strerror}") from error
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def _emptied(directory: Path) -> Generator[None]:
    """Remove, on a failure inside, what lies in a directory whose lock the caller holds and that was empty."""
    _require_empty(directory)  # again: another call may have come between the first look and the lock
    try:
        yield
    except BaseException:
        for path in directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()
        raise


@contextmanager
def _taken_back(path: Path) -> Generator[KeyEncryptionKey]:
    """Make the key-encryption key; on a failure inside, remove it. Somebody else's is never touched."""
    missing = [parent for parent in path.parents if not parent.exists()]
    made = False
    try:
        kek = KeyEncryptionKey.create(path)
        made = True
        yield kek
    except BaseException:
        with suppress(OSError):
            if made:
                path.unlink()
            for parent in missing:
                parent.rmdir()
        raise


def _create_keys(keys: KeyStore, trust_domain: TrustDomain, now: float) -> None:
    secret, certificate = CertificateAuthority.create(trust_domain, now)
    keys.create("authority", secret)
    keys.create("authority-certificate", certificate.encode("ascii"))
    keys.create("tokens", create_key())
    keys.create("server", create_key())
    log = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    keys.create("log", log)
    keys.create("pseudonyms", secrets.token_bytes(32))


async def _create_state(directory: Path, kek: KeyEncryptionKey, admin: str, now: float) -> None:
    def begin(connection: Connection) -> None:
        declare(connection, FIRST_DECLARATION.format(admin=admin), now, "init")
        install(connection, starter_policies(), now, "init")

    state = State.create(directory / "state.db", kek.derive("state"))
    try:
        await state.write(begin)
    finally:
        state.close()
