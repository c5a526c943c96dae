"""TLS 1.3 for the gateway: its own certificate, optional client certificates of the trust domain alone.

Rules: the private key never lies in plaintext on disk. A client certificate of anybody else fails the
handshake; `admission` counts that failure with OpenSSL's reason, because no request will ever tell of it.
"""

import secrets
import ssl
import tempfile
from pathlib import Path
from typing import final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


@final
class ServerTLS:
    """The server's TLS context, whose certificate can be replaced while connections live."""

    def __init__(self, authority: bytes) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.load_verify_locations(cadata=authority.decode("ascii"))
        self.context.set_alpn_protocols(["http/1.1"])

    def present(self, key: ec.EllipticCurvePrivateKey, chain: bytes) -> None:
        """Present this key and certificate (PEM) on connections made from now on."""
        # The ssl module reads files only: the key goes through one, encrypted under a password that
        # exists in this function alone.
        password = secrets.token_bytes(32).hex().encode()
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
        with tempfile.TemporaryDirectory(prefix="nomoat-") as directory:
            file = Path(directory, "server.pem")
            file.write_bytes(pem + chain)
            self.context.load_cert_chain(file, password=password)
