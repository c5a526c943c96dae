"""Removing what nobody committed when the process dies or a part fails: what is committed stays whole, nothing is left."""

import asyncio
import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import func, select

from nomoat.core.errors import Malformed, NoMoatError, Unavailable
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.verdict import Report, Verdict
from nomoat.stores.catalog import Catalog
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.objects import Objects
from nomoat.stores.revisions import Draft, StoredFile
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob, upload
from nomoat.stores.streaming import ciphertext_size
from nomoat.stores.uncommitted import LIFE_S, Uncommitted

NAME = RepositoryName(RepositoryKind.DATASET, "acme", "digits")
KEY = bytes(range(32))
COMMITTED = b"committed"
ORPHANS = (b"one", b"two", b"three")


class Place:
    """A state and its objects, with a repository that has one committed content."""

    def __init__(self, root: Path, state: State) -> None:
        self.state = state
        self.objects = Objects(root / "objects", KeyEncryptionKey(KEY))
        self.catalog = Catalog(state)
        self.now = 0.0
        self.noted: list[tuple[str, int, int]] = []
        self.uncommitted = self.made(self.note)

    def made(self, note: Callable[[str, int, int], Awaitable[object]], examined: int = 500) -> Uncommitted:
        return Uncommitted(self.state, self.objects, lambda: self.now, note, examined=examined, pause=0.0)

    async def note(self, why: str, contents: int, length: int) -> None:
        self.noted.append((why, contents, length))

    async def send(self, content: bytes, who: str = "ada") -> StoredFile:
        created = self.catalog.find(NAME)
        assert created
        digest = hashlib.sha256(content).hexdigest()
        with self.objects.begin(created.id, digest, len(content)) as sending:
            sending.write(content)
            file = StoredFile(digest, len(content), "", await sending.finish())
        if not await self.catalog.keep(created.id, file, Report(Verdict.CLEAN, "text"), who, self.now):
            await self.objects.remove(file.blob.id)
        return file

    async def commit(self, path: str, file: StoredFile) -> None:
        created = self.catalog.find(NAME)
        assert created
        base = self.catalog.snapshot(created, "main")
        assert base
        files = {path: (file.digest, file.size)}
        await self.catalog.commit(NAME, Draft(created.id, "main", base, False, "t", "ada", self.now, files))

    async def fill(self) -> None:
        await self.catalog.create(NAME, "ada", 0.0)
        await self.commit("path", await self.send(COMMITTED))
        for content in ORPHANS:
            await self.send(content)

    def rows(self) -> tuple[int, int]:
        """How many contents the state knows, and how many sendings of them."""
        count = func.count
        return self.state.read(
            lambda connection: (
                connection.scalar(select(count()).select_from(blob)) or 0,
                connection.scalar(select(count()).select_from(upload)) or 0,
            )
        )

    def readable(self) -> bytes:
        created = self.catalog.find(NAME)
        assert created
        snapshot = self.catalog.snapshot(created, "main")
        assert snapshot
        file = snapshot.files["path"]
        with self.objects.open(file.blob, created.id, file.digest) as opened:
            return b"".join(opened.segments())

    def files(self) -> int:
        return len(list(self.objects.ids()))


@asynccontextmanager
async def place(root: Path) -> AsyncGenerator[Place]:
    state = State.create(root / "state.db", KEY)
    try:
        there = Place(root, state)
        await there.fill()
        yield there
    finally:
        state.close()


SIZES = sum(ciphertext_size(len(content)) for content in ORPHANS)
LATE = f"nobody committed them within {LIFE_S / 86400:.0f} days"


def test_what_is_old_and_uncommitted_goes_and_is_noted(tmp_path: Path) -> None:
    async def play() -> None:
        async with place(tmp_path) as there:
            there.now = LIFE_S - 1
            assert await there.uncommitted.sweep() == 0
            there.now = LIFE_S
            young = await there.send(b"young")
            assert await there.uncommitted.sweep() == 3
            assert there.noted == [(LATE, 3, SIZES)]
            assert there.rows() == (2, 2)
            assert there.files() == 2
            await there.commit("young", young)
            there.now = 10 * LIFE_S
            assert await there.uncommitted.sweep() == 0
            assert there.readable() == COMMITTED

    asyncio.run(play())


