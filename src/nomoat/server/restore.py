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
from typing import Final, NamedTuple

import httpx2

from nomoat.audit.checkpoint import NoteSigner, add_signatures, parse_checkpoint, parse_size, verify_cosignature
from nomoat.audit.cosigning import Post
from nomoat.audit.report import Fault
from nomoat.audit.segments import CHECKPOINT_FILE
from nomoat.client.verification import Verified, pinned_keys, verify
from nomoat.core.errors import Conflict, Corrupt, Malformed, NoMoatError, Unavailable
from nomoat.core.record import Json, system_record
from nomoat.server.assembly import open_gateway
from nomoat.server.configuration import FILE, Configuration, WitnessAddress, load_configuration
from nomoat.server.cosigning import TIMEOUT_S, post_to
from nomoat.server.keeping import open_keyring
from nomoat.server.manifest import Manifest, copy_file, load_manifest
from nomoat.server.resources import Clock
from nomoat.stores.disk import sync_directory
from nomoat.stores.keys import KeyEncryptionKey, KeyStore

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
    witnesses said, in words ('' without one). `records` is how many the restored log has: the restore's own are there, too.
    """

    manifest: Manifest
    configuration: Configuration
    records: int
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
    _require_apart(configuration.kek, directory, backup)
    key = open_keyring(configuration).load()
    manifest = load_manifest(backup, key)
    unfinished = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        _copy(backup, unfinished, manifest)
        if kek is not None:
            (unfinished / FILE).write_text(configuration.dump())
        verified = _verify(unfinished, key, manifest, environment, checkpoints, ours=kek is not None)
        witnesses = asyncio.run(_ask_witnesses(configuration, manifest))
        known = _newest_known(verified, witnesses)
        if known is not None and not older:
            raise OlderThanKept(manifest.records, *known)
        if older and known is None:
            raise Conflict("nobody here kept a checkpoint of more records than the backup holds; leave out --older")
        asyncio.run(_conclude(unfinished, configuration, manifest, clock, known))
        records = parse_checkpoint((unfinished / "log" / CHECKPOINT_FILE).read_bytes()).size
        if directory.exists():
            directory.rmdir()
        unfinished.rename(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise Unavailable("restore", f"it cannot be done: {error.strerror}: {error.filename or directory}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    said = "; ".join(f"{each.whom}{each.words}" for each in witnesses)
    size = known[0] if known else None
    return Restored(manifest, configuration, records, verified.report.proven, size, verified.kept_from, said)


def _require_apart(kek: Path, directory: Path, backup: Path) -> None:
    if kek.resolve().is_relative_to(directory.resolve()):
        raise Conflict("the key-encryption key must lie outside the data directory; choose another --kek FILE")
    if kek.resolve().is_relative_to(backup.resolve()):
        # The configuration is not authenticated yet: with a key of their own, anybody could have made all of it.
        raise Conflict(f"the backup names a key-encryption key inside itself ({kek}); name yours: --kek FILE")


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
            size = (backup / path).stat().st_size
            # Nothing is read of what cannot be it: a file may be endless.
            copied = copy_file(backup / path, target / path) if size == listed.size else None
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
    *,
    ours: bool,
) -> Verified:
    """Verify the copied log; `ours`: the caller said which key-encryption key, so nobody else's vouches for it."""
    signer = NoteSigner(f"{manifest.trust_domain}/log", KeyStore(directory / "keys", kek).load("log"))
    pinned = pinned_keys(signer.key.name, environment)
    if pinned and signer.key not in pinned and not ours:
        raise Corrupt("the backup (your profiles know another key of this log; if it is right, add --kek FILE)")
    verified = verify(directory, environment, key=str(signer.key), checkpoints=checkpoints)
    report = verified.report
    worse = [problem for problem in report.problems if problem.fault is not Fault.ROLLED_BACK]
    if worse:
        raise Corrupt(f"the backup's log ({min(worse, key=lambda problem: problem.first)})")
    if report.head.size != manifest.records:
        raise Corrupt("the backup's log (it does not end where the manifest says)")
    return verified


class _Said(NamedTuple):
    """What a witness said of the backup's log: how many records it saw (None: that is not known), and in words that follow its name.

    `same` is whether it cosigned this very log, False for another one of its size, None for neither.
    """

    whom: str
    words: str
    saw: int | None = None
    same: bool | None = None


async def _ask_witnesses(configuration: Configuration, manifest: Manifest) -> list[_Said]:
    """Ask each witness how many records it saw.

    Raises `Corrupt` when one of them saw another log, unless a quorum of the others cosigned this one: a witness
    that lies, or is named twice, does not keep anybody from restoring.
    """
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        witnesses = configuration.all_witnesses
        said = await asyncio.gather(*(_ask(post_to(client, each), each, manifest) for each in witnesses))
    others = [f"{each.whom}{each.words}" for each in said if each.same is False]
    if others and sum(bool(each.same) for each in said) < (configuration.witness_quorum or len(witnesses)):
        raise Corrupt(f"the backup ({'; '.join(others)})")
    return said


async def _ask(post: Post, witness: WitnessAddress, manifest: Manifest) -> _Said:
    note, key = manifest.checkpoint.encode(), witness.verifier_key
    whom = f"the witness {key.name}"
    try:
        answer = await post(b"old %d\n\n%b" % (manifest.records, note))
        if answer.status == 200:
            verify_cosignature(add_signatures(parse_checkpoint(note), answer.body), key)
            return _Said(whom, f" saw {manifest.records} records", manifest.records, same=True)
        if answer.status != 409:
            return _Said(whom, f": it does not say what it saw (it answered {answer.status})")
        saw = parse_size(answer.body.decode("ascii", "replace").removesuffix("\n"))
    except Unavailable as error:
        return _Said(whom, f": {error.reason}")
    except (Malformed, Corrupt):
        return _Said(whom, ": it does not say what it saw")
    if saw == manifest.records:  # it would have cosigned this one
        return _Said(whom, f" saw another log of {saw} records", saw, same=False)
    return _Said(whom, f" saw {saw} records", saw)


def _newest_known(verified: Verified, witnesses: Iterable[_Said]) -> tuple[int, str] | None:
    """Return the size of the longest log that somebody knows beyond this one, and who; None: nobody does."""
    found = [(problem.last + 1, ", ".join(verified.kept_from)) for problem in verified.report.problems]
    size = verified.report.head.size
    found += [(each.saw, each.whom) for each in witnesses if each.saw is not None and each.saw > size]
    return max(found, default=None)


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
            # What was told of datasets since the backup is not known, nor what that cost.
            await gateway.budgets.hold("it was restored from a backup", clock())
            await gateway.reports.clear()  # the database knows of columns; none are in a backup
            if known is not None:
                await gateway.identity.sessions.end_all(clock())
    except NoMoatError as error:
        raise Unavailable("restore", f"the restored directory does not start: {error}") from error
