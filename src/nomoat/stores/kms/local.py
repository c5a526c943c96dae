"""No key management service: the key-encryption key lies in its file as it is, which only its owner may read."""

from collections.abc import Mapping
from typing import ClassVar, final


@final
class LocalFile:
    """What wraps nothing: the file's mode and its place outside the data directory are the protection."""

    name: ClassVar[str] = "local"

    def wrap(self, key: bytes, context: Mapping[str, str]) -> bytes:
        """Return the key itself."""
        del context
        return key

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return the key itself."""
        del context
        return wrapped
