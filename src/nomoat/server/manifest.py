"""The manifest of a backup: what is in it, how far it got, and that it is whole.

Rules: authenticated under a key that follows from the key-encryption key, so that a backup whose
configuration, or anything else, was exchanged is refused before a byte of it is used. Names in it are
those of the data directory: random ids, numbers and our own words.
"""

import hashlib
import hmac
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, NamedTuple, cast

from nomoat.core.errors import Corrupt, Malformed, Unavailable
from nomoat.stores.keys import KeyEncryptionKey

MANIFEST: Final = "manifest.json"
FORMAT: Final = "nomoat backup 1"
_PURPOSE: Final = "backup-manifest"
_CHUNK: Final = 1 << 20
_LARGEST: Final = 1 << 30  # bytes of a manifest: some million contents


class Copied(NamedTuple):
    """A file of a backup: its length in bytes and its SHA-256 (hexadecimal)."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    `at` is when it was begun (Unix seconds), `records` the size of its log, `checkpoint` the signed note of
    exactly that, `generation` and `schema` those of its state.
    """

    trust_domain: str
    version: str
    at: int
    records: int
    checkpoint: str
    generation: int
    schema: str
    files: Mapping[str, Copied]

    def write(self, directory: Path, kek: KeyEncryptionKey) -> None:
        """Write it into a backup, durably. Raises `OSError`."""
        body = json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)
        text = json.dumps({"manifest": body, "hmac": _tag(body, kek)})
        descriptor = os.open(directory / MANIFEST, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def load_manifest(directory: Path, kek: KeyEncryptionKey) -> Manifest:
    """Read and authenticate a backup's manifest.

    Raises `Unavailable` when there is none, `Corrupt` when it was changed or is of another key.
    """
    try:
        with (directory / MANIFEST).open("rb") as file:
            outer = _object(file.read(_LARGEST))
    except FileNotFoundError:
        raise Unavailable("backup", f"{directory} is no backup, or one that was never finished") from None
    except OSError as error:
        raise Unavailable("backup", f"{directory} cannot be read: {error.strerror}") from error
    body, tag = str(outer.get("manifest")), str(outer.get("hmac"))
    if not hmac.compare_digest(tag.encode(), _tag(body, kek).encode()):
        raise Corrupt("the backup's manifest (or it was made under another key-encryption key)")
    content = _object(body.encode())
    if content.pop("format", None) != FORMAT:
        raise Malformed("this backup was made by another NoMoat, whose format this one does not know")
    listed = cast("dict[str, list[object]]", content.pop("files"))
    files = {path: Copied(cast("int", size), cast("str", digest)) for path, (size, digest) in listed.items()}
    for path in files:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise Corrupt("the backup's manifest")
    return Manifest(**content, files=files)  # type: ignore[arg-type]  # authenticated: we wrote it


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, all of them for their owner alone. Raises `OSError`."""
    if not folder.exists():
        make_folder(folder.parent)  # `mkdir(parents=True)` would make these for everybody
        folder.mkdir(mode=0o700, exist_ok=True)


def copy_file(source: Path, target: Path, length: int | None = None) -> Copied:
    """Copy a file, or its first `length` bytes, durably, to one that only its owner may read.

    Raises `OSError`, and `Corrupt` when it is shorter than that, or no regular file.
    """
    make_folder(target.parent)
    left, digest, size = length, hashlib.sha256(), 0
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as outgoing, _open_regular(source) as incoming:
        while left is None or left > 0:
            chunk = incoming.read(_CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                break
            digest.update(chunk)
            outgoing.write(chunk)
            size += len(chunk)
            left = None if left is None else left - len(chunk)
        outgoing.flush()
        os.fsync(outgoing.fileno())
    if left:
        raise Corrupt(f"{source.name} (it ends too early)")
    return Copied(size, digest.hexdigest())


def _open_regular(path: Path) -> BinaryIO:
    # O_NONBLOCK: a pipe in its place must not hold anybody.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Corrupt(f"{path.name} (it is no regular file)")
    return file


def hash_file(path: Path) -> Copied:
    """Return a file's length and hash. Raises `OSError`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Copied(os.fstat(file.fileno()).st_size, digest.hexdigest())


def _tag(body: str, kek: KeyEncryptionKey) -> str:
    return hmac.new(kek.derive(_PURPOSE), body.encode(), hashlib.sha256).hexdigest()


def _object(text: bytes) -> dict[str, object]:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        raise Corrupt("the backup's manifest") from None
    if not isinstance(value, dict):
        raise Corrupt("the backup's manifest")
    return cast("dict[str, object]", value)
