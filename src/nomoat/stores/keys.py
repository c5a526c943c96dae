"""Keys at rest: the key-encryption key, and the private keys that lie wrapped by it.

Rules: the key-encryption key lies outside the data directory, readable by its owner alone; nothing
else on the disk is worth stealing without it. Every use of it goes through a key derived for one
purpose, so that bytes wrapped for one thing never unwrap as another. A file of a key appears whole
or not at all; nothing replaces it but the same key, wrapped anew. Losing the key-encryption key loses
everything: keep a copy.
"""

import base64
import binascii
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nomoat.core.errors import Conflict, Corrupt, Misuse, Unavailable
from nomoat.stores.disk import sync_directory

KEY_SIZE: Final = 32
DERIVED: Final = ("state", "index", "backup-manifest", "profiles", "view-pseudonyms")
"""What keys are derived for: the database, the index beside the log, the manifests of backups, the hashes of what is
known of contents, the pseudonyms of views."""

_MARK: Final = "nomoat-kek-1:"
_FIRST: Final = b"\x01"
_LATER: Final = b"\x02"
_VERSION_SIZE: Final = 4
_NONCE_SIZE: Final = 12  # NIST SP 800-38D, section 8.2.2
_TAG_SIZE: Final = 16
_FILE_LIMIT: Final = 64 * 1024
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


@final
class KeyEncryptionKey:
    """The key that wraps every other key, in one version or several: 32 bytes each, held in memory, never shown.

    The newest version wraps. What is wrapped says which one did, and every version unwraps what is its own; one
    that is not known is looked for once more where the key came from, because it may be of a rotation meanwhile.
    """

    __slots__ = ("_derived", "_keys", "_reload")

    def __init__(
        self,
        key: bytes | Mapping[int, bytes],
        derived: Mapping[str, bytes] = MappingProxyType({}),
        reload: Callable[[], "KeyEncryptionKey"] | None = None,
    ) -> None:
        """Take one key, or several by their versions, which begin at 1.

        `derived` are, by purpose, keys that stay what they were derived as from the first version.
        """
        self._keys = {1: key} if isinstance(key, bytes) else dict(key)
        self._derived = dict(derived)
        self._reload = reload
        for each in self._keys.values():
            # 32 random bytes have about 30 different values; fewer than 16 happen less than once in 10^15 keys.
            if len(each) != KEY_SIZE or len(set(each)) < KEY_SIZE // 2:
                said = f"a key-encryption key is {KEY_SIZE} random bytes; this is not one: restore it from its copy"
                raise Unavailable("keys", said)

    def __repr__(self) -> str:
        return "KeyEncryptionKey(…)"

    @classmethod
    def create(cls, path: Path) -> "KeyEncryptionKey":
        """Make a new key in a file of its own (mode 0600, its directory 0700) and return it.

        Raises `Conflict` when the file is there already, `Unavailable` when it cannot be made.
        """
        key = secrets.token_bytes(KEY_SIZE)
        text = _MARK + base64.b64encode(key).decode("ascii") + "\n"
        _write_new(path, text.encode("ascii"), f"the key-encryption key {path}")
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> "KeyEncryptionKey":
        """Read a key of one version from its file; `Keyring.load` reads those of several.

        Raises `Unavailable`, saying what to do, when the file is missing, is another user's, can be
        read by others than its owner, or does not hold a key.
        """
        return cls(parse_key(read_key_file(path)))

    @property
    def newest(self) -> int:
        """The version that wraps."""
        return max(self._keys)

    @property
    def versions(self) -> Mapping[int, bytes]:
        """Every version with its 32 bytes: for who keeps them, and nobody else."""
        return MappingProxyType(self._keys)

    @property
    def derived(self) -> Mapping[str, bytes]:
        """The derived keys that must outlive the first version, by purpose."""
        return self._derived or {purpose: self.derive(purpose) for purpose in DERIVED}

    def learn(self, other: "KeyEncryptionKey") -> None:
        """Know the versions of `other`, too, from now on."""
        self._keys = {**self._keys, **other.versions}
        self._derived = {**self._derived, **(other.derived if len(other.versions) > 1 else {})}

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key for one purpose (HKDF-SHA256, RFC 5869): the same one every time.

        It is derived from the first version, and kept when there are others: what it opens is not written anew.
        """
        if (kept := self._derived.get(purpose)) is not None:
            return kept
        if self._derived or 1 not in self._keys:
            raise Misuse(f"nothing was derived for {purpose!r} before the first rotation; add it to DERIVED")
        return self._expand(1, "derive", purpose)

    def wrap(self, key: bytes, *, purpose: str) -> bytes:
        """Encrypt a key so that only `unwrap` with the same purpose returns it (AES-256-GCM).

        The result is 29 bytes longer (33 from the second version on): header, nonce, ciphertext and tag. A purpose
        names one thing (a blob, a key file), so no key encrypts more than a handful of messages.
        """
        version, nonce = self.newest, secrets.token_bytes(_NONCE_SIZE)
        header = header_of(version)
        return header + nonce + AESGCM(self._expand(version, "wrap", purpose)).encrypt(nonce, key, header)

    def unwrap(self, wrapped: bytes, *, purpose: str) -> bytes:
        """Return what was wrapped for this purpose; raise `Corrupt` for anything else."""
        version = version_of(wrapped)
        header = header_of(version)
        nonce, sealed = wrapped[len(header) : len(header) + _NONCE_SIZE], wrapped[len(header) + _NONCE_SIZE :]
        if len(sealed) < _TAG_SIZE:
            raise Corrupt("a wrapped key")
        if version not in self._keys and self._reload is not None:
            self.learn(self._reload())
        if version not in self._keys:
            raise Corrupt(f"a wrapped key (version {version} of the key-encryption key wrapped it, which is not here)")
        try:
            return AESGCM(self._expand(version, "wrap", purpose)).decrypt(nonce, sealed, header)
        except InvalidTag:
            raise Corrupt("a wrapped key") from None

    def _expand(self, version: int, use: str, purpose: str) -> bytes:
        # `use` holds no slash, so no two pairs have the same info.
        info = f"nomoat/v1/{use}/{purpose}".encode()
        return HKDF(SHA256(), length=KEY_SIZE, salt=None, info=info).derive(self._keys[version])


def header_of(version: int) -> bytes:
    """What begins everything that a version wrapped. The first one's is the form from before there were others."""
    return _FIRST if version == 1 else _LATER + version.to_bytes(_VERSION_SIZE, "big")