def test_what_a_former_revision_names_stays(tmp_path: Path) -> None:
    async def play() -> None:
        async with place(tmp_path) as there:
            await there.commit("path", await there.send(b"newer"))
            there.now = 2 * LIFE_S
            assert await there.uncommitted.sweep() == 3
            assert there.files() == 2

    asyncio.run(play())


@pytest.mark.parametrize("who", ["ada", "bob"])
def test_whoever_sends_a_content_again_has_sent_it_now(tmp_path: Path, who: str) -> None:
    async def play() -> None:
        async with place(tmp_path) as there:
            there.now = LIFE_S
            await there.send(ORPHANS[0], who)
            assert await there.uncommitted.sweep() == 2
            there.now = 2 * LIFE_S
            assert await there.uncommitted.sweep() == 1

    asyncio.run(play())


@pytest.mark.parametrize("examined", [1, 2, 3, 4, 5])
def test_a_turn_is_bounded_and_every_content_has_its_turn(tmp_path: Path, examined: int) -> None:
    async def play() -> None:
        async with place(tmp_path) as there:
            there.now = LIFE_S
            assert await there.made(there.note, examined).sweep() == 3
            assert all(contents <= examined for _, contents, _ in there.noted)
            assert sum(contents for _, contents, _ in there.noted) == 3
            assert sum(length for _, _, length in there.noted) == SIZES
            assert there.files() == 1

    asyncio.run(play())


def test_it_goes_on_while_the_gateway_runs_and_after_failures(tmp_path: Path) -> None:
    async def play() -> None:
        async with place(tmp_path) as there:
            failed, noted = asyncio.Event(), asyncio.Event()

            def fail(failure: NoMoatError) -> None:
                assert isinstance(failure, Unavailable)
                failed.set()

            async def note(*_: object) -> None:
                noted.set()

            uncommitted = there.made(note)
            there.state._closed = True
            running = asyncio.create_task(uncommitted.run(fail, interval=0.01))
            await failed.wait()
            there.state._closed = False
            assert there.files() == 4
            there.now = LIFE_S
            await noted.wait()
            await uncommitted.sweep()  # one at a time: after the one that was under way
            assert there.files() == 1
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(asyncio.wait_for(play(), 30))


# -- A part fails -----------------------------------------------------------------------------------


def test_while_the_log_fails_nothing_leaves_the_disk(tmp_path: Path) -> None:
    async def play() -> None:
        async with place(tmp_path) as there:
            there.now = LIFE_S
            failing = [True]

            async def note(why: str, contents: int, length: int) -> None:
                if failing[0]:
                    raise Unavailable("log", "the disk is broken")
                await there.note(why, contents, length)

            uncommitted = there.made(note)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await uncommitted.sweep()
                assert (there.files(), there.rows()) == (4, (1, 1))
            failing[0] = False
            assert await uncommitted.sweep() == 3
            assert (there.files(), there.noted) == (1, [(LATE, 3, SIZES)])

    asyncio.run(play())


def test_while_the_disk_fails_nothing_is_noted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.unlink, 0

    def unlink(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path)

    async def play() -> None:
        async with place(tmp_path) as there:
            there.now = LIFE_S
            with monkeypatch.context() as patch:
                patch.setattr(os, "unlink", unlink)
                with pytest.raises(Unavailable):
                    await there.uncommitted.sweep()
            assert there.files() == 3
            assert await there.uncommitted.sweep() == 2
            assert (there.files(), there.noted) == (1, [(LATE, 3, SIZES)])

    asyncio.run(play())


def test_what_the_state_cannot_forget_stays(tmp_path: Path) -> None:
    async def play() -> None:
        async with place(tmp_path) as there:
            there.now = LIFE_S
            there.state._closed = True
            with pytest.raises(Unavailable):
                await there.uncommitted.sweep()
            there.state._closed = False
            assert (there.files(), there.rows(), there.noted) == (4, (4, 4), [])

    asyncio.run(play())


