"""Objects when the disk fails, fills up or the process dies: a blob is whole and visible, or not there."""

import asyncio
import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from nomoat.core.errors import Corrupt, Unavailable
from nomoat.stores.blob import StoredBlob
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.objects import Objects

KEK = KeyEncryptionKey(bytes(range(32)))
CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes, 16 segments
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def files_in(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def upload(objects: Objects, content: bytes = CONTENT) -> StoredBlob:
    with objects.begin("r", hashlib.sha256(content).hexdigest(), len(content)) as upload:
        for start in range(0, len(content), 65_536):
            upload.write(content[start : start + 65_536])
        return await upload.finish()


def read(objects: Objects, stored: StoredBlob) -> bytes:
    with objects.open(stored, "r", DIGEST) as blob:
        return b"".join(blob.segments())


# -- The process dies -------------------------------------------------------------------------------

# The process kills itself from an audit hook (PEP 578) right before a system call, so nothing of our
# code is replaced and nothing of it runs afterwards.
DYING = dedent("""
    import asyncio, hashlib, os, signal, sys
    from pathlib import Path
    from nomoat.stores.keys import KeyEncryptionKey
    from nomoat.stores.objects import Objects

    event, root = sys.argv[1], Path(sys.argv[2])
    content = bytes(range(256)) * 4000

    def die(name, arguments):
        if name == event:
            os.kill(os.getpid(), signal.SIGKILL)

    async def main():
        upload = Objects(root, KeyEncryptionKey(bytes(range(32)))).begin(
            "r", hashlib.sha256(content).hexdigest(), len(content)
        )
        if event != "after-writing":
            sys.addaudithook(die)
        upload.write(content)
        if event == "after-writing":
            os.kill(os.getpid(), signal.SIGKILL)
        await upload.finish()

    asyncio.run(main())
    print("finished")
""")


@pytest.mark.parametrize("event", ["after-writing", "os.mkdir", "os.rename"])
def test_a_crash_before_the_rename_leaves_no_visible_blob(tmp_path: Path, event: str) -> None:
    root = tmp_path / "objects"
    died = subprocess.run(
        [sys.executable, "-c", DYING, event, str(root)], capture_output=True, text=True, check=False, timeout=60
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert [path.parent.name for path in files_in(root)] == ["incoming"]
    objects = Objects(root, KEK)
    assert files_in(root) == []
    assert list(objects.ids()) == []
    assert read(objects, asyncio.run(upload(objects))) == CONTENT


def test_a_crash_after_the_rename_leaves_a_blob_that_the_state_can_miss(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    finished = subprocess.run(
        [sys.executable, "-c", DYING, "never", str(root)], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.stdout == "finished\n", finished.stderr
    objects = Objects(root, KEK)
    (orphan,) = objects.ids()
    asyncio.run(objects.remove(orphan))
    assert files_in(root) == []


def test_sweeping_says_how_much_it_removed(tmp_path: Path) -> None:
    objects = Objects(tmp_path, KEK)
    stored = asyncio.run(upload(objects))
    for name in ("0" * 32, "whatever"):
        (tmp_path / "incoming" / name).write_bytes(b"unfinished")
    assert objects.sweep() == 2
    assert objects.sweep() == 0
    assert read(objects, stored) == CONTENT


# -- The disk fails ---------------------------------------------------------------------------------


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, call: str, nth: int) -> Iterator[None]:
    """Let the nth call of a function of `os` fail with EIO, once."""
    real, count = getattr(os, call), 0

    def fail(*arguments: object, **named: object) -> object:
        nonlocal count
        count += 1
        if count == nth:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        yield
    assert count >= nth, f"os.{call} was called {count} times only"


@pytest.mark.parametrize(
    ("call", "nth"),
    [("write", 1), ("write", 3), ("write", 4), ("fsync", 1), ("fsync", 2), ("fsync", 3), ("mkdir", 1), ("rename", 1)],
)
def test_a_failing_disk_leaves_nothing_and_the_next_upload_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    objects = Objects(tmp_path, KEK)
    with failing(monkeypatch, call, nth), pytest.raises(Unavailable) as caught:
        asyncio.run(upload(objects))
    assert caught.value.part == "objects"
    assert files_in(tmp_path) == []
    assert read(objects, asyncio.run(upload(objects))) == CONTENT


@pytest.mark.parametrize(("call", "nth"), [("fstat", 1), ("pread", 1), ("preadv", 1), ("preadv", 3)])
def test_a_failing_disk_ends_a_read_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    objects = Objects(tmp_path, KEK)
    stored = asyncio.run(upload(objects))
    with failing(monkeypatch, call, nth), pytest.raises(Unavailable) as caught:
        read(objects, stored)
    assert caught.value.part == "objects"
    assert read(objects, stored) == CONTENT


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10_007]))
        objects = Objects(tmp_path, KEK)
        stored = asyncio.run(upload(objects))
    assert read(objects, stored) == CONTENT


