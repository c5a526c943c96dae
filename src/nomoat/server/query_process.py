"""The process that makes views and runs queries over them (`nomoat.views`).

Rules: `python -P -m nomoat.server.query_process`, started by the gateway and by nothing else, with no key and no
content; it ends when the gateway does. For each question it forks a child, which is confined before it reads a byte of
a file or of anybody's SQL, and gives the gateway the means to end it whatever it does (a pidfd). A child that makes a
view has the files and the project's key, and runs nobody's SQL. A child that runs a query has the made view, and never
had more.

A question comes as descriptors over standard input, a Unix socket: the child's own socket, and for a query the made
view, which cannot be changed. On its socket the child is told its limits (a line of JSON), then what to do (another),
and, to make a view, the files' bytes. It answers with a line of JSON and bytes.
"""

import contextlib
import gc
import json
import mmap
import os
import signal
import socket
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from nomoat.core.errors import NoMoatError, Unavailable
from nomoat.server.confinement import Confinement

NICENESS: Final = 5
_LATER: Final = ("pyarrow.dataset", "pyarrow.ipc", "encodings.idna", "encodings.utf_16", "encodings.latin_1")
"""What is loaded where it is first used, which is too late."""


def main() -> int:
    """Fork a child for each question until the gateway ends; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway ends it, orderly
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for
    os.nice(NICENESS)
    confinement = Confinement("getcwd", threads=True)  # DuckDB asks where it is: in "/"
    try:
        for module in ("nomoat.views.materialise", "nomoat.views.execute", *_LATER):
            import_module(module)
    except ImportError as error:
        raise Unavailable("queries", f"{error}; install nomoat[query] at the gateway") from None
    gc.freeze()  # what all children share stays shared
    with socket.socket(fileno=0) as questions:
        questions.sendall(b"ready\n")
        while True:
            _, descriptors, _, _ = socket.recv_fds(questions, 1, 2)
            if not descriptors:
                return 0
            child = os.fork()
            if child == 0:
                os._exit(_child(confinement, *descriptors))
            _hand_over(child, descriptors[0])
            for each in descriptors:
                os.close(each)


def _hand_over(child: int, channel: int) -> None:
    """Give the gateway what ends the child. It waits for the gateway's first word, so it is still there."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(channel)) as told:
        handle = os.pidfd_open(child)
        try:
            socket.send_fds(told, [b"!"], [handle])
        finally:
            os.close(handle)


def _child(confinement: Confinement, channel: int, *made: int) -> int:
    try:
        view = mmap.mmap(made[0], 0, access=mmap.ACCESS_READ) if made else None
        with os.fdopen(channel, "rb", closefd=False) as asked:
            limits = json.loads(asked.readline())
            confinement.enter(keep={channel}, memory=limits["memory"], cpu_s=limits["cpu_s"])
            task = json.loads(asked.readline())
            said, content = _made(task, asked) if view is None else _executed(task, view)
        _send(channel, json.dumps({**said, "bytes": len(content)}).encode() + b"\n")
        _send(channel, content)
    except BaseException:  # noqa: BLE001 - there is nobody to tell: the gateway sees that the answer is missing
        return 1
    return 0


def _made(task: Mapping[str, Any], asked: Any) -> tuple[dict[str, object], memoryview]:
    """Make a view of the files that follow."""
    from nomoat.views.materialise import BrokenView, Source, made  # noqa: PLC0415 - loaded, where it can be
    from nomoat.views.said import parse_described  # noqa: PLC0415

    sources: list[Source] = []
    for kind, size in task["files"]:
        content = bytearray(size)
        if asked.readinto(content) != size:
            raise EOFError
        sources.append(Source(kind, memoryview(content)))
    try:
        rows, stream = made(
            parse_described(task["view"]),
            bytes.fromhex(task["key"]),
            sources,
            memory=task["memory"],
            threads=task["threads"],
        )
    except BrokenView as error:
        return {"failed": str(error)}, memoryview(b"")
    except Exception as error:  # noqa: BLE001 - its words may quote the files; its kind does not
        return {"failed": type(error).__name__}, memoryview(b"")
    return {"rows": rows}, memoryview(stream)


def _executed(task: Mapping[str, Any], view: mmap.mmap) -> tuple[dict[str, object], memoryview]:
    """Run a query over the made view."""
    from nomoat.views.execute import Unanswerable, execute  # noqa: PLC0415 - loaded, where it can be
    from nomoat.views.said import Bounds  # noqa: PLC0415

    try:
        rows, stream = execute(view, task["name"], task["sql"], Bounds(*task["bounds"]))
    except Unanswerable as error:
        return {"ending": error.ending, "said": str(error)}, memoryview(b"")
    return {"rows": rows}, memoryview(stream)


def _send(channel: int, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(channel, rest) :]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NoMoatError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
