"""What the tests of the audit room build on: keys, a clock that stands, subject keys in memory."""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from nomoat.audit.checkpoint import NoteSigner, VerifierKey
from nomoat.audit.commit import LogSettings
from nomoat.audit.entries import SubjectKeys, open_box
from nomoat.audit.leaf import Leaf, parse_leaf
from nomoat.audit.log import Log
from nomoat.audit.segments import FrameKind, iterate_frames, list_segments, read_header
from nomoat.core.record import Json, Receipt, Record, RecordKind
from nomoat.stores.segments import Files

ORIGIN = "acme.example/log"
FAST = LogSettings(probe_interval=0.01, publish_interval=0.01, reserve_size=64 * 1024, reserve_slice=16 * 1024)


class MemoryKeys:
    """Subject keys that last as long as the test."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.erasures: dict[str, int] = {}

    def find(self, pseudonym: str) -> bytes | None:
        return self.keys.get(pseudonym)

    async def create(self, pseudonym: str) -> bytes:
        return self.keys.setdefault(pseudonym, os.urandom(32))

    def erased(self, pseudonym: str) -> int | None:
        return self.erasures.get(pseudonym)


class DerivedKeys:
    """Subject keys that another process derives as well, so that a log outlives its writer."""

    def find(self, pseudonym: str) -> bytes | None:
        return sha256(pseudonym.encode()).digest()

    async def create(self, pseudonym: str) -> bytes:
        return sha256(pseudonym.encode()).digest()

    def erased(self, pseudonym: str) -> int | None:
        del pseudonym
        return None


@dataclass
class Clock:
    now: float = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """One log's identity: open it as often as you like."""

    directory: Path
    signing_key: bytes = field(default_factory=lambda: os.urandom(32))
    pseudonym_key: bytes = field(default_factory=lambda: os.urandom(32))
    keys: SubjectKeys = field(default_factory=MemoryKeys)
    clock: Clock = field(default_factory=Clock)

    @property
    def key(self) -> VerifierKey:
        return NoteSigner(ORIGIN, self.signing_key).key

    async def open(self, *, files: Files | None = None, settings: LogSettings = FAST, state: int | None = None) -> Log:
        return await Log.open(
            self.directory,
            signing_key=self.signing_key,
            origin=ORIGIN,
            pseudonym_key=self.pseudonym_key,
            subject_keys=self.keys,
            clock=self.clock,
            state=state,
            files=files,
            settings=settings,
        )


def opening(
    subject: str = "person:scientist", on: str = "acme/digits", decision: str = "allow", **content: Json
) -> Record:
    kind, _, name = subject.partition(":")
    who: Mapping[str, Json] = {"kind": kind, "name": name, "session": "s-1"}
    readable: dict[str, Json] = {"who": who, "what": "ReadFile", "on": {"kind": "Dataset", "name": on}, **content}
    return Record(RecordKind.OPENING, subject, "ReadFile", on, decision, readable)


def outcome(
    receipt: Receipt, ending: str = "complete", subject: str = "person:scientist", decision: str = ""
) -> Record:
    return Record(RecordKind.OUTCOME, subject, "ReadFile", "", decision, {"outcome": ending}, of=receipt.index)


class FaultyFiles(Files):
    """A file system that fails when told to, before or after it did what it was asked.

    `arm` makes calls of one kind fail: `before` does nothing, `after` does it all and says no,
    `half` writes a part and then fails. `times` says how often. Without `room`
    nothing can be allocated.
    """

    def __init__(self) -> None:
        self.kind = ""
        self.when = ""
        self.error = 0
        self.times = 0
        self.room = True

    def arm(self, kind: str, when: str, error: int, times: int = 1) -> None:
        self.kind, self.when, self.error, self.times = kind, when, error, times

    def disarm(self) -> None:
        self.times = 0

    @contextmanager
    def _maybe(self, kind: str) -> Iterator[bool]:
        """Yield whether to act only by half; raise before or after."""
        due = self.times > 0 and kind == self.kind
        if due:
            self.times -= 1
            if self.when == "before":
                raise OSError(self.error, os.strerror(self.error))
        yield due and self.when == "half"
        if due and self.when == "after":
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path: Path, flags: int) -> int:
        with self._maybe("open"):
            return super().open(path, flags)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        with self._maybe("write") as half:
            if half:
                # A short write, as of a disk that is nearly full, and then the error.
                self.kind, self.when, self.times = "write", "before", self.times + 1
                return super().write(descriptor, data[: len(data) // 2 + 1], offset)
            return super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        with self._maybe("sync"):
            super().sync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        with self._maybe("sync_directory"):
            super().sync_directory(directory)

    def allocate(self, descriptor: int, start: int, length: int) -> None:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().allocate(descriptor, start, length)

    def truncate(self, descriptor: int, length: int) -> None:
        with self._maybe("truncate"):
            super().truncate(descriptor, length)


def kept_records(world: World) -> list[tuple[Leaf, Mapping[str, Json]]]:
    """Every record in the log with its readable content, oldest first."""
    found: list[tuple[Leaf, Mapping[str, Json]]] = []
    for _, path in list_segments(world.directory):
        data = path.read_bytes()
        _, start = read_header(data)
        for frame in iterate_frames(data, start):
            if frame.kind == FrameKind.RECORD:
                leaf = parse_leaf(frame.entry)
                key = world.keys.find(str(leaf.fields["who"]))
                assert key is not None
                found.append((leaf, open_box(ORIGIN, leaf.fields, frame.body, key)))
    return found


def shared_world(directory: Path) -> World:
    """The same log in every process, with the real time."""
    world = World(directory, bytes(range(32)), bytes(range(32, 64)), DerivedKeys())
    world.clock.now = time.time()
    return world


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that happens in the background; fail when it does not."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - nothing to wait on: the log tells nobody that it recovered
            await asyncio.sleep(0.002)
