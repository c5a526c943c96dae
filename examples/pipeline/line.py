"""A bare line to the gateway: HTTPS by hand, for whoever holds what they should not.

Rules: TLS is verified as everywhere; what is presented is exactly what is given, and never printed.
"""

import base64
import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

PATIENCE_S: Final = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, and what the caller is told if it is no success."""

    status: int
    told: str
    size: int


class Line:
    """HTTPS to one gateway from the address `source`, trusting the CA certificate in the file `ca`."""

    def __init__(self, url: str, ca: Path, source: str = "127.0.0.1") -> None:
        self._address = urlsplit(url)
        self._ca = ca
        self._source = source

    def get(self, path: str, *, token: str = "", profile: Path | None = None) -> Answer:
        """GET a path, with a bearer token, with the certificate of a profile, or with both.

        Raises `ssl.SSLError` or `ConnectionError` when the gateway ends the connection instead.
        """
        body, status = self._fetch(path, token, profile)
        return Answer(status, "" if status == http.client.OK else _sentence(body), len(body))

    def newest(self) -> int:
        """The number of the newest record, from the public checkpoint (-1: none)."""
        body, _ = self._fetch("/v1/checkpoint", "", None)
        return int(body.split(b"\n")[1]) - 1

    def _fetch(self, path: str, token: str, profile: Path | None) -> tuple[bytes, int]:
        context = ssl.create_default_context(cafile=str(self._ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if profile is not None:
            context.load_cert_chain(profile / "certificate.pem", profile / "device.key")
        host, port = self._address.hostname or "", self._address.port
        connection = http.client.HTTPSConnection(
            host, port, context=context, timeout=PATIENCE_S, source_address=(self._source, 0)
        )
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            response = connection.getresponse()
            return response.read(), response.status
        finally:
            connection.close()


def other_address() -> str:
    """Another address of this machine than its programs use, so that the log can tell strangers apart.

    Only Linux has the whole of 127.0.0.0/8; elsewhere it is the same one.
    """
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.66", 0))
        except OSError:
            return "127.0.0.1"
    return "127.0.0.66"


def expiry(token: str) -> int:
    """When a token expires (Unix seconds): anybody who holds it can read that."""
    claims = token.split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])


def _sentence(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
