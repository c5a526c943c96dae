"""`nomoat doctor`: what of a data directory is as it must be, and what to do about what is not.

Rules: looks, changes nothing, and says of each thing what to do. It works beside a running gateway.
A check that depends on a failed one is left out: it would only repeat it. Nothing confidential is
in what it says: paths of the data directory, sizes, times.
"""

import os
import shutil
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from nomoat import __version__
from nomoat.audit.checkpoint import NoteSigner, VerifierKey, parse_checkpoint, verify_checkpoint
from nomoat.audit.commit import LogSettings
from nomoat.audit.generation import require_current
from nomoat.audit.prefix import Prefix, signed_prefix
from nomoat.audit.segments import CHECKPOINT_FILE, WITNESSED_FILE
from nomoat.core.errors import Corrupt, Malformed, NoMoatError, Unavailable
from nomoat.server.configuration import FILE, Configuration, load_configuration
from nomoat.server.findings import Finding, Health
from nomoat.server.keeping import open_keyring
from nomoat.server.listening import listen
from nomoat.server.lock import is_locked
from nomoat.server.names import KEYS
from nomoat.server.needs import (
    DATABASE,
    EMBEDDERS,
    KEY_MANAGEMENT,
    PACKAGES,
    database,
    embedders,
    key_management,
    packages,
    parted,
    undeclared,
)
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.state.look import known_schemas, look_at_state
from nomoat.stores.subject_keys import SeenSubjectKeys

