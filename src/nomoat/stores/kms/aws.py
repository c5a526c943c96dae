"""AWS KMS: the key never leaves it, and CloudTrail records each use with the encryption context.

Rules: it needs kms:Encrypt and kms:Decrypt on that key, and nothing else. Credentials are found as AWS's own tools
find them (the instance's role, the environment), and none is in the configuration.
https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, cast, final

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from nomoat.core.errors import Unavailable
from nomoat.stores.kms.port import unavailable

_CONFIG: Final = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
_DENIED: Final = frozenset({"AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"})
_OTHER: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


@final
class AwsKms:
    """One key of AWS KMS: `key` (its id, ARN or alias), `region`, and maybe `endpoint`."""

    name: ClassVar[str] = "aws"

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._key = settings["key"]
        self._where = f"AWS KMS in {settings['region']}"
        try:
            self._client: Any = cast("Any", boto3).client(
                "kms", region_name=settings["region"], endpoint_url=settings.get("endpoint"), config=_CONFIG
            )
        except (BotoCoreError, ValueError) as error:
            raise unavailable(self._where, f"cannot be used ({error})", "correct [keys] in nomoat.toml") from error

    def wrap(self, key: bytes, context: Mapping[str, str]) -> bytes:
        """Wrap 32 bytes for a context. Raises `Unavailable`."""
        return self._ask("encrypt", "CiphertextBlob", Plaintext=key, EncryptionContext=dict(context))

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return what was wrapped for this very context. Raises `Unavailable`."""
        return self._ask("decrypt", "Plaintext", CiphertextBlob=wrapped, EncryptionContext=dict(context))

    def _ask(self, verb: str, wanted: str, **asked: object) -> bytes:
        try:
            # The key is named for decrypting, too: otherwise anybody's key would do that the credentials may use.
            answer = getattr(self._client, verb)(KeyId=self._key, **asked)
        except ClientError as error:
            raise self._refused(verb, str(cast("Any", error).response.get("Error", {}).get("Code", ""))) from error
        except BotoCoreError as error:
            advice = "see that it can be reached and that credentials are found, and start again"
            raise unavailable(self._where, f"did not answer ({type(error).__name__})", advice) from error
        return bytes(answer[wanted])

    def _refused(self, verb: str, code: str) -> Unavailable:
        if code in _DENIED:
            return unavailable(self._where, f"refused to {verb} ({code})", f"allow kms:{verb.title()} on {self._key}")
        if code in _OTHER:
            advice = "this key file is of another key or trust domain, or was changed: restore it from its copy"
            return unavailable(self._where, f"did not {verb} ({code})", advice)
        return unavailable(self._where, f"did not {verb} ({code})", f"see that {self._key} is there and enabled")
