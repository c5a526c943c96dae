"""The stage: one directory, and every process that the demonstration starts in it.

Rules: each actor has a home of its own, with its own keys and caches; nothing of the user's settings
leaks in. Whatever was started is ended by its process id, on every way out.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, TypeVar, cast

ROOT: Final = Path(__file__).resolve().parents[2]
MARKER: Final = ".nomoat-demo"
PATIENCE_S: Final = 120
GRACE_S: Final = 15

T = TypeVar("T")

# Settings of the user that would send a client elsewhere, or change what it does.
_FOREIGN: Final = ("HF_", "HUGGING", "NOMOAT_", "SSL_CERT_", "XDG_", "PYTHONWARNINGS", "PYTHONDONTWRITE")
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


class DemoFailed(Exception):
    """Something went differently than it must; the message says what."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ran to its end."""

    code: int
    out: str
    err: str


class Stage:
    """The demonstration's directory and its processes. Use it as a context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._running: list[subprocess.Popen[str]] = []
        self._guarded = threading.Lock()
        self._closed = False
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self._lock = _make(self.directory)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process that is still running, the last started first."""
        with self._guarded:
            self._closed = True
            running, self._running = self._running, []
        for child in reversed(running):
            _end(child)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def home(self, who: str) -> Path:
        """The actor's own directory."""
        directory = self.directory / "home" / who
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    def environment(self, who: str) -> dict[str, str]:
        """The environment of an actor's programs."""
        home = self.home(who)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_FOREIGN) and name.lower() not in _PROXIES
        }
        return {
            **kept,
            "HOME": str(home),
            "NOMOAT_HOME": str(home / "nomoat"),
            "HF_HOME": str(home / "huggingface"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "*",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "PYTHONUNBUFFERED": "1",
            "OPENBLAS_NUM_THREADS": "1",  # networks as small as these are slower in many threads
        }

    def start(self, who: str, command: Sequence[str], *, log: Path | None = None) -> subprocess.Popen[str]:
        """Start a program as an actor, in the actor's directory.

        Its output goes into the file `log`, or through pipes to whoever calls `finish`.
        """
        with contextlib.ExitStack() as stack, self._guarded:
            if self._closed:
                raise DemoFailed("the demonstration is being ended")
            output = subprocess.PIPE if log is None else stack.enter_context(log.open("w"))
            child = subprocess.Popen(
                list(command),
                env=self.environment(who),
                cwd=self.home(who),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.PIPE if log is None else subprocess.STDOUT,
                text=True,
                start_new_session=True,  # the terminal's Ctrl-C is for us; we end them in order
            )
            self._running.append(child)
        return child

    def finish(self, child: subprocess.Popen[str], given: str = "") -> Finished:
        """Wait for a program to end, and return what it said."""
        try:
            out, err = child.communicate(given, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"a program did not end within {PATIENCE_S} s") from None
        with self._guarded:
            if child in self._running:
                self._running.remove(child)
        return Finished(child.returncode, out, err)

    def wait(self, child: subprocess.Popen[str]) -> int:
        """Wait for a program that writes into a file to end, and return its exit code."""
        try:
            code = child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"a program did not end within {PATIENCE_S} s") from None
        with self._guarded:
            if child in self._running:
                self._running.remove(child)
        return code

    def end(self, child: subprocess.Popen[str]) -> None:
        """End one program now."""
        with self._guarded:
            if child in self._running:
                self._running.remove(child)
        _end(child)

    def run(self, who: str, command: Sequence[str], *, given: str = "") -> Finished:
        """Run a program as an actor to its end."""
        return self.finish(self.start(who, command), given)

    def nomoat(self, who: str, *arguments: str, given: str = "") -> Mapping[str, object]:
        """Run a `nomoat` command as an actor and return its JSON answer; raise `DemoFailed` if it fails."""
        done = self.run(who, nomoat_command(*arguments, "--json"), given=given)
        if done.code:
            raise DemoFailed(f"{who}: nomoat {arguments[0]} failed ({done.code}): {done.err.strip()}")
        return cast("dict[str, object]", json.loads(done.out))

    def program(self, who: str, *command: str, tool: str = "hub", log: Path | None = None) -> subprocess.Popen[str]:
        """Start a Python program as an actor, under `nomoat exec`: one of the pipeline's, or `-m MODULE …`.

        `tool` is the client that it is one of.
        """
        if command[0].endswith(".py"):
            command = (str(Path(__file__).with_name(command[0])), *command[1:])
        return self.start(who, nomoat_command("exec", "--tool", tool, "--", sys.executable, *command), log=log)

    def together(self, *calls: Callable[[], T]) -> list[T]:
        """Run calls side by side and return their results in order."""
        with ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(call) for call in calls]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self.close()  # what the others wait for ends now
                raise


def nomoat_command(*arguments: str) -> list[str]:
    """The command line of `nomoat` in this very Python."""
    return [sys.executable, "-m", "nomoat.cli", *arguments]


def _make(directory: Path) -> IO[str]:
    """Make the directory anew and lock it; raise `DemoFailed` when it is not ours to remove."""
    marker = directory / MARKER
    if directory.exists() and any(directory.iterdir()) and not marker.exists():
        raise DemoFailed(f"{directory} holds something else; choose another --directory")
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = marker.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise DemoFailed(f"another demonstration runs in {directory}; end it, or choose another --directory") from None
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != marker:
            entry.unlink()
    return lock


def _end(child: subprocess.Popen[str]) -> None:
    """End a process and the programs that it started, which share its group."""
    for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
        if child.poll() is not None:
            break
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
