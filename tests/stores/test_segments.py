"""Segment files, the reserve and the writer thread, with a file system that fails."""

import asyncio
import errno
import os
import threading
from functools import partial
from pathlib import Path

import pytest

from nomoat.core.errors import Misuse
from nomoat.stores.segments import Files, Reserve, Segment, WriterThread, is_full


class Failing(Files):
    """Fails the next calls of the named kinds; `partial` lets writes take a few bytes at a time."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.partial = 0
        self.error = errno.EIO

    def _check(self, kind: str) -> None:
        if kind in self.kinds:
            raise OSError(self.error, os.strerror(self.error))

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        self._check("write")
        return super().write(descriptor, data[: self.partial] if self.partial else data, offset)

    def sync(self, descriptor: int) -> None:
        self._check("sync")
        super().sync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        self._check("sync_directory")
        super().sync_directory(directory)

    def allocate(self, descriptor: int, start: int, length: int) -> None:
        self._check("allocate")
        super().allocate(descriptor, start, length)


def test_short_writes_are_finished(tmp_path: Path) -> None:
    files = Failing()
    files.partial = 3
    segment = Segment.create(files, tmp_path / "s", b"head\n")
    segment.append(b"0123456789")
    assert (tmp_path / "s").read_bytes() == b"head\n0123456789"
    assert segment.length == 15
    segment.close()


@pytest.mark.parametrize("kind", ["write", "sync"])
def test_length_moves_only_when_bytes_are_durable(tmp_path: Path, kind: str) -> None:
    files = Failing()
    segment = Segment.create(files, tmp_path / "s", b"head\n")
    files.kinds = {kind}
    with pytest.raises(OSError, match="Input/output error"):
        segment.append(b"lost or not")
    assert segment.length == 5
    assert segment.broken
    files.kinds = set()
    with pytest.raises(Misuse):
        segment.append(b"more")
    found = segment.tail()
    assert found == (b"" if kind == "write" else b"lost or not")
    segment.settle(found[:4])
    assert (tmp_path / "s").read_bytes() == b"head\n" + found[:4]
    assert segment.length == 5 + len(found[:4])
    segment.close()


@pytest.mark.parametrize("kind", ["write", "sync", "sync_directory"])
def test_a_segment_that_cannot_be_made_leaves_nothing(tmp_path: Path, kind: str) -> None:
    files = Failing()
    files.kinds = {kind}
    with pytest.raises(OSError, match="Input/output error"):
        Segment.create(files, tmp_path / "s", b"head\n")
    assert not (tmp_path / "s").exists()
    files.kinds = set()
    Segment.create(files, tmp_path / "s", b"head\n").close()
    assert (tmp_path / "s").read_bytes() == b"head\n"


def test_resuming_cuts_what_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(b"good, perhaps, torn")
    segment = Segment.resume(Files(), path, 5, b" perhaps")
    assert path.read_bytes() == b"good, perhaps"
    segment.append(b".")
    assert path.read_bytes() == b"good, perhaps."
    segment.close()


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    files = Files()
    Segment.create(files, tmp_path / "s", b"head\n").close()
    files.replace(tmp_path / "c", b"checkpoint")
    for name in ("s", "c"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_replacing_is_all_or_nothing(tmp_path: Path) -> None:
    files = Failing()
    files.replace(tmp_path / "c", b"old")
    for kind in ("write", "sync"):
        files.kinds = {kind}
        with pytest.raises(OSError, match="Input/output error"):
            files.replace(tmp_path / "c", b"new")
        assert (tmp_path / "c").read_bytes() == b"old"


def test_the_reserve_takes_and_gives_space(tmp_path: Path) -> None:
    files = Failing()
    reserve = Reserve(files, tmp_path / "r", size=100_000, slice=40_000)
    assert reserve.held == 0
    reserve.fill()
    assert reserve.held == 100_000
    held = []
    for _ in range(4):
        reserve.release()
        held.append(reserve.held)
    assert held == [60_000, 20_000, 0, 0]
    files.kinds, files.error = {"allocate"}, errno.ENOSPC
    with pytest.raises(OSError) as full:
        reserve.fill()
    assert is_full(full.value)
    assert reserve.held == 0
    files.kinds = set()
    reserve.fill()
    reserve.fill()
    assert reserve.held == 100_000
    reserve.close()


def test_jobs_run_in_order_in_one_thread_and_answer_in_the_loop() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        writer = WriterThread(loop, "writer")
        done: asyncio.Queue[tuple[object, str]] = asyncio.Queue()
        here = threading.current_thread().name

        def answer(result: object) -> None:
            assert threading.current_thread().name == here
            done.put_nowait((result, here))

        def say(number: int) -> str:
            return f"{number} {threading.current_thread().name}"

        def fail() -> str:
            raise OSError(errno.EIO, "no")

        for number in range(5):
            writer.submit(partial(say, number), answer)
        writer.submit(fail, answer)
        assert [(await done.get())[0] for _ in range(5)] == [f"{n} writer" for n in range(5)]
        assert isinstance((await done.get())[0], OSError)
        writer.stop()

    asyncio.run(run())
