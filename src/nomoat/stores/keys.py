"""Keys at rest: the key-encryption key, and the private keys that lie wrapped by it.

Rules: the key-encryption key lies outside the data directory, readable by its owner alone; nothing
else on the disk is worth stealing without it. Every use of it goes through a key derived for one
purpose, so that bytes wrapped for one thing never unwrap as another. A file of a key appears whole
or not at all and is never overwritten. Losing the key-encryption key loses everything: keep a copy.
"""

import base64
import binascii
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nomoat.core.errors import Conflict, Corrupt, Misuse, Unavailable
from nomoat.stores.disk import sync_directory

KEY_SIZE: Final = 32

_MARK: Final = "nomoat-kek-1:"
_WRAPPED_VERSION: Final = b"\x01"
_NONCE_SIZE: Final = 12  # NIST SP 800-38D, section 8.2.2
_TAG_SIZE: Final = 16
_FILE_LIMIT: Final = 64 * 1024
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


@final
class KeyEncryptionKey:
    """The key that wraps every other key: 32 bytes, held in memory, never shown."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        # 32 random bytes have about 30 different values; fewer than 16 happen less than once in 10^15 keys.
        if len(key) != KEY_SIZE or len(set(key)) < KEY_SIZE // 2:
            raise Unavailable(
                "keys", f"a key-encryption key is {KEY_SIZE} random bytes; this is not one: restore it from its copy"
            )
        self._key = key

    def __repr__(self) -> str:
        return "KeyEncryptionKey(…)"

    @classmethod
    def create(cls, path: Path) -> "KeyEncryptionKey":
        """Make a new key in a file of its own (mode 0600, its directory 0700) and return it.

        Raises `Conflict` when the file is there already, `Unavailable` when it cannot be made.
        """
        made = cls(secrets.token_bytes(KEY_SIZE))
        text = _MARK + base64.b64encode(made._key).decode("ascii") + "\n"
        _write_new(path, text.encode("ascii"), f"the key-encryption key {path}")
        return made

    @classmethod
    def load(cls, path: Path) -> "KeyEncryptionKey":
        """Read the key from its file.

        Raises `Unavailable`, saying what to do, when the file is missing, is another user's, can be
        read by others than its owner, or does not hold a key.
        """
        try:
            content = _read_private(path)
        except FileNotFoundError:
            raise Unavailable(
                "keys", f"there is no key-encryption key at {path}: restore it from its copy, or name another place"
            ) from None
        except OSError as error:
            raise Unavailable("keys", f"the key-encryption key at {path} cannot be read: {error.strerror}") from error
        text = content.decode("ascii", "replace").strip()
        try:
            key = base64.b64decode(text.removeprefix(_MARK), validate=True) if text.startswith(_MARK) else b""
        except binascii.Error:
            key = b""
        return cls(key)

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key for one purpose (HKDF-SHA256, RFC 5869): the same one every time."""
        return self._expand("derive", purpose)

    def wrap(self, key: bytes, *, purpose: str) -> bytes:
        """Encrypt a key so that only `unwrap` with the same purpose returns it (AES-256-GCM).

        The result is 29 bytes longer: version, nonce, ciphertext and tag. A purpose names one thing
        (a blob, a key file), so no key encrypts more than a handful of messages.
        """
        nonce = secrets.token_bytes(_NONCE_SIZE)
        sealed = AESGCM(self._expand("wrap", purpose)).encrypt(nonce, key, _WRAPPED_VERSION)
        return _WRAPPED_VERSION + nonce + sealed

    def unwrap(self, wrapped: bytes, *, purpose: str) -> bytes:
        """Return what was wrapped for this purpose; raise `Corrupt` for anything else."""
        nonce, sealed = wrapped[1 : 1 + _NONCE_SIZE], wrapped[1 + _NONCE_SIZE :]
        if wrapped[:1] != _WRAPPED_VERSION or len(sealed) < _TAG_SIZE:
            raise Corrupt("a wrapped key")
        try:
            return AESGCM(self._expand("wrap", purpose)).decrypt(nonce, sealed, _WRAPPED_VERSION)
        except InvalidTag:
            raise Corrupt("a wrapped key") from None

    def _expand(self, use: str, purpose: str) -> bytes:
        # `use` holds no slash, so no two pairs have the same info.
        info = f"nomoat/v1/{use}/{purpose}".encode()
        return HKDF(SHA256(), length=KEY_SIZE, salt=None, info=info).derive(self._key)


@final
class KeyStore:
    """The private keys of the trust domain: one file each, wrapped, in one directory."""

    def __init__(self, directory: Path, kek: KeyEncryptionKey) -> None:
        self._directory = directory
        self._kek = kek

    def create(self, name: str, secret: bytes) -> None:
        """Keep `secret` as `name` (lower-case letters, digits and `-`), durably.

        Raises `Conflict` when the name is taken, `Unavailable` when it cannot be written.
        """
        path = self._path(name)
        _write_new(path, self._kek.wrap(secret, purpose=f"key/{name}"), f"the key {name}")

    def load(self, name: str) -> bytes:
        """Return the secret kept as `name`.

        Raises `Unavailable` when it is missing or unreadable, `Corrupt` when it was changed, belongs
        to another name, or was wrapped by another key-encryption key.
        """
        try:
            wrapped = _read_private(self._path(name))
        except FileNotFoundError:
            raise Unavailable("keys", f"the key {name} is missing from the data directory: restore it") from None
        except OSError as error:
            raise Unavailable("keys", f"the key {name} cannot be read: {error.strerror}") from error
        try:
            return self._kek.unwrap(wrapped, purpose=f"key/{name}")
        except Corrupt:
            raise Corrupt(f"the key {name} (or the key-encryption key is not the one that wrapped it)") from None

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Misuse(f"{name!r:.80} is no name of a key")
        return self._directory / f"{name}.key"


def _write_new(path: Path, content: bytes, what: str) -> None:
    """Write a private file durably; it appears whole under its name, which must be free."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            try:
                os.link(unfinished, path)  # unlike rename, never replaces
            except FileExistsError:
                raise Conflict(f"{what} exists already; it is never overwritten") from None
        finally:
            unfinished.unlink()
        sync_directory(path.parent)
    except OSError as error:
        raise Unavailable("keys", f"{what} cannot be written: {error.strerror}") from error


def read_secret(path: Path) -> bytes:
    """Read a secret that lies in a file of its own; raises `OSError`, and `Unavailable` if others can read it."""
    return _read_private(path)


def _read_private(path: Path) -> bytes:
    """Read a file that must be its owner's alone; the check and the read are of the same open file."""
    # O_NONBLOCK: a pipe in its place must not hold the start-up.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Unavailable("keys", f"{path} is not a regular file")
        if status.st_uid not in {os.geteuid(), 0}:
            raise Unavailable("keys", f"{path} belongs to another user: chown it to the one that runs NoMoat")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Unavailable("keys", f"{path} can be read by other users: chmod 600 {path}")
        return file.read(_FILE_LIMIT)
