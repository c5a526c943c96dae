"""A process of the gateway's own that forks a child for each question; the child is confined before it reads a byte.

Rules: started by the gateway and by nothing else, with no key and an environment that names nothing of this machine;
it ends when the gateway does. A question is a message on its standard input, a Unix socket, that brings the child's
own socket, and whatever else the child is given open.
"""

import socket
import subprocess
import sys
import threading
from collections.abc import Mapping


class Zygote:
    """Such a process, running the module `module`, which says `ready` once it takes questions."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._questions: socket.socket | None = None
        self._starting = threading.Lock()

    def ask(self, *given: int) -> socket.socket:
        """Have a child made for one question, with the descriptors `given`; the socket to it.

        Starts the process if need be; raises `OSError`.
        """
        with self._starting:
            if self._questions is None or self._process is None or self._process.poll() is not None:
                self.end()
                self._start()
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    assert self._questions is not None  # noqa: S101 - started above
                    socket.send_fds(self._questions, [b"?"], [theirs.fileno(), *given])
                except OSError:
                    ours.close()
                    self.end()
                    raise
        return ours

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: no module of whatever directory the gateway was started from. No environment: nothing to find.
            command = [sys.executable, "-P", "-m", self._module]
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=self._environment, cwd="/"
            )
        self._questions = ours
        if ours.recv(16) != b"ready\n":
            self.end()
            raise ConnectionError(f"{self._module} does not start")

    def end(self) -> None:
        """End the process, if there is one, with whatever its children are doing."""
        questions, self._questions = self._questions, None
        process, self._process = self._process, None
        if questions is not None:
            questions.close()
        if process is not None:
            process.kill()  # it holds nothing that could be lost
            process.wait()
