"""PKCS#11: the key lies in a module of hardware (or SoftHSM), which encrypts with it and never gives it out.

Rules: the key is an AES key of 256 bits that may encrypt and decrypt. AES-GCM with the context as associated data, and
a fresh nonce in front of what is wrapped. A session is opened for each use and closed after it.
PKCS#11 3.0, section 2.13.3 (AES-GCM).
"""

import json
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, cast, final

import pkcs11
from pkcs11 import GCMParams, KeyType, Mechanism, ObjectClass

from nomoat.core.errors import Unavailable
from nomoat.stores.keys import KEY_SIZE, read_secret
from nomoat.stores.kms.port import unavailable

_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16


@final
class Pkcs11Token:
    """One key of a token: `module` (the library), `token` and `key` (their labels), `pin_file`."""

    name: ClassVar[str] = "pkcs11"

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._where = f"the PKCS#11 token {settings['token']!r}"

    def wrap(self, key: bytes, context: Mapping[str, str]) -> bytes:
        """Wrap 32 bytes for a context. Raises `Unavailable`."""
        nonce = secrets.token_bytes(_NONCE_SIZE)
        with self._key() as kept:
            return nonce + bytes(
                kept.encrypt(key, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, _bound(context)))
            )

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return what was wrapped for this very context. Raises `Unavailable`."""
        nonce, sealed = wrapped[:_NONCE_SIZE], wrapped[_NONCE_SIZE:]
        advice = "this key file is of another key or trust domain, or was changed: restore it from its copy"
        if len(sealed) != KEY_SIZE + _TAG_SIZE:
            raise unavailable(self._where, "did not decrypt", advice)
        with self._key() as kept:
            try:
                param = GCMParams(nonce, _bound(context))
                return bytes(kept.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=param))
            except pkcs11.PKCS11Error as error:  # a tag that is not right has another error in every module
                raise unavailable(self._where, f"did not decrypt ({type(error).__name__})", advice) from error

    @contextmanager
    def _key(self) -> Generator[Any]:
        settings = self._settings
        pin = self._pin()
        try:
            token = pkcs11.lib(settings["module"]).get_token(token_label=settings["token"])
            with token.open(user_pin=pin) as session:
                yield cast("Any", session).get_key(
                    object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=settings["key"]
                )
        except pkcs11.NoSuchToken as error:
            raise unavailable(self._where, "is not there", "connect it, or correct [keys] in nomoat.toml") from error
        except pkcs11.NoSuchKey as error:
            advice = "make it, or correct [keys] in nomoat.toml"
            raise unavailable(self._where, f"has no AES key {settings['key']!r}", advice) from error
        except pkcs11.PinIncorrect as error:
            advice = f"correct {settings['pin_file']}: a token locks after some wrong ones"
            raise unavailable(self._where, "refused the PIN", advice) from error
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            advice = "see that its module is installed and works, and start again"
            raise unavailable(self._where, f"failed ({type(error).__name__})", advice) from error

    def _pin(self) -> str:
        path = Path(self._settings["pin_file"])
        try:
            return read_secret(path).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable("kms", f"the PIN {path} cannot be read: restore it") from error


def _bound(context: Mapping[str, str]) -> bytes:
    return json.dumps(context, sort_keys=True).encode()
