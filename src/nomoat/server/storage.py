"""What a data directory holds, each part opened with its key."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nomoat.audit.entries import Pseudonyms
from nomoat.audit.prefix import newest_segment
from nomoat.core.errors import Unavailable
from nomoat.server.apart import Apart
from nomoat.server.names import CONTENTS
from nomoat.stores.chunks import StoredChunks
from nomoat.stores.contents import StoredContents
from nomoat.stores.keyring import Keyring
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.objects import Objects
from nomoat.stores.profiles import Profiles
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys


@dataclass(frozen=True, slots=True)
class Stores:
    """What a data directory holds, opened."""

    directory: Path
    index_key: bytes
    keyring: Keyring
    kek: KeyEncryptionKey
    keys: KeyStore
    state: State
    objects: Objects
    subject_keys: StoredSubjectKeys
    chunks: StoredChunks
    contents: StoredContents
    profiles: Profiles
    key_of: Callable[[str], bytes]  # of a project's pseudonyms


def require_log(directory: Path, keys: StoredSubjectKeys) -> None:
    """Let a log begin only where none was: one that is lost, or not mounted, is not replaced by an empty one."""
    if not newest_segment(directory) and keys.any():
        raise Unavailable(
            "log",
            "it is gone, and the database knows that there was one: put the log directory back, or restore the "
            "newest backup: nomoat restore",
        )


def stores_of(directory: Path, keyring: Keyring, kek: KeyEncryptionKey, state: State, apart: Apart) -> Stores:
    """Open what lies in a data directory, under the keys that its keyring holds."""
    objects, key = Objects(directory / "objects", kek), kek.derive("profiles")
    pseudonyms = kek.derive("view-pseudonyms")
    keys, subject_keys = KeyStore(directory / "keys", kek), StoredSubjectKeys(state, kek)
    return Stores(
        directory,
        kek.derive("index"),
        keyring,
        kek,
        keys,
        state,
        objects,
        subject_keys,
        StoredChunks(directory / "columns", state, kek),
        StoredContents(directory / CONTENTS, subject_keys, Pseudonyms(keys.load("pseudonyms")).subject),
        Profiles(state, objects, apart.profiler(key).profile, key),
        lambda project: hmac.digest(pseudonyms, project.encode(), "sha256"),
    )
