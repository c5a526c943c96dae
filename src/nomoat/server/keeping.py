"""Who keeps the key-encryption key: the `[keys]` table of nomoat.toml, and the keyring that it means.

Rules: secrets are named by their files, never written into the configuration. Without the table the key lies in its
file as it is. What a key management service needs is imported when the table names it, and only then.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from nomoat.core.errors import Malformed, Unavailable
from nomoat.stores.keyring import Keyring
from nomoat.stores.kms.local import LocalFile
from nomoat.stores.kms.port import KeyManagement

if TYPE_CHECKING:
    from nomoat.server.configuration import Configuration

# Of each: the module and class, the fields that it needs, and those that it may have.
_KINDS: Final = {
    "vault": ("vault:VaultTransit", ("url", "key", "token_file"), ("mount", "ca_file", "namespace")),
    "aws": ("aws:AwsKms", ("key", "region"), ("endpoint",)),
    "pkcs11": ("pkcs11:Pkcs11Token", ("module", "token", "key", "pin_file"), ()),
}


@dataclass(frozen=True, slots=True)
class KeySettings:
    """What `[keys]` says: which key management it is, and its settings by name."""

    kms: str = LocalFile.name
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    def dump(self) -> list[str]:
        """Return the lines of the table."""
        if self.kms == LocalFile.name:
            return []
        said = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        return ["", "[keys]", f"kms = {json.dumps(self.kms)}", *said]


def parse_keys(value: object) -> KeySettings:
    """Parse the table. Raises `Malformed`."""
    table = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    texts = {name: text for name, text in table.items() if isinstance(text, str) and text}
    kms = texts.pop("kms", "")
    if kms == LocalFile.name and len(table) == 1:
        return KeySettings()
    if kms not in _KINDS or len(texts) != len(table) - 1:
        known = ", ".join([LocalFile.name, *_KINDS])
        raise Malformed(f"nomoat.toml: [keys] has a kms, which is one of {known}, and texts as its settings")
    _, needed, more = _KINDS[kms]
    if missing := set(needed) - set(texts):
        raise Malformed(f"nomoat.toml: [keys] lacks {min(missing)!r}, which {kms} needs")
    if unknown := set(texts) - {*needed, *more}:
        raise Malformed(f"nomoat.toml: [keys] has {min(unknown)!r}, which {kms} does not know; remove or correct it")
    return KeySettings(kms, texts)


def open_keyring(configuration: "Configuration") -> Keyring:
    """Return the keyring of a configuration; nothing is read or asked yet. Raises `Unavailable`."""
    return Keyring(configuration.kek, _key_management(configuration.keys), configuration.trust_domain)


def _key_management(keys: KeySettings) -> KeyManagement:
    if keys.kms == LocalFile.name:
        return LocalFile()
    module, _, name = _KINDS[keys.kms][0].partition(":")
    try:
        made: Callable[[Mapping[str, str]], KeyManagement] = getattr(
            importlib.import_module(f"nomoat.stores.kms.{module}"), name
        )
    except ImportError as error:
        reason = (
            f"nomoat.toml names {keys.kms}, and {error.name} is not installed: pip install 'nomoat[kms-{keys.kms}]'"
        )
        raise Unavailable("kms", reason) from error
    return made(keys.settings)
