"""A TLS server that answers what a test tells it: the gateway gone wrong, which a real one never is."""

import http.server
import ipaddress
import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nomoat.audit.checkpoint import NoteSigner, sign_checkpoint
from nomoat.audit.tree import Frontier, consistency_proof

TRUST_DOMAIN = "acme.example"


class Authority:
    """A certificate authority of a trust domain, as small as one can be."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.certificate = (
            self._builder(self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> bytes:
        return self.certificate.fingerprint(hashes.SHA256())

    def issue(
        self,
        public: ec.EllipticCurvePublicKey,
        name: x509.GeneralName,
        life: timedelta = timedelta(hours=1),
        begin: datetime | None = None,
    ) -> str:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            self._builder(x509.Name([]), public, life, begin)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode()

    def _builder(
        self,
        name: x509.Name,
        public: ec.EllipticCurvePublicKey,
        life: timedelta = timedelta(hours=1),
        begin: datetime | None = None,
    ) -> x509.CertificateBuilder:
        begin = begin or datetime.now(UTC) - timedelta(minutes=1)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + life)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )


FORK = 2  # records that all histories of a `SignedLog` have in common


class SignedLog:
    """A log's signing key, which signs any history that it is asked to, and can prove within each."""

    def __init__(self, origin: str = TRUST_DOMAIN) -> None:
        self._signer = NoteSigner(origin, b"\x07" * 31 + origin.encode()[:1])
        self.key = str(self._signer.key)

    def checkpoint(self, size: int, *, history: str = "one") -> str:
        return sign_checkpoint(self._signer, _grown(_leaves(0, size, history)).head()).decode()

    def prove(self, old: int, new: int, *, history: str = "one") -> list[bytes]:
        def read(level: int, index: int) -> bytes:
            return _grown(_leaves(index << level, (index + 1) << level, history)).root()

        return consistency_proof(old, new, read)

    def proves(self, history: str = "one") -> "Callable[[Request], Answer]":
        """What answers `/v1/consistency` for a history."""

        def answer(request: Request) -> Answer:
            old, new = (int(field.partition("=")[2]) for field in request.query.split("&"))
            proof = [b64encode(step).decode() for step in self.prove(old, new, history=history)]
            return 200, {"old": old, "new": new, "proof": proof}

        return answer


def _leaves(first: int, end: int, history: str) -> list[bytes]:
    return [sha256(f"{'one' if index < FORK else history} {index}".encode()).digest() for index in range(first, end)]


def _grown(leaves: list[bytes]) -> Frontier:
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier


@dataclass
class Request:
    method: str
    path: str
    authorization: str
    body: dict[str, object]
    query: str = ""


Answer = tuple[int, dict[str, object] | str]


@dataclass
class Impostor:
    """Serves `answers[path](request)`; `requests` is what arrived, in order."""

    directory: Path
    authority: Authority
    presented: Authority | None = None  # whose certificate the TLS server shows; `authority` by default
    begin: datetime | None = None  # from when on its certificate is valid
    answers: dict[str, Callable[[Request], Answer]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (self.presented or self.authority).issue(key.public_key(), address, begin=self.begin)
        chain = self.directory / "impostor.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        chain.write_text(private + certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        context.load_verify_locations(cadata=self.authority.pem)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        impostor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                path, _, query = self.path.partition("?")
                request = Request(self.command, path, self.headers.get("authorization", ""), body, query)
                impostor.requests.append(request)
                answering = impostor.answers.get(path)
                status, answer = answering(request) if answering else (404, {"error": "no such route"})
                content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def code_for(authority: Authority, kind: str = "nmp") -> str:
    """A one-time code that names this authority."""
    from base64 import b32encode

    def encode(data: bytes) -> str:
        return b32encode(data).decode().rstrip("=").lower()

    return f"{kind}-{encode(b64encode(b'secret' * 3)[:20])}-{encode(authority.fingerprint)}"


def gateway(impostor: Impostor, log: SignedLog, size: int = 3, changed: Mapping[str, object] | None = None) -> None:
    """Let the impostor answer as a gateway does, but for what is `changed` (`named` is in the certificate)."""
    changed = changed or {}

    def issue(request: Request) -> Answer:
        csr = x509.load_pem_x509_csr(str(request.body["csr"]).encode())
        public = csr.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        spiffe_id = f"spiffe://{TRUST_DOMAIN}/person/ann/device/d1"
        name = x509.UniformResourceIdentifier(str(changed.get("named", spiffe_id)))
        answer = {
            "certificate": impostor.authority.issue(public, name),
            "ca": impostor.authority.pem,
            "subject": "person:ann",
            "device": "d1",
            "session": "s1",
            "spiffe_id": spiffe_id,
            "trust_domain": TRUST_DOMAIN,
            "log_key": log.key,
            "checkpoint": log.checkpoint(size),
        }
        return 200, {**answer, **{name: value for name, value in changed.items() if name in answer}}

    impostor.answers = {
        "/v1/ca": lambda _: (200, impostor.authority.pem),
        "/v1/checkpoint": lambda _: (200, log.checkpoint(size)),
        "/v1/consistency": log.proves(),
        "/v1/device": issue,
        "/v1/certificate": issue,
    }
