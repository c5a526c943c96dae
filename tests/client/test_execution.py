"""A program that is run behaves as if the shell had started it: signals, exit codes, environment."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Generator
from pathlib import Path
from typing import Any

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


@contextlib.contextmanager
def running(*command: str, **changed: Any) -> Generator["subprocess.Popen[str]"]:
    """Run a command under the wrapper; neither outlives the `with`."""
    arguments: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True, "stdin": subprocess.DEVNULL, **changed}
    with subprocess.Popen([PYTHON, "-c", WRAPPER, *command], **arguments) as wrapper:
        try:
            yield wrapper
        finally:
            wrapper.terminate()  # reaches the program too


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
    with running(PYTHON, "-c", LISTENER) as wrapper:
        assert wrapper.stdout is not None
        assert wrapper.stdout.readline() == "ready\n"
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
            wrapper.send_signal(number)
            assert wrapper.stdout.readline() == f"{number.name}\n"
        wrapper.terminate()
        assert wrapper.stdout.read() == "SIGTERM\n"
        assert wrapper.wait(10) == 7


def in_a_terminal(program: str, *, then: signal.Signals) -> bytes:
    """What a program says that runs in a terminal of its own when somebody types ctrl-c, then `then` arrives."""
    # In a session of its own with a controlling terminal, as an interactive shell would have it.
    ours, theirs = os.openpty()
    settings = termios.tcgetattr(theirs)
    settings[3] |= termios.NOFLSH  # an interrupt would discard what the program has just said
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    claim = {"preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
    with running(PYTHON, "-c", program, **terminal, **claim) as wrapper, os.fdopen(ours, "r+b", buffering=0) as screen:
        os.close(theirs)
        said = b""
        while b"ready" not in said:
            said += screen.read(1024)
        screen.write(b"\x03")  # the terminal driver sends SIGINT to the foreground group, then echoes it
        while b"^C" not in said:
            said += screen.read(1024)
        wrapper.send_signal(then)
        while then.name.encode() not in said:
            said += screen.read(1024)
        wrapper.terminate()
        with contextlib.suppress(OSError):  # EIO: the last process of the terminal is gone
            while part := screen.read(1024):
                said += part
        assert wrapper.wait(10) == 7
    return said


def test_a_terminal_s_interrupt_reaches_the_program() -> None:
    assert b"SIGINT" in in_a_terminal(LISTENER, then=signal.SIGUSR1)


def test_a_terminal_s_interrupt_is_not_forwarded_as_well() -> None:
    # A program that left the foreground group hears of the interrupt only if it is forwarded.
    assert b"SIGINT" not in in_a_terminal("import os; os.setpgid(0, 0)\n" + LISTENER, then=signal.SIGUSR1)


def test_what_nohup_ignores_stays_ignored() -> None:
    program = "import signal; raise SystemExit(signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)"
    with running(PYTHON, "-c", program, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as wrapper:
        assert wrapper.wait(10) == 0
