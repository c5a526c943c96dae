"""`nomoat backup`: a copy of a data directory that starts, taken while its gateway serves.

Rules: from outside, with the key-encryption key and without the lock: nobody waits for a backup. The
key is not in it. The state is copied first, as one snapshot; then of the log the longest beginning
that fits it (ADR 13): it ends with a signed checkpoint, says of no later state, and every record in it
can be opened. Contents are immutable and copied last, those that the snapshot knows. The index and the columns
of the log are not copied: they are made anew of what is restored. A backup appears under its name when it is
whole and durable, and never overwrites one.
"""

import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nomoat import __version__
from nomoat.audit.checkpoint import NoteSigner, VerifierKey, verify_checkpoint
from nomoat.audit.forgotten import FORGOTTEN_FILE
from nomoat.audit.prefix import Prefix, newest_segment, signed_prefix
from nomoat.audit.segments import CHECKPOINT_FILE, WITNESSED_FILE
from nomoat.core.errors import Conflict, Corrupt, Malformed, Unavailable
from nomoat.server.configuration import FILE, Configuration, load_configuration
from nomoat.server.keeping import open_keyring
from nomoat.server.manifest import Copied, Manifest, copy_file, hash_file, load_manifest, make_folder
from nomoat.server.names import CONTENTS, KEYS
from nomoat.stores.contents import kept_in
from nomoat.stores.disk import sync_directory
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.state.look import copy_state, look_at_state
from nomoat.stores.subject_keys import SeenSubjectKeys

