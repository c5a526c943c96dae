"""`nomoat init`: a trust domain from nothing, and the first administrator's one-time code.

Rules: every key has one purpose; the key-encryption key lies outside the data directory. What exists
is never overwritten. What fails half-way leaves a directory that `nomoat serve` refuses.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Connection

from nomoat.core.errors import Conflict, Unavailable
from nomoat.core.names import parse_subject_name
from nomoat.core.principal import PrincipalKind
from nomoat.identity import CertificateAuthority, TrustDomain, create_key
from nomoat.policy.defaults import starter_policies
from nomoat.resources.directory.directory import declare
from nomoat.resources.policies import install
from nomoat.server.assembly import Clock, open_gateway, system_record
from nomoat.server.configuration import FILE, Configuration
from nomoat.server.lock import locked
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

    Raises `Conflict` when the directory or the key-encryption key exists, `Unavailable` when the disk
    fails, `Malformed` for a bad name.
    """
    parse_subject_name(admin)
    trust_domain = TrustDomain(configuration.trust_domain)
    _make(directory, configuration.kek)
    with locked(directory):
        kek = KeyEncryptionKey.create(configuration.kek)
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


def _make(directory: Path, kek: Path) -> None:
    if kek.resolve().is_relative_to(directory.resolve()):
        raise Conflict("the key-encryption key must lie outside the data directory; choose another --kek FILE")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise Conflict(f"{directory} is not empty; choose a new directory")
    except OSError as error:
        raise Unavailable("data directory", f"it cannot be made: {error.strerror}") from error


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
