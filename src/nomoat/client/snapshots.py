"""A downloaded snapshot as it lies on the disk: which files there are, and the digest of each.

Rules: what is listed is what a program that loads the directory would see. A link counts as the file that it leads
to, and has to stay in the directory; in the Hub's cache (`snapshots/REVISION`), it may also lead into the `blobs`
beside it. Links to folders, and what is neither file nor folder, are refused. Two things are passed over: the file
of the signature, and the notes that huggingface_hub keeps in `.cache/huggingface`, by their names.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from nomoat.attestation.errors import NotVerified, Reason

CHUNK: Final = 1 << 20  # bytes

# _local_folder.py and _tree_cache.py of huggingface_hub 2.4.
_NOTES: Final = re.compile(
    r"[.]cache/huggingface/(?:[.]gitignore(?:[.]lock)?|CACHEDIR[.]TAG|trees/[0-9a-f]{40}[.]json"
    r"|download/.+[.](?:metadata|lock|incomplete))",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file of a snapshot: its path in it, where its bytes are, and how many (bytes)."""

    path: str
    place: Path
    size: int


def list_snapshot(directory: Path, signature: Path) -> list[SnapshotFile]:
    """Return the files of a snapshot without that of its signature, by path.

    Raises `NotVerified` for what no snapshot has (links that leave it, links to folders, devices), `OSError` for
    what cannot be read.
    """
    root = directory.resolve()
    own = signature.parent.resolve() / signature.name
    found = [
        _examine(root, path)
        for path in _walk(root)
        if path != own and not _NOTES.fullmatch(path.relative_to(root).as_posix())
    ]
    return sorted(found, key=lambda file: file.path)


def hash_file(file: SnapshotFile, note: Callable[[int], None] = lambda _: None) -> str:
    """Return the SHA-256 (hex) of a file, read piece by piece; `note` hears of each piece's size (bytes)."""
    digest, buffer = sha256(), bytearray(CHUNK)
    view = memoryview(buffer)
    # The place was resolved: a link that stands there now was put there meanwhile.
    descriptor = os.open(file.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotVerified(f"{file.path!r} is no file any more", Reason.FILES)
        while count := stream.readinto(buffer):
            digest.update(view[:count])
            note(count)
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder that is no folder itself; links are not followed."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    yield Path(entry.path)


def _examine(root: Path, path: Path) -> SnapshotFile:
    name = path.relative_to(root).as_posix()
    place = path
    if path.is_symlink():
        try:
            place = path.resolve(strict=True)
        except (OSError, RuntimeError):  # it leads nowhere, or round and round
            raise NotVerified(f"{name!r} is a link that leads to nothing", Reason.FILES) from None
        blobs = root.parent.parent / "blobs" if root.parent.name == "snapshots" else None
        if not place.is_relative_to(root) and place.parent != blobs:
            raise NotVerified(f"{name!r} is a link that leaves the directory", Reason.FILES)
    status = place.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a link to a folder" if place != path else "neither a file nor a folder"
        raise NotVerified(f"{name!r} is {kind}", Reason.FILES)
    return SnapshotFile(name, place, status.st_size)
