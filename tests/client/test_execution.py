"""A program that is run behaves as if the shell had started it: signals, exit codes, environment."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from nomoat.client.execution import run

PYTHON = sys.executable

# Runs a command the way `nomoat exec` does, in a process of its own that a test can signal.
WRAPPER = "import os, sys; from nomoat.client.execution import run; sys.exit(run(sys.argv[1:], os.environ))"

# Says which signals arrive; ends at SIGTERM with 7.
LISTENER = """
import signal, sys
def heard(number, _):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM: sys.exit(7)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1): signal.signal(number, heard)
print("ready", flush=True)
while True: signal.pause()
"""


def start(*command: str, **changed: object) -> "subprocess.Popen[str]":
    arguments: dict[str, object] = {"stdout": subprocess.PIPE, "text": True, "stdin": subprocess.DEVNULL, **changed}
    return subprocess.Popen([PYTHON, "-c", WRAPPER, *command], **arguments)  # type: ignore[call-overload,no-any-return]  # passed on as they are


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_its_exit_code_comes_back(code: int) -> None:
    assert run([PYTHON, "-c", f"raise SystemExit({code})"], os.environ) == code


def test_an_end_by_signal_is_what_a_shell_says() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run([PYTHON, "-c", program], os.environ) == 128 + signal.SIGKILL


def test_a_missing_program_is_an_error_and_handlers_are_restored(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(FileNotFoundError):
        run([str(tmp_path / "missing")], os.environ)
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_gets_exactly_the_environment_that_it_was_given() -> None:
    program = "import os; raise SystemExit(os.environ.get('ONLY') != 'this' or 'HOME' in os.environ)"
    assert run([PYTHON, "-c", program], {"ONLY": "this"}) == 0


def test_signals_reach_the_program() -> None:
    with start(PYTHON, "-c", LISTENER) as wrapper:
        assert wrapper.stdout is not None
        assert wrapper.stdout.readline() == "ready\n"
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
            wrapper.send_signal(number)
            assert wrapper.stdout.readline() == f"{number.name}\n"
        wrapper.terminate()
        assert wrapper.stdout.read() == "SIGTERM\n"
        assert wrapper.wait(10) == 7


def test_a_terminal_s_interrupt_arrives_once() -> None:
    # In a session of its own with a controlling terminal, as an interactive shell would have it.
    ours, theirs = os.openpty()
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    wrapper = start(PYTHON, "-c", LISTENER, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **terminal)
    os.close(theirs)
    with os.fdopen(ours, "r+b", buffering=0) as screen, wrapper:
        said = b""
        while b"ready" not in said:
            said += screen.read(1024)
        screen.write(b"\x03")  # the terminal driver sends SIGINT to the foreground group
        while b"SIGINT" not in said:
            said += screen.read(1024)
        wrapper.terminate()
        with contextlib.suppress(OSError):  # EIO: the last process of the terminal is gone
            while part := screen.read(1024):
                said += part
        assert said.count(b"SIGINT") == 1, said
        assert wrapper.wait(10) == 7


def test_what_nohup_ignores_stays_ignored() -> None:
    program = "import signal; raise SystemExit(signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)"
    with start(PYTHON, "-c", program, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as wrapper:
        assert wrapper.wait(10) == 0
