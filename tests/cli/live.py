"""A real gateway in a process of its own, and callers that use the command against it."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Self

from nomoat.cli.invocation import Invocation
from nomoat.cli.root import run

TRUST_DOMAIN = "acme.example"
TOKEN_LIFE = 10


@dataclass(frozen=True)
class Said:
    """What a run of the command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.out)
        return document


@dataclass(frozen=True)
class Caller:
    """Somebody at their own machine: an own home, an own profile. `ahead` moves their clock, in seconds."""

    home: Path
    ahead: float = 0.0

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NOMOAT_", "HF_", "SSL_"))}
        return {**kept, "NOMOAT_HOME": str(self.home), "HOME": str(self.home), "NO_COLOR": "1"}

    @property
    def profile(self) -> Path:
        return self.home / "profiles" / "default"

    def nomoat(self, *arguments: str, **changed: str) -> Said:
        """Run the command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            clock = (lambda: time() + self.ahead) if self.ahead else time
            code = run(arguments, Invocation({**self.environment, **changed}, clock))
        return Said(code, out.getvalue(), err.getvalue())

    @contextmanager
    def running(self, *arguments: str) -> Generator["subprocess.Popen[str]"]:
        """Run the command in a process of its own, which does not outlive the `with`."""
        process = self.start(*arguments)
        with process:
            try:
                yield process
            finally:
                process.kill()

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Run the command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "nomoat.cli", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass
class Live:
    """A data directory and its gateway process; start and stop it at will."""

    root: Path
    made: Mapping[str, object] = field(default_factory=dict)
    url: str = ""

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[str] | None = None
        self.operator = Caller(self.root / "operator")
        options = ["--trust-domain", TRUST_DOMAIN, "--listen", "127.0.0.1:0", "--token-life", str(TOKEN_LIFE)]
        said = self.operator.nomoat("init", str(self.data), "--admin", "ann", *options, "--json")
        assert said.code == 0, said.err
        self.made = said.json()

    @property
    def data(self) -> Path:
        return self.root / "data"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the gateway and wait until it listens (on a new port)."""
        self._process = self.operator.start("serve", str(self.data), "--json")
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        self.url = json.loads(line)["url"]

    def stop(self) -> int:
        """End the gateway orderly; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert "Traceback" not in errors, errors
        return process.returncode

    def follow(self, caller: Caller) -> None:
        """Tell a caller's profile the port of a gateway that was started again."""
        path = caller.profile / "profile.toml"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(f'url = "{self.url}"' if line.startswith("url ") else line for line in lines) + "\n")

    def admin(self) -> Caller:
        """The first administrator, logged in with the code of `init`."""
        return self._log_in("ann", str(self.made["code"]))

    def person(self, admin: Caller, name: str, declaration: str = "") -> Caller:
        """A declared person, logged in."""
        self.declare(admin, f'[[person]]\nname = "{name}"\n{declaration}')
        return self._log_in(name, str(admin.nomoat("enroll", name, "--json").json()["code"]))

    def workload(self, admin: Caller, name: str, declaration: str = "") -> Caller:
        """A declared workload, logged in."""
        self.declare(admin, f'[[workload]]\nname = "{name}"\n{declaration}')
        return self._log_in(name, str(admin.nomoat("enroll", "--workload", name, "--json").json()["code"]))

    def declare(self, admin: Caller, text: str) -> None:
        path = self.root / "declared.toml"
        path.write_text(text)
        said = admin.nomoat("apply", str(path), "--yes")
        assert said.code == 0, said.err

    def _log_in(self, name: str, code: str) -> Caller:
        caller = Caller(self.root / name)
        said = caller.nomoat("login", self.url, "--code", code)
        assert said.code == 0, said.err
        return caller

    def copy(self, name: str) -> Path:
        """A copy of the data directory, as an auditor would carry away."""
        return Path(shutil.copytree(self.data, self.root / name))
