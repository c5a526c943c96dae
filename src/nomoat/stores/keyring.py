"""The keyring: the file of the key-encryption key, in one version or several, each wrapped by key management.

Rules: it lies outside the data directory and is its owner's alone. A new content takes the place of the old one whole,
after it was read back; what the old one could open, it can. A version leaves only by `destroy`.

A file of one version and without key management is one line, as `KeyEncryptionKey.create` writes it. Any other is a
line that says so, and JSON: `kms`, the wrapped `keys` by version, and `derived`, the derived keys that stay, each
wrapped by the newest version.
"""

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast, final

from nomoat.core.errors import Conflict, Corrupt, NotFound, Unavailable
from nomoat.stores.keys import KEY_SIZE, KeyEncryptionKey, parse_key, read_key_file, write_over
from nomoat.stores.kms.local import LocalFile
from nomoat.stores.kms.port import KeyManagement

_MARK: Final = b"nomoat-keyring-1\n"


@final
class Keyring:
    """The key file at `path` of a trust domain, kept by `kms`."""

    def __init__(self, path: Path, kms: KeyManagement, trust_domain: str) -> None:
        self.path = path
        self.kms = kms
        self._trust_domain = trust_domain

    def load(self) -> KeyEncryptionKey:
        """Read the key, and have it read again when a version is missing in it.

        Raises `Unavailable`, saying what to do, when the file is not to be had or is none, or key management fails.
        """
        return self._parsed(read_key_file(self.path), self.kms)

    def probe(self) -> None:
        """Have key management wrap and unwrap a key that nothing uses. Raises `Unavailable`, saying what to do."""
        key, context = secrets.token_bytes(KEY_SIZE), self._context(0)
        if not hmac.compare_digest(self.kms.unwrap(self.kms.wrap(key, context), context), key):
            raise Unavailable("kms", f"{self.kms.name} does not return the key that it wrapped: look at its log")

    def rotate(self, kek: KeyEncryptionKey) -> int:
        """Make a new version, durably, and have `kek` wrap with it from then on; return its number.

        Raises `Unavailable`: then everything is as before.
        """
        held = self.load()
        version = held.newest + 1
        made = KeyEncryptionKey({**held.versions, version: secrets.token_bytes(KEY_SIZE)}, held.derived)
        self._keep(made)
        # INVARIANT (first durable): nothing is wrapped by a version that a crash could take away.
        kek.learn(made)
        return version

    def destroy(self, version: int) -> None:
        """Take a version out of the file, durably; what it wrapped is lost, wherever it lies. Raises as `require_old`."""
        held = self.require_old(version)
        left = {each: key for each, key in held.versions.items() if each != version}
        self._keep(KeyEncryptionKey(left, held.derived))

    def require_old(self, version: int) -> KeyEncryptionKey:
        """Return what the file holds.

        Raises `NotFound` when it holds no such version, `Conflict` when that is the newest, `Unavailable`.
        """
        held = self.load()
        if version not in held.versions:
            known = ", ".join(map(str, sorted(held.versions)))
            raise NotFound(f"there is no version {version} in {self.path}; there are: {known}", kind="entry")
        if version == held.newest:
            raise Conflict(f"version {version} is the newest, which wraps everything; run: nomoat keys rotate")
        return held

    def adopt(self) -> None:
        """Wrap a file that key management does not keep yet. Raises `Conflict` when it does, `Unavailable`."""
        content = read_key_file(self.path)
        if (kept := _kms_of(content)) != LocalFile.name or self.kms.name == LocalFile.name:
            raise Conflict(f"{self.path} is kept by {kept!r}, and nomoat.toml says {self.kms.name!r}: nothing to adopt")
        self._keep(self._parsed(content, LocalFile()))

    def _keep(self, kek: KeyEncryptionKey) -> None:
        keys = {version: self.kms.wrap(key, self._context(version)) for version, key in kek.versions.items()}
        derived = {purpose: kek.wrap(key, purpose=f"derived/{purpose}") for purpose, key in kek.derived.items()}
        said = {
            "kms": self.kms.name,
            "keys": {str(version): _text(key) for version, key in sorted(keys.items())},
            "derived": {purpose: _text(key) for purpose, key in sorted(derived.items())},
        }
        content = _MARK + json.dumps(said, indent=1).encode() + b"\n"
        if self._parsed(content, self.kms).versions != kek.versions:  # before anything depends on it
            raise Unavailable("kms", f"{self.kms.name} does not return the key that it wrapped: nothing was changed")
        write_over(self.path, content, f"the key-encryption key {self.path}")

    def _parsed(self, content: bytes, kms: KeyManagement) -> KeyEncryptionKey:
        if (kept := _kms_of(content)) != kms.name:
            advice = "run: nomoat keys adopt DIRECTORY" if kept == LocalFile.name else "correct [keys] in nomoat.toml"
            raise Unavailable("keys", f"{self.path} is kept by {kept!r}, and nomoat.toml says {kms.name!r}: {advice}")
        if not content.startswith(_MARK):
            return KeyEncryptionKey(parse_key(content), reload=self.load)
        try:
            said = cast("dict[str, dict[str, str]]", json.loads(content[len(_MARK) :]))
            wrapped = {int(version): base64.b64decode(key, validate=True) for version, key in said["keys"].items()}
            sealed = {purpose: base64.b64decode(key, validate=True) for purpose, key in said["derived"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            wrapped, sealed = {}, {}
        if not wrapped or min(wrapped) < 1:
            raise Unavailable("keys", f"{self.path} holds no key-encryption key: restore it from its copy")
        keys = {version: kms.unwrap(key, self._context(version)) for version, key in wrapped.items()}
        kek = KeyEncryptionKey(keys)
        try:
            derived = {purpose: kek.unwrap(key, purpose=f"derived/{purpose}") for purpose, key in sealed.items()}
        except Corrupt:
            raise Unavailable("keys", f"{self.path} was changed: restore it from its copy") from None
        return KeyEncryptionKey(keys, derived, self.load)

    def _context(self, version: int) -> Mapping[str, str]:
        return {"nomoat": "key-encryption-key", "trust-domain": self._trust_domain, "version": str(version)}


def _kms_of(content: bytes) -> str:
    """Which key management a file says that it is kept by."""
    if not content.startswith(_MARK):
        return LocalFile.name
    try:
        said: object = json.loads(content[len(_MARK) :])
    except ValueError:
        said = None
    return str(cast("dict[str, object]", said).get("kms")) if isinstance(said, dict) else "nobody"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
