"""`nomoat restore`: a backup becomes a data directory again, and says how far behind it is.

Rules: every byte is checked against the authenticated manifest and the log is verified whole before a
gateway could start on it. A backup that is older than a checkpoint that somebody kept (a profile, a
file, the witness) is recognised, and restored only when that is asked for: then nobody whom it knew
stays in, because whom it knows may have been revoked since. Each restore is a record of the log.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx2

from nomoat.audit.checkpoint import NoteSigner, parse_size
from nomoat.audit.report import Fault, Report
from nomoat.client.verification import Verified, verify
from nomoat.core.errors import Conflict, Corrupt, Malformed, NoMoatError, Unavailable
from nomoat.core.record import Json
from nomoat.server.assembly import Clock, open_gateway, system_record
from nomoat.server.configuration import FILE, Configuration, load_configuration
from nomoat.server.manifest import Manifest, copy_file, load_manifest
from nomoat.stores.disk import sync_directory
from nomoat.stores.keys import KeyEncryptionKey, KeyStore

WITNESS_TIMEOUT_S: Final = 5.0
OPERATOR: Final = "the operator with the key-encryption key"


class OlderThanKept(Corrupt):
    """A backup of `found` records, while a checkpoint of `known` was kept by `whom`."""

    def __init__(self, found: int, known: int, whom: str) -> None:
        super().__init__(f"the backup: it holds {found} records, and {whom} kept a checkpoint of {known}")
        self.found = found
        self.known = known
        self.whom = whom


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. `proven` is the size of the largest kept checkpoint that it contains (None: none).

    `known` is the size that somebody kept of a longer log (None: nobody did), `witness` what the
    witness said, in words ('' without one).
    """

    manifest: Manifest
    configuration: Configuration
    proven: int | None
    known: int | None
    kept_from: tuple[str, ...]
    witness: str


def restore(
    backup: Path,
    directory: Path,
    environment: Mapping[str, str],
    clock: Clock,
    *,
    kek: Path | None = None,
    checkpoints: Sequence[Path] = (),
    older: bool = False,
) -> Restored:
    """Make the data directory of a backup anew in `directory`, which must not exist or be empty.

    `kek` is where the key-encryption key is now (None: where the backup's configuration says),
    `checkpoints` are files with checkpoints that somebody kept. Raises `OlderThanKept` for an older
    backup without `older`, `Corrupt` when the backup is not what was written, `Conflict` when the
    directory is taken, `Unavailable` when something cannot be read or written.
    """
    _require_free(directory)
    configuration = load_configuration(backup)
    if kek is not None:
        configuration = replace(configuration, kek=kek.absolute())
    if configuration.kek.resolve().is_relative_to(directory.resolve()):
        raise Conflict("the key-encryption key must lie outside the data directory; choose another --kek FILE")
    key = KeyEncryptionKey.load(configuration.kek)
    manifest = load_manifest(backup, key)
    unfinished = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        _copy(backup, unfinished, manifest)
        (unfinished / FILE).write_text(configuration.dump())
        verified = _verify(unfinished, key, manifest, environment, checkpoints)
        witness = _ask_witness(configuration, manifest)
        known = _newest_known(verified, witness)
        if known is not None and not older:
            raise OlderThanKept(manifest.records, *known)
        if older and known is None:
            raise Conflict("nobody here kept a checkpoint of more records than the backup holds; leave out --older")
        asyncio.run(_conclude(unfinished, configuration, manifest, clock, known))
        if directory.exists():
            directory.rmdir()
        unfinished.rename(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise Unavailable("restore", f"it cannot be done: {error.strerror}: {error.filename or directory}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    said = witness if isinstance(witness, str) else f"the witness saw {witness} records"
    size = known[0] if known else None
    return Restored(manifest, configuration, verified.report.proven, size, verified.kept_from, said)


def _require_free(directory: Path) -> None:
    if os.path.lexists(directory) and (not directory.is_dir() or any(directory.iterdir())):
        raise Conflict(f"{directory} is not empty; restore into a new directory, and keep the old one as evidence")
    if not directory.parent.is_dir():
        raise Unavailable("restore", f"there is no directory {directory.parent}")


def _copy(backup: Path, target: Path, manifest: Manifest) -> None:
    """Copy what the manifest lists, and nothing else; each file must be what it says."""
    target.mkdir(mode=0o700)
    for path, listed in manifest.files.items():
        try:
            copied = copy_file(backup / path, target / path)
        except FileNotFoundError:
            raise Corrupt(f"the backup ({path} is missing)") from None
        if copied != listed:
            raise Corrupt(f"the backup ({path} is not what was backed up)")
    for directory in (target, *(path for path in target.rglob("*") if path.is_dir())):
        sync_directory(directory)


def _verify(
    directory: Path,
    kek: KeyEncryptionKey,
    manifest: Manifest,
    environment: Mapping[str, str],
    checkpoints: Sequence[Path],
) -> Verified:
    signer = NoteSigner(f"{manifest.trust_domain}/log", KeyStore(directory / "keys", kek).load("log"))
    verified = verify(directory, environment, key=str(signer.key), checkpoints=checkpoints)
    report = verified.report
    worse = [problem for problem in report.problems if problem.fault is not Fault.ROLLED_BACK]
    if worse:
        raise Corrupt(f"the backup's log ({min(worse, key=lambda problem: problem.first)})")
    if report.head.size != manifest.records:
        raise Corrupt("the backup's log (it does not end where the manifest says)")
    return verified


def _ask_witness(configuration: Configuration, manifest: Manifest) -> int | str:
    """Ask how many records the witness saw; return that, or in words why it is not known."""
    if not configuration.witness:
        return ""
    body = f"old {manifest.records}\n\n{manifest.checkpoint}".encode()
    try:
        with httpx2.Client(timeout=WITNESS_TIMEOUT_S, trust_env=False) as client:
            answer = client.post(f"{configuration.witness.rstrip('/')}/add-checkpoint", content=body)
        if answer.status_code == 200:
            return manifest.records
        if answer.status_code == 409:
            return parse_size(answer.text.removesuffix("\n"))
    except httpx2.HTTPError as error:
        return f"the witness cannot be reached ({type(error).__name__})"
    except Malformed:
        return "the witness does not say what it saw"
    return f"the witness does not say what it saw (it answered {answer.status_code})"


def _newest_known(verified: Verified, witness: int | str) -> tuple[int, str] | None:
    """Return the size of the longest log that somebody knows beyond this one, and who; None: nobody does."""
    found = list(_beyond(verified.report, ", ".join(verified.kept_from)))
    if isinstance(witness, int) and witness > verified.report.head.size:
        found.append((witness, "the witness"))
    return max(found, default=None)


def _beyond(report: Report, whom: str) -> Iterable[tuple[int, str]]:
    for problem in report.problems:
        yield problem.last + 1, whom


async def _conclude(
    directory: Path, configuration: Configuration, manifest: Manifest, clock: Clock, known: tuple[int, str] | None
) -> None:
    """Open it once: it starts, the restore is on record, and of an older one nobody stays in."""
    said: dict[str, Json] = {"records": manifest.records, "at": manifest.at, "by": OPERATOR}
    if known is not None:
        said["known"] = known[0]
    try:
        async with open_gateway(directory, configuration, clock) as gateway:
            await gateway.log.append(system_record("AcceptOlderCopy" if known else "Restore", said))
            await gateway.reports.clear()  # the database knows of columns; none are in a backup
            if known is not None:
                await gateway.identity.sessions.end_all(clock())
    except NoMoatError as error:
        raise Unavailable("restore", f"the restored directory does not start: {error}") from error