# -- The process dies -------------------------------------------------------------------------------

# As in `test_objects_faults`: the process kills itself right before a step.
DYING = dedent("""
    import asyncio, os, signal, sys
    from pathlib import Path
    from tests.stores.test_uncommitted import LIFE_S, place

    step, root = sys.argv[1], Path(sys.argv[2])

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    removals = [0]

    def hook(name, arguments):
        if name == "os.remove" and "objects" in str(arguments[0]):
            removals[0] += 1
            if step == f"removal {removals[0]}":
                die()

    async def main():
        async with place(root) as there:
            there.now = LIFE_S

            async def note(*_):
                if step == "note":
                    die()
                print("noted", flush=True)

            sys.addaudithook(hook)
            await there.made(note).sweep()
            if step == "end":
                die()

    asyncio.run(main())
""")


@pytest.mark.parametrize(
    ("step", "noted", "left"),
    [("note", False, 3), ("removal 1", True, 3), ("removal 2", True, 2), ("removal 3", True, 1), ("end", True, 0)],
)
def test_a_crash_leaves_what_the_next_start_removes_and_notes(
    tmp_path: Path, step: str, noted: bool, left: int
) -> None:
    died = subprocess.run(
        [sys.executable, "-c", DYING, step, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert (died.stdout == "noted\n") is noted

    async def play() -> None:
        state = State.open(tmp_path / "state.db", KEY)
        try:
            there = Place(tmp_path, state)
            there.now = LIFE_S
            assert there.rows() == (1, 1), "the state forgets first"
            assert there.files() == 1 + left
            assert await there.uncommitted.remove_strays() == left
            assert [contents for _, contents, _ in there.noted] == [left] * bool(left)
            assert await there.uncommitted.sweep() == 0
            assert there.files() == 1
            assert there.readable() == COMMITTED
        finally:
            state.close()

    asyncio.run(play())


def test_blobs_without_a_row_are_removed_and_no_others(tmp_path: Path) -> None:
    async def play() -> None:
        async with place(tmp_path) as there:
            stray = "ab" * 16
            for name in (stray, "notes.txt"):
                (tmp_path / "objects" / "ab").mkdir(exist_ok=True)
                (tmp_path / "objects" / "ab" / name).write_bytes(b"12345")
            assert await there.uncommitted.remove_strays() == 1
            assert [noted[1:] for noted in there.noted] == [(1, 5)]
            assert stray not in set(there.objects.ids())
            assert there.files() == 5  # four contents, and what is not ours
            assert await there.uncommitted.remove_strays() == 0
            assert len(there.noted) == 1

    asyncio.run(play())


# -- A commit comes meanwhile -----------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(8))
def test_a_commit_comes_first_or_is_told_that_nothing_was_sent(tmp_path: Path, turns: int) -> None:
    """Whichever comes first, no revision ever names a content that is not there."""

    async def play() -> None:
        async with place(tmp_path) as there:
            files = [await there.send(b"content %d" % number) for number in range(6)]
            there.now = LIFE_S

            async def commit(number: int) -> bool:
                for _ in range(turns * number):
                    await asyncio.sleep(0.0005)
                try:
                    await there.commit(f"p{number}", files[number])
                except Malformed:
                    return False
                return True

            committed, _ = await asyncio.gather(
                asyncio.gather(*map(commit, range(6))), there.made(there.note, examined=2).sweep()
            )
            created = there.catalog.find(NAME)
            assert created
            snapshot = Catalog(there.state).snapshot(created, "main")
            assert snapshot
            assert set(snapshot.files) == {"path", *(f"p{number}" for number in range(6) if committed[number])}
            for number in (number for number in range(6) if committed[number]):
                file = snapshot.files[f"p{number}"]
                with there.objects.open(file.blob, created.id, file.digest) as opened:
                    assert b"".join(opened.segments()) == b"content %d" % number
            await there.uncommitted.sweep()
            assert there.files() == 1 + sum(committed)

    asyncio.run(play())
