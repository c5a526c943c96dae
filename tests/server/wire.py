"""Bytes on a TLS connection, exactly as the test wants them."""

import json
import socket
import ssl
from dataclasses import dataclass

from tests.hub.live import Live


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


def connect(live: Live, profile: str = "") -> ssl.SSLSocket:
    """A TLS connection to the gateway, with the certificate of `profile` if named."""
    host, _, port = live.url.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cadata=next(iter(live.profiles.values())).read("ca.pem").decode())
    if profile:
        directory = live.profiles[profile].directory
        context.load_cert_chain(directory / "certificate.pem", directory / "device.key")
    return context.wrap_socket(socket.create_connection((host, int(port)), timeout=20), server_hostname=host)


def read_answer(channel: ssl.SSLSocket) -> Answer:
    """Read one answer; a connection closed before it is status 0."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            part = channel.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            part = b""
        if not part:
            return Answer(0, {}, data)
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        part = channel.recv(65536)
        if not part:
            break
        body += part
    return Answer(int(lines[0].split()[1]), headers, body)


def send(live: Live, request: bytes, profile: str = "") -> Answer:
    """Send one request as it is and read the answer."""
    with connect(live, profile) as channel:
        channel.sendall(request)
        return read_answer(channel)


def get(live: Live, path: str, *lines: str, method: str = "GET", body: bytes = b"", profile: str = "") -> Answer:
    """Send a request line, these header lines and a body."""
    head = [f"{method} {path} HTTP/1.1", "Host: gateway", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return send(live, "\r\n".join([*head, "", ""]).encode("latin-1") + body, profile)


def bearer(live: Live, name: str) -> str:
    """The header line with the plain access token of `name`."""
    return f"Authorization: Bearer {live.profiles[name].read('hub/token').decode()}"
