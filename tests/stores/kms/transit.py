"""A simulator of the transit engine's API (encrypt and decrypt with associated data), with faults.

It is no Vault and no OpenBao: it follows https://openbao.org/api-docs/secret/transit/ in what the client uses.
"""

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "s.simulated-token"
PREFIX = "vault:v1:"


class Transit(ThreadingHTTPServer):
    """One mount with one key. `fault` is an HTTP status that every request is answered with, or None, `refused` a verb that is refused."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = AESGCM(os.urandom(32))
        self.fault: int | None = None
        self.garbled = False
        self.refused = ""
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Transit

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)
        if self.server.fault:
            self._answer(self.server.fault, {"errors": ["Vault is sealed"]})
        elif self.headers["X-Vault-Token"] != TOKEN or self.path.split("/")[3] == self.server.refused:
            self._answer(403, {"errors": ["permission denied"]})
        elif self.server.garbled:
            self._answer(200, {"data": {"other": 1}})
        else:
            self._transit(body)

    def _transit(self, body: dict[str, str]) -> None:
        bound = base64.b64decode(body["associated_data"])
        if self.path == "/v1/transit/encrypt/gateway":
            nonce = os.urandom(12)
            sealed = nonce + self.server.key.encrypt(nonce, base64.b64decode(body["plaintext"]), bound)
            self._answer(200, {"data": {"ciphertext": PREFIX + base64.b64encode(sealed).decode(), "key_version": 1}})
        elif self.path == "/v1/transit/decrypt/gateway":
            try:
                sealed = base64.b64decode(body["ciphertext"].removeprefix(PREFIX))
                plain = self.server.key.decrypt(sealed[:12], sealed[12:], bound)
            except (InvalidTag, ValueError):
                self._answer(400, {"errors": ["cipher: message authentication failed"]})
            else:
                self._answer(200, {"data": {"plaintext": base64.b64encode(plain).decode()}})
        else:
            self._answer(404, {"errors": []})

    def _answer(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def transit() -> Iterator[Transit]:
    server = Transit()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
