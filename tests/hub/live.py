"""A gateway in a process of its own over TLS, and stock clients in processes of theirs."""

import asyncio
import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from nomoat.client import environment
from nomoat.client.login import log_in
from nomoat.client.profiles import Profile
from nomoat.client.session import Session
from nomoat.client.tokens import write_token
from nomoat.client.transport import pinned_context
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize
from tests.hub.network import Network
from tests.resources.world import DECLARATION

ADMIN = "admin@acme.example"
SERVE = """
import asyncio, sys, time
from pathlib import Path
import uvloop
from nomoat.server.serve import serve
uvloop.run(serve(Path(sys.argv[1]), time.time, lambda url: print(url, flush=True)))
"""
OUTSIDE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Raw:
    """An answer as it came, but for its date."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str:
        return dict(self.headers).get(name, "")


def run_stock(script: str, settings: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script that knows nothing of this project, with these settings alone, in a folder."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=settings,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@dataclass
class Live:
    """A running gateway. `url` is where, `network` another way to it, `process` what serves it."""

    root: Path
    directory: Path
    url: str
    network: Network
    process: subprocess.Popen[str]
    profiles: dict[str, Profile] = field(default_factory=dict[str, Profile])

    @property
    def admin(self) -> Session:
        return Session(self.profiles[ADMIN], time.time)

    def declare(self, document: str) -> object:
        """Declare something; return what changed."""
        with self.admin as session:
            return session.gateway.apply_directory(document, dry_run=False)

    def join(self, subject: str, url: str = "") -> Profile:
        """Enrol and log in `person:NAME` or `workload:NAME`, and give it a token. `url` is where it finds the gateway."""
        name = subject.partition(":")[2]
        with self.admin as session:
            code, _ = session.gateway.enroll(subject)
        profile = self._profile(name)
        log_in(profile, url or self.url, code)
        self.refresh(name)
        return profile

    def refresh(self, name: str) -> None:
        with Session(self.profiles[name], time.time) as session:
            write_token(session, time.time)

    def _profile(self, name: str) -> Profile:
        self.profiles[name] = Profile.named(name.replace("@", "-"), {"NOMOAT_HOME": str(self.root / "home")})
        return self.profiles[name]

    def settings(self, name: str, **more: str) -> dict[str, str]:
        """The environment of a stock client: what `nomoat env hub` prints, and a home of its own."""
        profile = self.profiles[name]
        plain = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        home = {"HF_HOME": str(self.root / "hf" / name), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        return environment.hub(profile, profile.identity()).applied(plain) | home | more

    def stock(self, name: str, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a script that knows nothing of this project as `name`."""
        return run_stock(script, self.settings(name, **more), self.root)

    def done(self, name: str, script: str, **more: str) -> str:
        """Run such a script, which must succeed; return what it printed."""
        finished = self.stock(name, script, **more)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def http(self, name: str = "") -> httpx2.Client:
        """A plain HTTP client with the token of `name` ('' for none)."""
        profile = self.profiles[name or ADMIN]
        headers = {"Authorization": f"Bearer {profile.read('hub/token').decode()}"} if name else {}
        context = pinned_context(profile.read("ca.pem").decode())
        return httpx2.Client(base_url=self.url, verify=context, headers=headers, timeout=30)

    def bound(self, name: str) -> httpx2.Client:
        """A plain HTTP client with the certificate of `name`."""
        profile = self.profiles[name]
        context = pinned_context(profile.read("ca.pem").decode())
        context.load_cert_chain(profile.certificate_path, profile.key_path)
        return httpx2.Client(base_url=self.url, verify=context, timeout=30)

    def raw(self, name: str, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Raw:
        """One request whose target nothing normalises, and its answer as it came."""
        profile = self.profiles[name or ADMIN]
        host, _, port = self.url.removeprefix("https://").partition(":")
        context = pinned_context(profile.read("ca.pem").decode())
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
        sent = {"Authorization": f"Bearer {profile.read('hub/token').decode()}"} if name else {}
        with contextlib.closing(connection):
            connection.request(method, target, body=body or None, headers={**sent, **(headers or {})})
            answer = connection.getresponse()
            lines = tuple((key.lower(), value) for key, value in answer.getheaders() if key.lower() != "date")
            return Raw(answer.status, lines, answer.read())

    def records(self, query: str, limit: int = 1000) -> list[dict[str, Any]]:
        with self.admin as session:
            return [dict(record) for record in session.gateway.log(query, limit=limit).records]

    @property
    def resident(self) -> int:
        """The most memory that the gateway has had resident, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) << 10


@contextmanager
def gateway(root: Path, serve: str = SERVE, **settings: Any) -> Generator[Live]:
    """A gateway in `root`; `settings` are further fields of its configuration."""
    directory = root / "gateway"
    network = Network()
    configuration = Configuration(
        "acme.example", "127.0.0.1", 0, ("127.0.0.1",), root / "kek", origins=(network.url,), **settings
    )
    made = asyncio.run(initialize(directory, configuration, ADMIN, time.time))
    with (root / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", serve, str(directory)], stdout=subprocess.PIPE, stderr=errors, text=True, cwd=OUTSIDE
        )
    assert process.stdout is not None
    try:
        with process.stdout as said:
            url = said.readline().strip()
        assert url, (root / "stderr").read_text()
        network.leads_to(url)
        live = Live(root, directory, url, network, process)
        log_in(live._profile(ADMIN), url, made.code)
        live.declare(DECLARATION)
        for subject in ("workload:ingest", "workload:train", "person:scientist", "person:visitor"):
            live.join(subject)
        yield live
        assert process.poll() is None, (root / "stderr").read_text()
    finally:
        network.close()
        process.terminate()
        process.wait(20)
    # uvicorn says this of a transfer that was cut; of everything else, nothing is said.
    assert set((root / "stderr").read_text().splitlines()) <= {"ASGI callable returned without completing response."}


def commit_lines(files: dict[str, bytes], *more: object, parent: str = "") -> list[str]:
    """The lines of a commit that sets `files`, with `more` lines after."""
    header = {"key": "header", "value": {"summary": "t", "description": "", "parentCommit": parent}}
    inline = [
        {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}}
        for path, content in files.items()
    ]
    return [json.dumps(line) + "\n" for line in (header, *inline, *more)]


def printed(text: str) -> object:
    """What a script printed as JSON on its last line."""
    return json.loads(text.splitlines()[-1])
