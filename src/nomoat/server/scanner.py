"""The scanner: a process of the gateway's own that looks at what was published (`nomoat.inspection`).

Rules: `python -P -m nomoat.server.scanner`, started by the gateway and by nothing else, with no environment, no key and
no content; it ends when the gateway does. It never parses anything itself: for each question it forks a child, which is
confined before it reads a byte, and which answers for the contents of that question alone. So what takes a child over
can lie about what its own author published, and reach nothing else.

A question comes as a descriptor over standard input, a Unix socket. On it, the child is told the contents' sizes (a
line of JSON), asks for ranges (`NUMBER OFFSET LENGTH`, a line; it gets exactly so many bytes), and at the end says a
line of JSON with a report for each. `serve` is the same for other questions about contents (`nomoat.server.profiler`).
"""

import codecs
import contextlib
import encodings
import gc
import io
import json
import os
import pkgutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, final

from nomoat.core.errors import NoMoatError
from nomoat.core.verdict import Report
from nomoat.inspection.inspect import inspect
from nomoat.server.confinement import Confinement
from nomoat.server.scanning import LARGEST_READ

NICENESS: Final = 5
"""Whoever publishes waits for it, so it gives way a little only."""

MEMORY: Final = 1 << 30
CPU_S: Final = 120
BLOCK: Final = 256 << 10

Answer: TypeAlias = Callable[[int], Callable[[object], Sequence[object]]]
"""What a child does before it is confined, given its channel, and then with what it is asked."""


@final
class Ranges(io.RawIOBase):
    """One content that lies elsewhere, as a file: every read asks for a range of it."""

    def __init__(self, channel: int, number: int, size: int) -> None:
        super().__init__()
        self._channel = channel
        self._number = number
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go elsewhere, also behind the end, where nothing is read. Raises `ValueError` before the beginning."""
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError("before the beginning")
        self._at = at
        return at

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer as far as the content and one answer go. Raises `EOFError` when nobody answers."""
        into = memoryview(buffer).cast("B")
        length = max(0, min(len(into), self._size - self._at, LARGEST_READ))
        if length:
            send(self._channel, b"%d %d %d\n" % (self._number, self._at, length))
            _receive(self._channel, into[:length])
            self._at += length
        return length


def main() -> int:
    """Look at contents until the gateway ends; return the exit code."""
    return serve(_reports, NICENESS)


def serve(answer: Answer, niceness: int, *, memory: int = MEMORY, cpu_s: int = CPU_S) -> int:
    """Fork a child for each question until the gateway ends; return the exit code.

    `answer` is called in the child with the channel, and prepares what needs files still. What it returns is called
    when the child is confined, with what the gateway asked, and returns what is said of each content (JSON). It may take
    `memory` bytes and `cpu_s` seconds of CPU.
    """
    return serve_children(partial(_child, answer, memory, cpu_s), niceness)


def serve_children(child: Callable[[int, Confinement], int], niceness: int) -> int:
    """Fork a child for each question until the gateway ends; return the exit code. `child` answers one, and ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway ends it, orderly
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for
    os.nice(niceness)
    confinement = Confinement()
    for each in pkgutil.iter_modules(encodings.__path__):  # Python loads them where they are first used
        with contextlib.suppress(LookupError):
            codecs.lookup(each.name)
    gc.freeze()  # what all children share stays shared
    with socket.socket(fileno=0) as questions:
        questions.sendall(b"ready\n")
        while True:
            _, descriptors, _, _ = socket.recv_fds(questions, 1, 1)
            if not descriptors:
                return 0
            if os.fork() == 0:
                os._exit(child(descriptors[0], confinement))
            os.close(descriptors[0])


def _child(answer: Answer, memory: int, cpu_s: int, channel: int, confinement: Confinement) -> int:
    try:
        prepared = answer(channel)
        confinement.enter(keep={channel}, memory=memory, cpu_s=cpu_s)
        send(channel, json.dumps(prepared(json.loads(receive_line(channel)))).encode() + b"\n")
    except BaseException:  # noqa: BLE001 - there is nobody to tell: the gateway sees that the answer is missing
        return 1
    return 0


def _reports(channel: int) -> Callable[[object], Sequence[object]]:
    def reports(sizes: Any) -> Sequence[object]:
        return [
            _described(inspect(io.BufferedReader(Ranges(channel, number, size), BLOCK), size))
            for number, size in enumerate(sizes)
        ]

    return reports


def _described(report: Report) -> dict[str, object]:
    return {"format": report.format, "findings": [list(finding) for finding in report.findings]}


def receive_line(channel: int) -> bytes:
    """Read a line, byte by byte, so that nothing behind it is taken. Raises `EOFError`."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(channel, 1)
        if not byte:
            raise EOFError
        line += byte
    return bytes(line)


def send(channel: int, content: bytes) -> None:
    """Write all of it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(channel, rest) :]


def _receive(channel: int, into: memoryview) -> None:
    while into:
        got = os.readv(channel, [into])
        if not got:
            raise EOFError
        into = into[got:]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NoMoatError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
