"""The process apart that runs DuckDB over columns (`aggregating`), and the memory that it shares with us.

Rules: it gets descriptors of memory and a question, and nothing else: no key, no environment, no directory.
It is started before what it reads is there, because starting takes longer than reading.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, final

from nomoat.core.errors import Corrupt, Unavailable

TIMEOUT_S: Final = 30.0


@final
class Memory:
    """Memory that is handed to another process as a file; it is gone with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        if not hasattr(os, "memfd_create"):
            raise Unavailable("columns", "reports need Linux, whose memory can be handed to another process as a file")
        self.descriptor = os.memfd_create("nomoat")
        stack.callback(os.close, self.descriptor)

    def write(self, content: bytes) -> None:
        """Add bytes at the end."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def read(self) -> bytes:
        """Return all of it."""
        return os.pread(self.descriptor, os.fstat(self.descriptor).st_size, 0)


@final
class Apart:
    """One process, for one question; it does not outlive the stack."""

    def __init__(self, stack: ExitStack, memories: Sequence[Memory]) -> None:
        command = [sys.executable, "-I", "-m", "nomoat.audit.aggregating"]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=[memory.descriptor for memory in memories],
            )
        except OSError as error:
            raise Unavailable("columns", f"their process cannot be started ({error.strerror})") from None
        stack.callback(self._end)

    def ask(self, question: dict[str, Any]) -> bytes:
        """Return the answer. Raises `Corrupt` when it found the columns unreadable, `Unavailable`."""
        try:
            answer, _ = self._process.communicate(json.dumps(question).encode(), TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable("columns", f"the report was not made ({type(error).__name__})") from None
        if self._process.returncode != 0:
            raise Corrupt("the columns of the log")
        return answer

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
