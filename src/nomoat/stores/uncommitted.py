"""Contents that nobody committed, or whose repository is gone: forgotten by the state, then removed from the disk.

Rules: a content that any revision names, of any branch and however old, is never touched. Age counts
from the last time that somebody sent the content. The order is state, log, disk: what the state has
forgotten no commit can name any more, what is removed from the disk is on record before, and what a
crash leaves in between is a blob without a row, which the next start removes.

INVARIANT (named or forgotten): whether a content is named is asked in the very transaction that
forgets it, and the state has one writer. So a commit either comes first, and the content stays, or
comes after, and is told that the content was not sent.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias, final

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select

from nomoat.core.errors import NoMoatError
from nomoat.stores.objects import Objects
from nomoat.stores.references import Forgotten
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob, change, upload
from nomoat.stores.streaming import ciphertext_size

LIFE_S: Final = 7 * 24 * 3600.0
"""Seconds that an uncommitted content is kept: a push of terabytes sends its first file days before it commits."""
EVERY_S: Final = 3600.0
UNCOMMITTED: Final = f"nobody committed them within {LIFE_S / 86400:.0f} days"
DELETED: Final = "their repository was deleted"
EXAMINED: Final = 500  # contents in one turn: a few milliseconds of the state's writer
PAUSE_S: Final = 0.05  # between turns, for everybody else who writes to the state
_BLOB_ID: Final = re.compile(r"[0-9a-f]{32}")  # what else lies there is not ours to remove

NoteRemoval: TypeAlias = Callable[[str, int, int], Awaitable[object]]
"""Make it durable that contents are removed: why, how many, and how many bytes that frees on the disk."""


@final
class Uncommitted:
    """Removes what nobody committed. There is one for a state and its objects."""

    def __init__(
        self,
        state: State,
        objects: Objects,
        clock: Callable[[], float],
        note: NoteRemoval,
        *,
        examined: int = EXAMINED,
        pause: float = PAUSE_S,
    ) -> None:
        self._state = state
        self._objects = objects
        self._clock = clock
        self._note = note
        self._examined = examined
        self._pause = pause
        self._sweeping = asyncio.Lock()
        self._unrecorded: dict[str, list[Forgotten]] = {}  # by the reason
        self._waiting = asyncio.Event()
        self._unremoved: list[Forgotten] = []

    async def remove_strays(self) -> int:
        """Remove the blobs that a crash left without a row in the state; return how many there were.

        To be called before anything is served: a blob on its way in has no row yet either. Raises
        `Unavailable` when that fails.
        """
        known = self._state.read(lambda connection: set(connection.scalars(select(blob.c.id))))
        strays = [each for each in self._objects.ids() if _BLOB_ID.fullmatch(each) and each not in known]
        if strays:
            length = sum(self._objects.length(each) for each in strays)
            await self._note("nothing refers to them: a crash or a fault came between", len(strays), length)
        for stray in strays:
            await self._objects.remove(stray)
        return len(strays)

    async def sweep(self) -> int:
        """Look at all contents once, some at a time; return how many were removed.

        Raises `Unavailable` when the state, the log or the disk fails. What was forgotten by then is
        recorded and removed by the next sweep of this process, or at the next start.
        """
        async with self._sweeping:
            removed, place = await self._finish(), ""
            while page := await asyncio.to_thread(self._state.read, self._page(place)):
                place = page[-1]
                await self._forget(page)
                removed += await self._finish()
                await asyncio.sleep(self._pause)
        return removed

    def discard(self, forgotten: Sequence[Forgotten], why: str = DELETED) -> None:
        """Remove soon what the state has forgotten: with its repository, or for another reason `why`."""
        if forgotten:
            self._unrecorded.setdefault(why, []).extend(forgotten)
            self._waiting.set()

    async def run(self, failed: Callable[[NoMoatError], None], interval: float = EVERY_S) -> None:
        """Sweep now, every `interval` seconds and after a `discard`; tell `failed` what went wrong, and go on."""
        while True:
            self._waiting.clear()
            try:
                await self.sweep()
            except NoMoatError as error:
                failed(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._waiting.wait()

    def _page(self, place: str) -> Callable[[Connection], list[str]]:
        """Find the next ids of contents, whatever they are: a page is bounded by what it looks at, not finds."""
        following = select(blob.c.id).where(blob.c.id > place).order_by(blob.c.id).limit(self._examined)
        return lambda connection: list(connection.scalars(following))

    async def _forget(self, page: list[str]) -> None:
        """Forget those of the contents that nobody committed and that are old enough."""
        unnamed = and_(blob.c.id.in_(page), _uncommitted(self._clock() - LIFE_S))
        first = select(blob.c.id).where(unnamed).limit(1)
        if await asyncio.to_thread(self._state.read, lambda connection: connection.scalar(first)) is None:
            return  # most of the time: no transaction, and nobody waits for the writer

        def forget(connection: Connection) -> list[Forgotten]:
            rows = connection.execute(select(blob.c.id, blob.c.size).where(unnamed)).all()
            ids = [row.id for row in rows]
            connection.execute(delete(upload).where(upload.c.blob.in_(ids)))
            connection.execute(delete(blob).where(blob.c.id.in_(ids)))
            return [Forgotten(row.id, ciphertext_size(row.size)) for row in rows]

        await self._state.write(forget, self._unrecorded.setdefault(UNCOMMITTED, []).extend)

    async def _finish(self) -> int:
        """Record what was forgotten, then remove it; return how many were removed."""
        for why in [why for why, forgotten in self._unrecorded.items() if forgotten]:
            recorded = tuple(self._unrecorded[why])  # more may come while this is being recorded
            await self._note(why, len(recorded), sum(each.length for each in recorded))
            del self._unrecorded[why][: len(recorded)]
            self._unremoved += recorded
        removed = 0
        while self._unremoved:
            await self._objects.remove(self._unremoved[-1].id)
            self._unremoved.pop()
            removed += 1
        return removed


def _uncommitted(since: float) -> ColumnElement[bool]:
    """A content that no revision names, and that nobody has sent since."""
    return and_(
        blob.c.created_at <= since,
        ~exists().where(change.c.blob == blob.c.id),
        ~exists().where(upload.c.blob == blob.c.id, upload.c.at > since),
    )
