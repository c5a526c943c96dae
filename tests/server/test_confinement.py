"""What a confined process can do no more: each attempt is made there, by the code that an attacker would run."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_CHILD = """
import mmap, os, resource, signal, socket, threading
from nomoat.server.confinement import Confinement

made = Confinement({besides})
channel = int(os.environ["CHANNEL"])
other = os.open({path!r}, os.O_RDONLY)  # was open before
if {confined}:
    made.enter(keep={{channel}}, memory=128 << 20, cpu_s={cpu})
try:
    {attempt}
except BaseException as error:
    os.write(channel, f"refused {{type(error).__name__}} {{error}}".encode())
else:
    os.write(channel, b"done")
os._exit(0)
"""


def attempt(code: str, tmp_path: Path, *, confined: bool = True, cpu: int = 20, besides: str = "") -> tuple[str, int]:
    """Run one line of code in a confined process; what it said, and how it ended."""
    path = tmp_path / "secret"
    path.write_text("secret")
    ours, theirs = socket.socketpair()
    script = _CHILD.format(attempt=code, path=str(path), confined=confined, cpu=cpu, besides=besides)
    environment = {"CHANNEL": str(theirs.fileno()), "PYTHONPATH": os.pathsep.join(sys.path), "SECRET": str(path)}
    with ours, theirs:
        ended = subprocess.run(
            [sys.executable, "-c", script], check=False, env=environment, pass_fds=[theirs.fileno()], timeout=60
        )
        theirs.close()
        return ours.recv(1000).decode(), ended.returncode


ESCAPES = {
    "read a file": "open('/etc/passwd').read()",
    "read a file by its descriptor from before": "os.read(other, 1)",
    "list a directory": "os.listdir('/')",
    "see whether a file exists": "os.stat('/etc/passwd')",
    "write a file": "open('/tmp/escaped', 'w')",
    "make a file in memory": "os.memfd_create('x')",
    "look at another process's memory": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "make a connection": "socket.socket()",
    "make a Unix socket": "socket.socket(socket.AF_UNIX)",
    "run a program": "os.execv('/bin/true', ['true'])",
    "make a process": "os.fork()",
    "make a thread": "threading.Thread(target=print).start()",
    "signal the gateway": "os.kill(os.getppid(), 0)",
    "make room for more files": "resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))",
    "take more memory": "bytearray(256 << 20)",
    "make memory executable": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "become somebody else": "os.setuid(65534)",
    "leave its directory": "os.chdir('/')",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_a_confined_process_cannot(name: str, tmp_path: Path) -> None:
    said, status = attempt(ESCAPES[name], tmp_path)
    assert re.match(r"refused (PermissionError|OSError|RuntimeError|MemoryError|ValueError)", said), said
    assert status == 0


THREADS = '"getcwd", threads=True'


@pytest.mark.parametrize("name", sorted(ESCAPES.keys() - {"make a thread"}))
def test_one_that_may_start_threads_can_do_no_more(name: str, tmp_path: Path) -> None:
    said, status = attempt(ESCAPES[name], tmp_path, besides=THREADS)
    assert re.match(r"refused (PermissionError|OSError|RuntimeError|MemoryError|ValueError)", said), said
    assert status == 0


def test_one_that_may_start_threads_starts_them(tmp_path: Path) -> None:
    said, _ = attempt("t = threading.Thread(target=sum, args=([1],)); t.start(); t.join()", tmp_path, besides=THREADS)
    assert said == "done"


_OTHERWISE_REFUSED = {  # by the kernel, for those who are not root; or it would say nothing
    "become somebody else",
    "look at another process's memory",
    "make room for more files",
    "run a program",
}


@pytest.mark.parametrize("name", sorted(ESCAPES.keys() - _OTHERWISE_REFUSED))
def test_a_process_that_is_not_confined_could(name: str, tmp_path: Path) -> None:
    """So the attempts are real ones."""
    said, _ = attempt(ESCAPES[name], tmp_path, confined=False)
    assert said.startswith("done")


def test_a_confined_process_can_compute_and_speak(tmp_path: Path) -> None:
    said, _ = attempt("os.write(channel, str(sum(range(1000))).encode())", tmp_path)
    assert said.startswith("499500")


def test_a_confined_process_ends_at_its_limit_of_time(tmp_path: Path) -> None:
    said, status = attempt("exec('while True: pass')", tmp_path, cpu=1)
    assert (said, status) == ("", -9)
