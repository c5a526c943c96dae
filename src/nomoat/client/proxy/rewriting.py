"""Addresses in answers: a client that came through the proxy must come back to it, not go around it.

Rules: only what is an address of this gateway is changed: the value of a `Link` or `Location` header, and a text
of a JSON answer that begins with it. Contents of files are never JSON here (they are octet streams), and are
passed on as they are.
"""

from dataclasses import dataclass
from typing import Final

LARGEST: Final = 16 * 1024 * 1024  # bytes of a JSON answer that is looked through
_JSON: Final = (b"application/json", b"application/vnd.git-lfs+json")
_ADDRESSES: Final = frozenset({b"link", b"location"})


@dataclass(frozen=True, slots=True)
class Rewriting:
    """From the gateway's address to the proxy's, both as `scheme://host:port`."""

    gateway: bytes
    proxy: bytes

    def header(self, name: bytes, value: bytes) -> bytes:
        """A header's value as the client should see it."""
        if name not in _ADDRESSES:
            return value
        return (
            value.replace(b"<" + self.gateway + b"/", b"<" + self.proxy + b"/")
            if name == b"link"
            else self._moved(value)
        )

    def is_for(self, content_type: bytes, length: bytes) -> bool:
        """Whether a body of this type and length has addresses to be changed."""
        return content_type.partition(b";")[0] in _JSON and length.isdigit() and int(length) <= LARGEST

    def body(self, body: bytes) -> bytes:
        """A JSON body as the client should see it; every text in it that begins with the address is one."""
        return body.replace(b'"' + self.gateway + b"/", b'"' + self.proxy + b"/")

    def _moved(self, value: bytes) -> bytes:
        here = self.gateway + b"/"
        return self.proxy + b"/" + value.removeprefix(here) if value.startswith(here) else value
