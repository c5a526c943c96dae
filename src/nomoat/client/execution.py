"""Running a program with a fresh token: signals go through, and its exit code comes back.

Rules: the program gets its settings by environment only, never a secret on its command line. An
interrupt from the terminal reaches the program by itself (the terminal signals the whole group), so
it is not forwarded a second time.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

FORWARDED: Final = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `command` to its end and return its exit code, as a shell would.

    128 + the signal's number if a signal ended it. Raises `OSError` if the program cannot be started.
    """
    with _forwarding() as children:
        child = subprocess.Popen(list(command), env=dict(environment))  # noqa: S603  # the caller's own command
        children.start(child)
        code = child.wait()
    return code if code >= 0 else 128 - code


class _Forwarder:
    """Passes signals on to the child; those that arrive before it runs are kept for it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def start(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        for number in self._early:
            child.send_signal(number)

    def handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number in {signal.SIGINT, signal.SIGQUIT} and _terminal_signals_the_group():
            return
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)


@contextmanager
def _forwarding() -> Generator[_Forwarder]:
    forwarder = _Forwarder()
    # A signal that is ignored (nohup) stays ignored: the program inherits that, a handler would undo it.
    heard = [number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, forwarder.handle) for number in heard}
    try:
        yield forwarder
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminal_signals_the_group() -> bool:
    """Whether the terminal's interrupt went to this process's whole group, the child included."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