def version_of(wrapped: bytes) -> int:
    """The version that wrapped something. Raises `Corrupt` for what no version did."""
    if wrapped[:1] == _FIRST:
        return 1
    version = int.from_bytes(wrapped[1 : 1 + _VERSION_SIZE], "big")
    if wrapped[:1] != _LATER or len(wrapped) < 1 + _VERSION_SIZE or version < 2:
        raise Corrupt("a wrapped key")
    return version


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
        wrapped = self._read(name)
        try:
            return self._kek.unwrap(wrapped, purpose=f"key/{name}")
        except Corrupt:
            raise Corrupt(f"the key {name} (or the key-encryption key is not the one that wrapped it)") from None

    def rewrap(self, name: str) -> bool:
        """Wrap the key `name` by the newest version, if it is not yet; return whether it was not. Raises as `load`."""
        if version_of(self._read(name)) == self._kek.newest:
            return False
        write_over(self._path(name), self._kek.wrap(self.load(name), purpose=f"key/{name}"), f"the key {name}")
        return True

    def versions(self) -> Mapping[str, bytes]:
        """What begins each key that there is: `version_of` tells which version wrapped it. Raises `Unavailable`."""
        try:
            paths = sorted(path for path in self._directory.glob("*.key") if path.name[0] != ".")
            return {path.stem: _read_private(path) for path in paths}
        except OSError as error:
            raise Unavailable("keys", f"the keys cannot be read: {error.strerror}") from error

    def _read(self, name: str) -> bytes:
        try:
            return _read_private(self._path(name))
        except FileNotFoundError:
            raise Unavailable("keys", f"the key {name} is missing from the data directory: restore it") from None
        except OSError as error:
            raise Unavailable("keys", f"the key {name} cannot be read: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Misuse(f"{name!r:.80} is no name of a key")
        return self._directory / f"{name}.key"


def read_key_file(path: Path) -> bytes:
    """Read the file of a key-encryption key. Raises `Unavailable`, saying what to do."""
    try:
        return _read_private(path)
    except FileNotFoundError:
        raise Unavailable(
            "keys", f"there is no key-encryption key at {path}: restore it from its copy, or name another place"
        ) from None
    except OSError as error:
        raise Unavailable("keys", f"the key-encryption key at {path} cannot be read: {error.strerror}") from error


def parse_key(content: bytes) -> bytes:
    """The one key in a file of the first form; b'' for anything else."""
    text = content.decode("ascii", "replace").strip()
    try:
        return base64.b64decode(text.removeprefix(_MARK), validate=True) if text.startswith(_MARK) else b""
    except binascii.Error:
        return b""


def _write_new(path: Path, content: bytes, what: str) -> None:
    """Write a private file durably; it appears whole under its name, which must be free."""

    def appear(unfinished: Path) -> None:
        try:
            os.link(unfinished, path)  # unlike rename, never replaces
        except FileExistsError:
            raise Conflict(f"{what} exists already; it is never overwritten") from None

    _write(path, content, what, appear)


def write_over(path: Path, content: bytes, what: str) -> None:
    """Put a private file in the place of another one, durably: whoever looks finds either of them, whole.

    Raises `Unavailable`: then the other one is still there.
    """
    _write(path, content, what, lambda unfinished: _rename(unfinished, path))


def _rename(unfinished: Path, path: Path) -> None:
    unfinished.rename(path)


def _write(path: Path, content: bytes, what: str, appear: Callable[[Path], None]) -> None:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            appear(unfinished)
        finally:
            unfinished.unlink(missing_ok=True)
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
