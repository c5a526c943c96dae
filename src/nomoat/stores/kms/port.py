"""Key management: what wraps the key-encryption key itself, in a file, a vault, a cloud or a module of hardware.

Rules: it sees 32 bytes at start-up and at a rotation, and never a data key: none of it is on the path of a request.
What it wraps is bound to a context that names the trust domain and the version, so that the key of one gateway does
not unwrap as another's. Whatever goes wrong is `Unavailable`, and says what to do. Each implementation is imported
when the configuration names it, and only then.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from nomoat.core.errors import Unavailable


class KeyManagement(Protocol):
    """One place that wraps keys."""

    name: ClassVar[str]
    """What nomoat.toml and the key file call it."""

    def wrap(self, key: bytes, context: Mapping[str, str]) -> bytes:
        """Wrap 32 bytes for a context. Raises `Unavailable`."""
        ...

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return what was wrapped for this very context. Raises `Unavailable`."""
        ...


def unavailable(where: str, what: str, advice: str) -> Unavailable:
    """Say what a key management service did not do, and what to do about it."""
    return Unavailable("kms", f"{where} {what}: {advice}")
