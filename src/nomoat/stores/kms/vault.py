"""The transit engine of HashiCorp Vault or OpenBao: the key never leaves it, and it keeps a record of each use.

Rules: the transit key is of a kind with associated data (aes256-gcm96, the usual one), which the context becomes; it
needs `encrypt` and `decrypt` on that key, and nothing else. The token lies in a file of its own and is read at each
use, so that whoever renews it (an agent) only writes the file.
https://openbao.org/api-docs/secret/transit/#encrypt-data
"""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final, cast, final

import hvac
from hvac.exceptions import Forbidden, InvalidRequest, VaultError

from nomoat.core.errors import Unavailable
from nomoat.stores.keys import read_secret
from nomoat.stores.kms.port import unavailable

TIMEOUT_S: Final = 10


@final
class VaultTransit:
    """One key of a transit engine: `url`, `key`, `token_file`, and maybe `mount`, `namespace`, `ca_file`."""

    name: ClassVar[str] = "vault"

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._mount = settings.get("mount", "transit")

    def wrap(self, key: bytes, context: Mapping[str, str]) -> bytes:
        """Wrap 32 bytes for a context. Raises `Unavailable`."""
        answer = self._ask("encrypt", {"plaintext": _text(key), "associated_data": _bound(context)}, "ciphertext")
        return answer.encode()

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return what was wrapped for this very context. Raises `Unavailable`."""
        asked = {"ciphertext": wrapped.decode("ascii", "replace"), "associated_data": _bound(context)}
        try:
            return base64.b64decode(self._ask("decrypt", asked, "plaintext"), validate=True)
        except binascii.Error:
            raise unavailable(self._where, "did not answer as the transit engine does", "look at its url") from None

    @property
    def _where(self) -> str:
        return f"the vault at {self._settings['url']}"

    def _ask(self, verb: str, asked: Mapping[str, str], wanted: str) -> str:
        client = hvac.Client(
            url=self._settings["url"],
            token=self._token(),
            verify=self._settings.get("ca_file", True),
            timeout=TIMEOUT_S,
            namespace=self._settings.get("namespace"),
        )
        path = f"{self._mount}/{verb}/{self._settings['key']}"
        try:
            answer: object = client.write_data(path, data=dict(asked))
        except Forbidden as error:
            advice = f"give the token of {self._settings['token_file']} a policy with update on {path}"
            raise unavailable(self._where, f"refused to {verb}", advice) from error
        except InvalidRequest as error:
            advice = "this key file is of another key or trust domain, or was changed: restore it from its copy"
            raise unavailable(self._where, f"did not {verb} ({error})", advice) from error
        except (VaultError, OSError) as error:  # what requests raises is an OSError
            advice = "unseal it, or see that it runs and can be reached, and start again"
            raise unavailable(self._where, f"did not answer ({type(error).__name__})", advice) from error
        found = _found(answer, wanted)
        if found is None:
            raise unavailable(self._where, "did not answer as the transit engine does", "look at its url and mount")
        return found

    def _token(self) -> str:
        path = Path(self._settings["token_file"])
        try:
            return read_secret(path).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable("kms", f"the vault's token {path} cannot be read: restore it, or log in anew") from error


def _found(answer: object, wanted: str) -> str | None:
    data = cast("dict[str, object]", answer).get("data") if isinstance(answer, dict) else None
    value = cast("dict[str, object]", data).get(wanted) if isinstance(data, dict) else None
    return value if isinstance(value, str) else None


def _bound(context: Mapping[str, str]) -> str:
    return _text(json.dumps(context, sort_keys=True).encode())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