def test_a_file_that_shrinks_while_it_is_read_is_corrupt(tmp_path: Path) -> None:
    objects = Objects(tmp_path, KEK)
    stored = asyncio.run(upload(objects))
    with objects.open(stored, "r", DIGEST) as blob:
        parts = blob.segments()
        next(parts)
        os.truncate(next(tmp_path.rglob(stored.id)), 100_000)
        with pytest.raises(Corrupt):
            next(parts)


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"a file in its place")
    with pytest.raises(Unavailable):
        Objects(tmp_path / "objects", KEK)


# -- The disk is full -------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let every write beyond `size` bytes of a file fail (EFBIG), as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100_000, 1_000_000])
def test_a_disk_that_fills_up_while_writing_refuses_and_recovers(tmp_path: Path, size: int) -> None:
    objects = Objects(tmp_path, KEK)
    with largest_file(size), pytest.raises(Unavailable) as caught:
        asyncio.run(upload(objects))
    assert caught.value.part == "objects"
    assert files_in(tmp_path) == []
    assert read(objects, asyncio.run(upload(objects))) == CONTENT


# A file system of 2 MiB, in a mount namespace that ends with the process, however it ends.
ON_A_SMALL_DISK = [
    *("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))),
    *("sh", "-c", 'mount -t tmpfs -o size=2m none "$0" || exit 77; exec "$@"'),
]

FILLING = dedent("""
    import asyncio, hashlib, sys
    from pathlib import Path
    from nomoat.core.errors import Unavailable
    from nomoat.stores.keys import KeyEncryptionKey
    from nomoat.stores.objects import Objects

    disk = Path(sys.argv[1])
    content = bytes(range(256)) * 4000
    digest = hashlib.sha256(content).hexdigest()

    def refused(call, *arguments):
        try:
            call(*arguments)
        except Unavailable as error:
            return str(error)

    async def main():
        objects = Objects(disk / "objects", KeyEncryptionKey(bytes(range(32))))
        print(refused(objects.begin, "r", digest, 3 * 2**20))
        print([path.name for path in (disk / "objects").rglob("*")])
        with objects.begin("r", digest, len(content)) as one, objects.begin("r", digest, len(content)) as two:
            one.write(content)
            (disk / "log").write_bytes(bytes(900_000))  # somebody else's
            print(refused(two.write, content))
            stored = await one.finish()
        print(list(objects.ids()) == [stored.id])
        with objects.open(stored, "r", digest) as blob:
            print(b"".join(blob.segments()) == content)
        print([path.name for path in (disk / "objects" / "incoming").iterdir()])
        (disk / "log").unlink()
        with objects.begin("r", digest, 900_000) as three:
            print(refused(three.write, content[:900_000]))

    asyncio.run(main())
""")


def test_a_small_disk_refuses_what_cannot_fit_and_uploads_that_fill_it_fail_alone(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*ON_A_SMALL_DISK, str(tmp_path), sys.executable, "-c", FILLING, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if ran.returncode == 77 or "unshare failed" in ran.stderr:
        pytest.skip("this machine lets nobody mount a small file system")
    assert ran.stdout.splitlines() == [
        "objects: the disk has no room for 3145728 bytes",
        "['incoming']",
        "objects: the disk failed: No space left on device",
        "True",
        "True",
        "[]",
        "None",
    ], ran.stderr


# -- The caller goes away ---------------------------------------------------------------------------


def test_an_upload_cancelled_while_it_is_synced_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects(tmp_path, KEK)
    syncing, go_on = threading.Event(), threading.Event()
    real = os.fsync

    def slow(descriptor: int) -> None:
        syncing.set()
        assert go_on.wait(30)
        real(descriptor)

    async def cancelled() -> None:
        task = asyncio.ensure_future(upload(objects))
        await asyncio.to_thread(syncing.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await asyncio.get_running_loop().shutdown_default_executor()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", slow)
        asyncio.run(cancelled())
    assert files_in(tmp_path) == []
    assert list(objects.ids()) == []


def test_a_block_that_fails_aborts_its_upload(tmp_path: Path) -> None:
    objects = Objects(tmp_path, KEK)

    def interrupted() -> None:
        with objects.begin("r", DIGEST, len(CONTENT)) as upload:
            upload.write(CONTENT[:300_000])
            raise ConnectionResetError

    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ConnectionResetError):
        interrupted()
    assert files_in(tmp_path) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