ATTEMPTS: Final = 3  # contents may be removed while they are copied: then with a newer snapshot


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was made: its manifest, the bytes it holds, and how many of them an earlier one lent."""

    manifest: Manifest
    size: int
    shared: int


class _Gone(Exception):
    """A content that the snapshot knows is not there."""

    def __init__(self, blob: str) -> None:
        super().__init__(blob)
        self.blob = blob


def back_up(directory: Path, destination: Path, now: float, since: Path | None = None) -> BackedUp:
    """Back a data directory up to `destination`, which must not exist yet.

    `since` is an earlier backup on the same file system: contents that it holds are linked, not copied.
    Raises `Conflict` for a destination that is taken or lies in the directory, `Unavailable` when
    something cannot be read or written, `Corrupt` when the directory is not what was written.
    """
    configuration = load_configuration(directory)
    kek = open_keyring(configuration).load()
    _require_free(directory, destination, configuration)
    earlier = _Earlier(since, load_manifest(since, kek).files if since is not None else {})
    unfinished = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}")
    try:
        gone = ""
        for _ in range(ATTEMPTS):
            unfinished.mkdir(mode=0o700)
            try:
                copying = _Copying(directory, unfinished, configuration, kek, earlier)
                done = copying.run(now)
                break
            except _Gone as missing:
                shutil.rmtree(unfinished)
                if missing.blob == gone:
                    raise Corrupt(f"blob {gone} (the state knows it, and it is not there)") from None
                gone = missing.blob
        else:
            raise Unavailable("backup", "contents were removed while they were copied; try again")
        unfinished.rename(destination)
        sync_directory(destination.parent)
    except OSError as error:
        raise Unavailable("backup", f"it cannot be made: {error.strerror}: {error.filename or destination}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return done


def _require_free(directory: Path, destination: Path, configuration: Configuration) -> None:
    if destination.resolve().is_relative_to(directory.resolve()):
        raise Conflict("a backup lies outside the data directory; choose another destination")
    if os.path.lexists(destination):
        raise Conflict(f"{destination} is there already; a backup never overwrites anything")
    if not destination.parent.is_dir():
        raise Unavailable("backup", f"there is no directory {destination.parent}")
    if configuration.kek.resolve().is_relative_to(directory.resolve()):
        raise Conflict("the key-encryption key lies inside the data directory; run: nomoat doctor DIRECTORY")


@dataclass(frozen=True, slots=True)
class _Earlier:
    """An earlier backup that lends what has not changed."""

    directory: Path | None
    files: Mapping[str, Copied]

    def lend(self, path: str, size: int, target: Path) -> Copied | None:
        """Link a file of the earlier backup to `target`; None when it has none like it, or cannot."""
        known = self.files.get(path)
        if self.directory is None or known is None or known.size != size:
            return None
        make_folder(target.parent)
        try:
            if (self.directory / path).stat().st_size != size:
                return None
            os.link(self.directory / path, target)
        except OSError:
            return None
        return known


class _Copying:
    """One attempt."""

    def __init__(
        self, source: Path, target: Path, configuration: Configuration, kek: KeyEncryptionKey, earlier: _Earlier
    ) -> None:
        self._source, self._target = source, target
        self._configuration = configuration
        self._kek = kek
        self._earlier = earlier
        self._key = NoteSigner(f"{configuration.trust_domain}/log", KeyStore(source / "keys", kek).load("log")).key
        self._files: dict[str, Copied] = {}
        self._shared = 0

    def run(self, now: float) -> BackedUp:
        """Copy everything in its order; return what came of it."""
        keys = KeyStore(self._source / "keys", self._kek)
        for name in KEYS:
            keys.load(name)  # with a damaged one the backup would not start
        for path in self._small():
            self._copy(path)
        # INVARIANT (fits): what the log holds now cannot say more of the state than a later snapshot does, and
        # whoever it names has a key in it.
        since = newest_segment(self._source / "log")
        witnessed = _read(self._source / "log" / WITNESSED_FILE)
        copy_state(self._source / "state.db", self._kek.derive("state"), self._target / "state.db")
        with look_at_state(self._target / "state.db", self._kek.derive("state")) as look:
            if not look.is_known:
                raise Unavailable("state", f"its schema {look.schema} is of a newer NoMoat; back it up with that one")
            generation, schema, blobs = look.generation, look.schema, look.blobs()
            fits = (generation, look.pseudonyms())
            subjects = SeenSubjectKeys(look, self._kek)
            prefix = signed_prefix(self._source / "log", self._key, subjects, since=max(since, 1), state=fits)
        self._note("state.db")
        self._copy_log(prefix, witnessed)
        self._copy_contents(prefix, fits[1])
        for blob in blobs:
            self._copy_blob(blob)
        manifest = Manifest(
            self._configuration.trust_domain,
            __version__,
            int(now),
            prefix.size,
            prefix.note.decode(),
            generation,
            schema,
            self._files,
        )
        for directory in sorted(path for path in self._target.rglob("*") if path.is_dir()):
            sync_directory(directory)
        manifest.write(self._target, self._kek)
        sync_directory(self._target)
        return BackedUp(manifest, sum(file.size for file in self._files.values()), self._shared)

    def _small(self) -> Iterator[str]:
        yield FILE
        for name in ("keys", "public"):
            yield from sorted(f"{name}/{path.name}" for path in (self._source / name).iterdir() if path.name[0] != ".")

    def _copy_log(self, prefix: Prefix, witnessed: bytes) -> None:
        """Copy the segments. The hashes beside them and the reserve are made anew by the next start."""
        for path in prefix.segments[:-1]:
            self._copy(f"log/{path.name}")
        last = prefix.segments[-1]
        self._files[f"log/{last.name}"] = copy_file(last, self._target / "log" / last.name, prefix.length)
        self._write(f"log/{CHECKPOINT_FILE}", prefix.note)
        # After the segments: what was blanked in them, a statement said before.
        if forgotten := _read(self._source / "log" / FORGOTTEN_FILE):
            self._write(f"log/{FORGOTTEN_FILE}", forgotten)
        if witnessed and _is_within(witnessed, prefix, self._key):
            self._write(f"log/{WITNESSED_FILE}", witnessed)

    def _copy_contents(self, prefix: Prefix, subjects: Collection[str]) -> None:
        """Copy what is kept of prompts and answers, of records that are copied and subjects who have a key."""
        for place, path in kept_in(self._source / CONTENTS):
            if place.record < prefix.size and place.pseudonym in subjects:
                with suppress(FileNotFoundError):  # it was erased or forgotten meanwhile
                    self._copy(f"{CONTENTS}/{path}")

    def _copy_blob(self, blob: str) -> None:
        path = f"objects/{blob[:2]}/{blob}"
        try:
            size = (self._source / path).stat().st_size
            lent = self._earlier.lend(path, size, self._target / path)
            if lent is None:
                self._copy(path)
            else:
                self._files[path] = lent
                self._shared += size
        except FileNotFoundError:
            raise _Gone(blob) from None

    def _copy(self, path: str) -> None:
        self._files[path] = copy_file(self._source / path, self._target / path)

    def _write(self, path: str, content: bytes) -> None:
        target = self._target / path
        target.write_bytes(content)
        target.chmod(0o600)
        self._note(path)

    def _note(self, path: str) -> None:
        self._files[path] = hash_file(self._target / path)


def _is_within(witnessed: bytes, prefix: Prefix, key: VerifierKey) -> bool:
    try:
        return verify_checkpoint(witnessed, key).size <= prefix.size
    except (Malformed, Corrupt):
        return False


def _read(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""
