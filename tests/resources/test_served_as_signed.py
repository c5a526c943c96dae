"""No sequence of operations serves bytes whose digest differs from the signed manifest.

Rules: publishing, judging, reading and starting again go through the guard; what happens to the disk and to the state
happens behind its back. The model knows what was published, what the signature of each version said when it was made,
and what has been changed since: a read gives exactly that content, or not one byte.
"""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select, update

from nomoat.attestation.model_signature import FILE_NAME, verify_bundle
from nomoat.core.errors import NoMoatError, Refused
from nomoat.core.operation import ReadFile
from nomoat.stores.state.schema import change, stage
from tests.resources.test_lifecycle import WEIGHTS, Parts, parts_of
from tests.resources.test_rotation import opened
from tests.resources.test_signatures import digests, newest, tamper
from tests.resources.world import yard

PATHS = ("a.txt", "b.txt")
SIZES = (1, 70_000, 300_000, 300_000)  # of one segment, and of several: the last one is authenticated before all
CANDIDATE, APPROVED, WITHDRAWN = "candidate", "approved", "withdrawn"

versions = st.integers(0, 3)  # how many there are after it
files = st.sampled_from(PATHS)
stored = st.sampled_from([*PATHS, FILE_NAME])
offsets = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 0.9999])  # of a byte, as a part of the length
spans = st.none() | st.tuples(offsets, offsets)
# One rule takes all of them: hypothesis leaves rules out of an example at random, and few examples would ever do all.
steps = st.one_of(
    st.tuples(st.just("publish"), files, st.sampled_from(SIZES), st.booleans()),
    st.tuples(st.just("approve"), versions),
    st.tuples(st.just("withdraw"), versions),
    st.tuples(st.just("flip"), versions, stored, offsets),
    st.tuples(st.just("take_the_place"), versions, stored, versions, stored),
    st.tuples(st.just("cut"), versions, stored, offsets),
    st.tuples(st.just("redirect"), versions, stored, versions, stored),
    st.tuples(st.just("forge_the_summary"), versions, offsets),
    st.tuples(st.just("mend")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("read"), st.booleans(), st.none() | versions, files, spans),
)


class Row(NamedTuple):
    """Where the state says what a version sets a path to: `commit` is the version that set it."""

    commit: str
    path: str


@dataclass
class Version:
    """A version as it was published; `rows` has all of its paths, the signature's too."""

    commit: str
    rows: dict[str, Row]
    contents: dict[str, bytes]
    signed: dict[str, str]  # path → SHA-256 that the signature says
    stage: str = CANDIDATE


@dataclass
class Damage:
    """What is not as it was: files on the disk with what they had, rows with theirs, summaries with theirs."""

    files: dict[Path, bytes] = field(default_factory=dict[Path, bytes])
    rows: dict[Row, str] = field(default_factory=dict[Row, str])
    summaries: dict[str, tuple[int, bytes]] = field(default_factory=dict[str, tuple[int, bytes]])