LITTLE_SPACE: Final = 1 << 30  # bytes free below which it is said
AUTHORITY_WARNING_S: Final = 90 * 86400
CLOCK_TOLERANCE_S: Final = 5
PUBLIC: Final = ("log.vkey", "ca.pem")  # what `nomoat init` makes in public/
MOST_NAMED: Final = 3  # files named one by one


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the state and the log found, for `status`: None where that cannot be told."""

    running: bool
    trust_domain: str = ""
    schema: str = ""
    generation: int | None = None
    records: int | None = None
    latest: str = ""
    free: int = 0


class Doctor:
    """Examines one data directory at the time `now` (Unix seconds)."""

    def __init__(self, directory: Path, now: float) -> None:
        self._directory = directory
        self._now = now
        self.findings: list[Finding] = []
        self.seen = Seen(running=is_locked(directory))

    def examine(self) -> None:
        """Run every check."""
        self._add("versions", _versions)
        configuration = self._configuration()
        if configuration is None:
            return
        self._add("permissions", lambda: _permissions(self._directory))
        self._add("folders", lambda: _folders(self._directory))
        self._add("disk", lambda: _disk(self._directory))
        self._add("port", lambda: _port(configuration, running=self.seen.running))
        kek = self._kek(configuration)
        if kek is not None:
            self._examine_contents(configuration, kek)

    def _examine_contents(self, configuration: Configuration, kek: KeyEncryptionKey) -> None:
        keys = KeyStore(self._directory / "keys", kek)
        if not self._add("keys", lambda: _keys(keys)):
            return
        self._add("certificates", lambda: _authority(keys.load("authority-certificate"), self._now))
        key = NoteSigner(f"{configuration.trust_domain}/log", keys.load("log")).key
        if self._add("state and log", lambda: self._state_and_log(configuration, kek, key)):
            self._add(PACKAGES, lambda: packages(configuration, self._directory / "state.db", kek))
            self._add(EMBEDDERS, lambda: embedders(self._directory / "state.db", kek))
            self._add(DATABASE, lambda: undeclared(configuration, self._directory / "state.db", kek))
        if (postgres := configuration.postgres) is not None:
            self._add(DATABASE, lambda: database(postgres))

    def _add(self, check: str, examine: Callable[[], Iterator[Finding]]) -> bool:
        """Run a check; return whether nothing bad came of it."""
        try:
            found = list(examine())
        except NoMoatError as error:
            found = [_failed(check, error)]
        except OSError as error:
            found = [Finding(check, Health.BAD, f"it cannot be looked at: {error.strerror}", "see who owns the files")]
        self.findings += found
        return all(finding.health in {Health.GOOD, Health.ADVICE} for finding in found)

    def _configuration(self) -> Configuration | None:
        try:
            configuration = load_configuration(self._directory)
        except NoMoatError as error:
            self.findings.append(_failed("configuration", error))
            return None
        running = "a gateway is running on it" if self.seen.running else "no gateway is running on it"
        said = f"{FILE} says the trust domain {configuration.trust_domain}; {running}"
        self.findings.append(Finding("configuration", Health.GOOD, said))
        free = shutil.disk_usage(self._directory).free
        self.seen = Seen(self.seen.running, trust_domain=configuration.trust_domain, free=free)
        return configuration

    def _kek(self, configuration: Configuration) -> KeyEncryptionKey | None:
        path = configuration.kek
        try:
            kek = (keyring := open_keyring(configuration)).load()
        except NoMoatError as error:
            self.findings.append(_failed("key-encryption key", error))
            return None
        self._add(KEY_MANAGEMENT, lambda: key_management(keyring))
        if path.resolve().is_relative_to(self._directory.resolve()):
            advice = f"move it out of {self._directory}, and name the new place in {FILE}: kek = …"
            said = f"{path} lies inside the data directory: a copy of that reads everything"
            self.findings.append(Finding("key-encryption key", Health.BAD, said, advice))
        else:
            said = f"{path} is outside the data directory and its owner's alone"
            self.findings.append(Finding("key-encryption key", Health.GOOD, said))
        return kek

    def _state_and_log(
        self, configuration: Configuration, kek: KeyEncryptionKey, key: VerifierKey
    ) -> Iterator[Finding]:
        log, path = self._directory / "log", self._directory / "state.db"
        with look_at_state(path, kek.derive("state")) as first:  # its keys open what the log says of it
            schema = first.schema
            yield _schema(schema, known=first.is_known)
            if not first.is_known:
                return
            prefix = signed_prefix(log, key, SeenSubjectKeys(first, kek))
        with look_at_state(path, kek.derive("state")) as look:  # after the log: it may have moved on, never back
            generation = look.generation
        self.seen = Seen(
            self.seen.running,
            self.seen.trust_domain,
            schema,
            generation,
            prefix.size,
            prefix.latest,
            self.seen.free,
        )
        require_current(generation, prefix.generation)
        yield Finding("state", Health.GOOD, f"generation {generation}, and the log knows of none later")
        yield _log_end(prefix, running=self.seen.running)
        yield from _kept(log, prefix, key, configuration)
        yield _clock(prefix, self._now)


def _failed(check: str, error: NoMoatError) -> Finding:
    if isinstance(error, Corrupt):
        advice = "keep it as it is, have it looked at (nomoat audit verify), and restore the newest backup"
        return Finding(check, Health.DAMAGED, str(error), advice)
    if isinstance(error, Unavailable) and error.part == "kms":
        return Finding(KEY_MANAGEMENT, Health.BAD, *parted(error))
    reason = error.reason if isinstance(error, (Unavailable, Malformed)) else str(error)
    for colon in (": ", ". "):  # a reason that says itself what to do
        said, found, advice = reason.partition(colon)
        if found and advice.startswith(("chmod", "chown", "restore", "Put")):
            return Finding(check, Health.BAD, said, advice)
    return Finding(check, Health.BAD, reason, _ADVICE.get(check, "correct that"))


_ADVICE: Final = {
    "configuration": "correct nomoat.toml (docs/guides/operating.md lists its fields), or run: nomoat init DIR",
    "keys": "restore the keys directory from the newest backup",
    "port": "stop what uses the address, or choose another one in nomoat.toml: listen = …",
    "state and log": "put the newest state.db and log back, or restore the newest backup: nomoat restore",
}


def _versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    said = f"NoMoat {__version__}, Python {python}, {ssl.OPENSSL_VERSION}, schema {known_schemas()[0]}"
    if ssl.HAS_TLSv1_3:
        yield Finding("versions", Health.GOOD, said)
    else:
        yield Finding("versions", Health.BAD, f"{said}: without TLS 1.3", "use a Python whose OpenSSL has TLS 1.3")


def _permissions(directory: Path) -> Iterator[Finding]:
    """Look at everything but the contents themselves, which are encrypted one by one."""
    open_to_others, foreign = list[Path](), list[Path]()
    seen = [directory, *(path for path in _private(directory) if not path.is_symlink())]
    for path in seen:
        status = path.stat()
        if status.st_uid != os.geteuid():
            foreign.append(path)
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            open_to_others.append(path)
    if foreign:
        advice = f"run as their owner, or: chown -R {os.geteuid()} {directory}"
        yield Finding("permissions", Health.BAD, f"another user owns {_named(foreign)}", advice)
    if open_to_others:
        advice = f"chmod -R go= {directory} && chmod -R go+rX {directory / 'public'}"
        yield Finding("permissions", Health.ADVICE, f"other users may use {_named(open_to_others)}", advice)
    if not foreign and not open_to_others:
        yield Finding("permissions", Health.GOOD, f"{len(seen)} files and directories are their owner's alone")


def _private(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.name == "public":
            continue  # is what its name says
        yield path
        if path.is_dir() and path.name != "objects":
            yield from sorted(path.iterdir())


def _folders(directory: Path) -> Iterator[Finding]:
    """Look for what every data directory has, and nothing else here would miss."""
    contents = (directory / "objects").is_dir()
    if not contents:
        advice = "mount it or put it back; if it is gone, restore the newest backup: nomoat restore"
        yield Finding("folders", Health.DAMAGED, "objects/ is missing: no content can be served", advice)
    lacking = [name for name in PUBLIC if not (directory / "public" / name).is_file()]
    if lacking:
        said = f"public/ lacks {' and '.join(lacking)}: who copies this directory has nothing to verify it with"
        yield Finding("folders", Health.ADVICE, said, "copy public/ from the newest backup")
    if contents and not lacking:
        yield Finding("folders", Health.GOOD, "contents and public keys have theirs")


def _named(paths: list[Path]) -> str:
    more = len(paths) - MOST_NAMED
    return ", ".join(map(str, paths[:MOST_NAMED])) + (f" and {more} more" if more > 0 else "")


def _disk(directory: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(directory).free
    wanted = LogSettings().reserve_size
    said = f"{free / 2**30:.1f} GiB free"
    if free < wanted:
        yield Finding("disk", Health.BAD, f"{said}: nothing can be recorded, so nothing is served", "free space now")
    elif free < LITTLE_SPACE:
        yield Finding("disk", Health.ADVICE, f"{said}: when it is full, only revocations are recorded", "free space")
    else:
        yield Finding("disk", Health.GOOD, said)
    reserve = directory / "log" / "reserve"
    held = reserve.stat().st_size if reserve.exists() else 0
    if held < wanted:
        said = f"the log's reserve holds {held} of {wanted} bytes: the disk was full, or no gateway ever ran here"
        yield Finding("reserve", Health.ADVICE, said, "free space; a running gateway fills it again by itself")
    else:
        yield Finding("reserve", Health.GOOD, f"{held >> 20} MiB are held for revocations when the disk is full")


def _port(configuration: Configuration, *, running: bool) -> Iterator[Finding]:
    address = f"{configuration.host} port {configuration.port}"
    if not running:
        otherwise = "stop what uses it, or set another one by listen in nomoat.toml"
        listen(configuration.host, configuration.port, otherwise=otherwise).close()
        yield Finding("port", Health.GOOD, f"{address} is free")
    elif configuration.port == 0:
        yield Finding("port", Health.GOOD, "the system chose it; nomoat serve said which")
    else:
        try:
            socket.create_connection((configuration.host, configuration.port), timeout=5).close()
        except OSError as error:
            said = f"a gateway runs, and {address} does not answer: {error.strerror or error}"
            yield Finding("port", Health.BAD, said, "look at what it says on standard error, and start it again")
        else:
            yield Finding("port", Health.GOOD, f"{address} answers")


def _keys(keys: KeyStore) -> Iterator[Finding]:
    for name in KEYS:
        keys.load(name)
    yield Finding("keys", Health.GOOD, f"all {len(KEYS)} unwrap with the key-encryption key")


def _authority(pem: bytes, now: float) -> Iterator[Finding]:
    certificate = x509.load_pem_x509_certificate(pem)
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    said = f"the trust domain's authority is valid until {_date(end)}"
    if not begin <= now < end:
        said = f"the trust domain's authority is valid from {_date(begin)} until {_date(end)}, and now is {_date(now)}"
        yield Finding("certificates", Health.BAD, said, "set the clock right; if it is, begin a new trust domain")
    elif end - now < AUTHORITY_WARNING_S:
        yield Finding("certificates", Health.ADVICE, said, "plan a new trust domain before that day")
    else:
        yield Finding("certificates", Health.GOOD, f"{said}; the gateway's own is issued anew at each start")


def _schema(schema: str, *, known: bool) -> Finding:
    newest = known_schemas()[0]
    if not known:
        said = f"the database has schema {schema}, and this NoMoat knows {newest} at most"
        return Finding("schema", Health.BAD, said, "run the NoMoat that wrote it, or a newer one")
    if schema != newest:
        said = f"the database has schema {schema}; the next start brings it to {newest}, and there is no way back"
        return Finding("schema", Health.ADVICE, said, "take a backup before that: nomoat backup DIRECTORY DEST")
    return Finding("schema", Health.GOOD, f"the database has schema {schema}, the newest")


def _log_end(prefix: Prefix, *, running: bool) -> Finding:
    said = f"{prefix.size} signed records"
    if prefix.behind and not running:
        said += f", and {prefix.behind} bytes that a crash left, which the next start puts in order"
    return Finding("log", Health.GOOD, said)


def _kept(log: Path, prefix: Prefix, key: VerifierKey, configuration: Configuration) -> Iterator[Finding]:
    """Compare with the checkpoints beside the log. They were signed before the look at it began, or during it."""
    for name in (CHECKPOINT_FILE, WITNESSED_FILE):
        path = log / name
        if not path.exists():
            if name == CHECKPOINT_FILE:
                said = f"log/{name} is missing: nothing here tells whether the newest records were cut off"
                advice = "compare with one that somebody kept: nomoat audit verify DIRECTORY --checkpoint FILE"
                yield Finding("log", Health.DAMAGED, said, advice)
            continue
        kept = (
            verify_checkpoint(path.read_bytes(), key)
            if name == CHECKPOINT_FILE
            else parse_checkpoint(path.read_bytes())
        )
        newest = verify_checkpoint(prefix.note, key)
        if kept.size > prefix.size and not is_locked(log.parent):
            said = f"log/{name} is of {kept.size} records, and the log holds {prefix.size}: records were lost"
            advice = "keep both as evidence, and restore the newest backup; nomoat audit verify says more"
            yield Finding("log", Health.DAMAGED, said, advice)
        elif kept.size == prefix.size and kept.head != newest.head:
            yield Finding("log", Health.DAMAGED, f"log/{name} is of another log", "keep both as evidence")
    if configuration.witness:
        yield _witnessed(log / WITNESSED_FILE, prefix)


def _witnessed(path: Path, prefix: Prefix) -> Finding:
    if not path.exists():
        return Finding("witness", Health.ADVICE, "no checkpoint was ever witnessed", "see that the witness runs")
    behind = prefix.size - parse_checkpoint(path.read_bytes()).size
    return Finding("witness", Health.GOOD, f"the newest witnessed checkpoint is {max(behind, 0)} records behind")


def _clock(prefix: Prefix, now: float) -> Finding:
    if prefix.latest:
        latest = datetime.fromisoformat(prefix.latest).timestamp()
        if now < latest - CLOCK_TOLERANCE_S:
            said = f"the clock is {latest - now:.0f} s behind the newest record, so nothing is recorded or served"
            return Finding("clock", Health.BAD, said, "set the clock right: timedatectl, chronyc tracking")
    return Finding("clock", Health.GOOD, f"{_date(now, time=True)}, not before the newest record")


def _date(at: float, *, time: bool = False) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC" if time else "%Y-%m-%d")
