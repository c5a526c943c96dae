"""What to compare with: the same server and TLS, and nothing between request and answer.

`PUT /DIGEST/SIZE` stores the body as the gateway stores contents (hashed, encrypted, synced), and that is all it does.
"""

import datetime
import ipaddress
import ssl
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias, final

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nomoat.protocols.http.asgi import Receive, Scope, Send
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.objects import Objects

Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY = b'{"accuracy": 0.97}'
HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(BODY)).encode())]


@final
class Bare:
    """Answers everything with the small file, and stores what is put."""

    def __init__(self, directory: Path) -> None:
        self._objects = Objects(directory / "objects", KeyEncryptionKey.create(directory / "kek"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["method"] == "PUT":
            digest, size = scope["path"].strip("/").split("/")
            await self._store(receive, digest, int(size))
        await answer(send)

    async def _store(self, receive: Receive, digest: str, size: int) -> None:
        with self._objects.begin("bare", digest, size) as upload:
            more = True
            while more:
                message = await receive()
                upload.write(message.get("body", b""))
                more = message.get("more_body", False)
            await upload.finish()


async def answer(send: Send) -> None:
    """Send the small file."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bare")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret


def serve(application: Application, port: int, directory: Path) -> None:
    """Serve over TLS with the gateway's server, until the end."""
    chain, key = certificate(directory)
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=port,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="critical",
        ssl_certfile=chain,
        ssl_keyfile=key,
        ssl_cert_reqs=ssl.CERT_NONE,
    )
    print(f"https://127.0.0.1:{port}", flush=True)
    uvicorn.Server(config).run()


def main() -> None:
    """Serve on the port that the command line names."""
    with tempfile.TemporaryDirectory() as name:
        serve(Bare(Path(name)), int(sys.argv[1]), Path(name))


if __name__ == "__main__":
    main()