class Disk(RuleBasedStateMachine):
    """A model's versions, published and judged, on a disk and in a state that somebody else changes."""

    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.running = AsyncExitStack()
        self.versions: list[Version] = []
        self.blobs: dict[Row, str] = {}
        self.damage = Damage()
        self.touched = 0, PATHS[0]  # the number of a version, and a path

    @initialize()
    def begin(self) -> None:
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        there = await self.running.enter_async_context(yard(Path(tempfile.mkdtemp(dir=self.root))))
        self.parts = await parts_of(there)
        for path in PATHS:
            await self.publish(path, SIZES[-1], large=False)

    @rule(step=steps)
    def step(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        self.loop.run_until_complete(getattr(self, name)(*arguments))

    @invariant()
    def what_was_touched_last_and_what_is_served_are_as_signed(self) -> None:
        if self.versions:
            number, path = self.touched
            self.loop.run_until_complete(self.read(False, len(self.versions) - 1 - number, path, None))
            self.loop.run_until_complete(self.read(True, None, path, None))

    def at(self, place: int) -> Version:
        return self.versions[::-1][place % len(self.versions)]

    # -- Through the guard --------------------------------------------------------------------------

    async def publish(self, path: str, size: int, large: bool) -> None:
        """Publish a content that was never there: within the commit, or uploaded first."""
        await self._restore_rows()  # a commit keeps what the state says of the other files, and signs that
        there, number = self.parts.there, len(self.versions)
        content = (b"%08d" % number * (size // 8 + 1))[:size] + b"-%d" % number
        if large:
            sent = replace(await there.upload(WEIGHTS, content, by=there.train), path=path)
            commit = await there.commit(WEIGHTS, sent, by=there.train)
        else:
            commit = await self.parts.publish(content, path=path)
        snapshot = newest(there)
        before = self.versions[-1] if self.versions else Version("", {}, {}, {})
        rows = {**before.rows, path: Row(commit, path), FILE_NAME: Row(commit, FILE_NAME)}
        self.blobs |= {rows[each]: snapshot.files[each].blob.id for each in (path, FILE_NAME)}
        bundle = await there.read(WEIGHTS, FILE_NAME, by=there.train, revision=commit)
        trusted = there.world.gateway.lifecycle._signatures.signatory.trusted
        verify_bundle(bundle, trusted, digests(snapshot), int(snapshot.revision.at))
        self.versions.append(Version(commit, rows, {**before.contents, path: content}, digests(snapshot)))

    async def approve(self, place: int) -> None:
        version = self.at(place)
        await self._judged(self.parts.approve, version, APPROVED, may=not self._version_differs(version))

    async def withdraw(self, place: int) -> None:
        await self._judged(self.parts.withdraw, self.at(place), WITHDRAWN, may=True)

    async def _judged(self, judge: Callable[..., Any], version: Version, stands: str, *, may: bool) -> None:
        try:
            await judge(version.commit, self.parts.anna)
        except NoMoatError:
            assert version.stage == stands or not may
        else:
            assert version.stage != stands
            assert may
            version.stage = stands
            self.damage.summaries.pop(version.commit, None)

    async def restart(self) -> None:
        before = self.parts
        await self.running.aclose()
        self.running = AsyncExitStack()
        there = await self.running.enter_async_context(opened(before.there.world))
        there.ingest, there.train = before.there.ingest, before.there.train
        self.parts = Parts(there, before.deploy, before.anna, before.emil)

    async def read(self, deploy: bool, place: int | None, path: str, span: tuple[float, float] | None) -> None:
        """Read a version by its id or what the main branch means, whole or a range, as a deployment or as its author."""
        by, there = self.parts.deploy if deploy else self.parts.there.train, self.parts.there
        approved = [each for each in self.versions if each.stage == APPROVED]
        version = self.at(place) if place is not None else (approved[-1] if approved else None)
        content = version.contents.get(path) if version else None
        first, last = (int(each * len(content or b"")) for each in sorted(span)) if span else (None, None)
        asked = ReadFile(WEIGHTS, version.commit if version and place is not None else "main", path, first, last)
        given: list[bytes] = []
        refused: NoMoatError | None = None
        try:
            async with there.guard.admit(by.present(), asked) as permit, there.reading.read_file(permit) as found:
                given.extend(found.parts or ())
        except NoMoatError as error:
            refused = error
        if refused:
            assert given == [], "something was given out before it was refused"
            assert version is None or content is None or self._with_reason(refused, version, path, deploy=deploy)
            return
        assert version is not None
        assert content is not None
        assert version.stage in ({APPROVED} if deploy else {APPROVED, CANDIDATE})
        assert b"".join(given) == (content if first is None or last is None else content[first : last + 1])
        assert sha256(content).hexdigest() == version.signed[path]
        assert not self._differs(version, path)

    def _with_reason(self, error: NoMoatError, version: Version, path: str, *, deploy: bool) -> bool:
        """Whether a refusal has its reason: who asked may not have it, or it is not what was signed."""
        if version.stage == WITHDRAWN or (deploy and version.stage != APPROVED):
            return isinstance(error, Refused)
        return self._differs(version, path)

    def _differs(self, version: Version, path: str) -> bool:
        return self._version_differs(version) or self._file(version.rows[path]) in self.damage.files

    def _version_differs(self, version: Version) -> bool:
        return (
            self._file(version.rows[FILE_NAME]) in self.damage.files
            or any(row in self.damage.rows for row in version.rows.values())
            or version.commit in self.damage.summaries
        )

    # -- Behind its back ----------------------------------------------------------------------------

    def _touched(self, place: int, path: str) -> Row | None:
        """Where a version says what a path is, if it has the path."""
        version = self.at(place)
        self.touched = self.versions.index(version), path if path in PATHS else PATHS[0]
        return version.rows.get(path)

    def _file(self, row: Row) -> Path:
        return self.parts.there.world.directory / "objects" / self.blobs[row][:2] / self.blobs[row]

    def _overwrite(self, path: Path, content: bytes) -> None:
        original = self.damage.files.setdefault(path, path.read_bytes())
        put(path, content)
        if content == original:
            del self.damage.files[path]

    async def flip(self, place: int, path: str, at: float) -> None:
        if row := self._touched(place, path):
            content = bytearray(self._file(row).read_bytes())
            if content:
                content[int(at * len(content))] ^= 1
                self._overwrite(self._file(row), bytes(content))

    async def take_the_place(self, place: int, path: str, other: int, other_path: str) -> None:
        """Put one content's file where another one's is."""
        if (row := self._touched(place, path)) and (source := self.at(other).rows.get(other_path)):
            self._overwrite(self._file(row), self._file(source).read_bytes())

    async def cut(self, place: int, path: str, at: float) -> None:
        if row := self._touched(place, path):
            content = self._file(row).read_bytes()
            self._overwrite(self._file(row), content[: int(at * len(content))])

    async def redirect(self, place: int, path: str, other: int, other_path: str) -> None:
        """Say in the state that a path has another one's content."""
        row, source = self._touched(place, path), self.at(other).rows.get(other_path)
        if row and source and row != source:
            await self._point(row, self.blobs[source])
            self.damage.rows[row] = self.blobs[row]

    async def _point(self, row: Row, blob: str) -> None:
        of = change.c.revision == row.commit, change.c.path == row.path
        await tamper(
            self.parts.there, lambda connection: connection.execute(update(change).where(*of).values(blob=blob))
        )

    async def _restore_rows(self) -> None:
        for row, blob in self.damage.rows.items():
            await self._point(row, blob)
        self.damage.rows.clear()

    async def forge_the_summary(self, place: int, at: float) -> None:
        """Flip a byte of what was signed when a version was approved."""
        version = self.at(place)
        if version.stage != APPROVED or version.commit in self.damage.summaries:
            return
        newest_row = select(stage.c.number, stage.c.statement).where(stage.c.revision == version.commit)
        number, statement = self.parts.there.catalog._state.read(
            lambda connection: connection.execute(newest_row.order_by(stage.c.number.desc()).limit(1)).one()
        )
        forged = bytearray(statement)
        forged[int(at * len(forged))] ^= 1
        await self._state_summary(number, bytes(forged))
        self.damage.summaries[version.commit] = number, statement

    async def _state_summary(self, number: int, statement: bytes) -> None:
        said = update(stage).where(stage.c.number == number).values(statement=statement)
        await tamper(self.parts.there, lambda connection: connection.execute(said))

    async def mend(self) -> None:
        """Put everything back as it was: it is served again."""
        for path, content in self.damage.files.items():
            put(path, content)
        self.damage.files.clear()
        await self._restore_rows()
        for number, statement in self.damage.summaries.values():
            await self._state_summary(number, statement)
        self.damage.summaries.clear()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.running.aclose())
        self.loop.close()


def put(path: Path, content: bytes) -> None:
    """Write a file, and wait for the clock of the file system to move on, which tells one change from the next."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_bytes(content)


def test_no_sequence_serves_what_differs_from_what_was_signed(tmp_path: Path) -> None:
    """Whatever is done: what is read is what was signed, or nothing at all."""
    Disk.root = tmp_path
    run_state_machine_as_test(Disk, settings=settings(max_examples=12, stateful_step_count=25, deadline=None))
