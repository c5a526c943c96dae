"""Wrapping anew: every key that an older version of the key-encryption key wrapped, by the newest one.

Rules: there is nothing to remember. What is still wrapped by another version than the newest is found, some at a
time, and wrapped anew in the place of the old form; so a crash anywhere, or a restored backup, is gone on with at the
next start. The old version unwraps until then, and after: a reader finds either form, and both open. One key that
does not unwrap keeps none of the others from it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, final

from sqlalchemy import Column, Connection, LargeBinary, Table, bindparam, func, literal, select, update

from nomoat.core.errors import Corrupt, NoMoatError
from nomoat.stores.chunks import purpose_of_chunk
from nomoat.stores.credentials import purpose_of_credential
from nomoat.stores.documents import purpose_of_index_key
from nomoat.stores.keys import KeyEncryptionKey, KeyStore, header_of, version_of
from nomoat.stores.objects import binding_of
from nomoat.stores.state import State
from nomoat.stores.state.inference_schema import upstream_credential
from nomoat.stores.state.retrieval_schema import index_key
from nomoat.stores.state.schema import blob, chunk, subject_key
from nomoat.stores.subject_keys import purpose_of_subject

BATCH: Final = 500  # keys in one turn: a few milliseconds of the state's writer
PAUSE_S: Final = 0.02  # between turns, for everybody else who writes to the state
EVERY_S: Final = 3600.0  # uploads that began before a rotation end after it
_HEADER: Final = len(header_of(2))

NoteRewrapped: TypeAlias = Callable[[int, int], Awaitable[object]]
"""Make it durable that keys were wrapped anew: by which version, and how many."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A table of wrapped keys: the column that its rows are found by, and what a row's key is wrapped for."""

    table: Table
    place: Column[Any]
    columns: Sequence[Column[Any]]
    purpose: Callable[..., str]


_TABLES: Final = (
    _Kept(blob, blob.c.id, (blob.c.repository, blob.c.digest, blob.c.id), binding_of),
    _Kept(subject_key, subject_key.c.pseudonym, (subject_key.c.pseudonym,), purpose_of_subject),
    _Kept(chunk, chunk.c.first, (chunk.c.first,), purpose_of_chunk),
    _Kept(
        upstream_credential,
        upstream_credential.c.upstream,
        (upstream_credential.c.upstream, upstream_credential.c.url),
        purpose_of_credential,
    ),
    _Kept(index_key, index_key.c.id, (index_key.c.id, index_key.c.index), purpose_of_index_key),
)


class Rewrapped(NamedTuple):
    """What one pass did: how many keys it wrapped anew, and how many did not unwrap."""

    done: int
    failed: int


@final
class Rewrapping:
    """Wraps anew what lies in a state and in a directory of keys. There is one for a gateway."""

    def __init__(
        self,
        state: State,
        keys: KeyStore,
        kek: KeyEncryptionKey,
        note: NoteRewrapped,
        *,
        batch: int = BATCH,
        pause: float = PAUSE_S,
    ) -> None:
        self._state = state
        self._keys = keys
        self._kek = kek
        self._note = note
        self._batch = batch
        self._pause = pause
        self._passing = asyncio.Lock()
        self._waiting = asyncio.Event()

    def counts(self) -> Mapping[int, int]:
        """How many keys each version wraps, 0 for what none does. Raises `Unavailable`; to be called in a thread."""
        counted = Counter(map(_version, self._keys.versions().values()))
        for kept in _TABLES:
            header = func.substr(kept.table.c.wrapped_key, 1, _HEADER)
            first = func.substr(kept.table.c.wrapped_key, 1, 1) == literal(header_of(1), LargeBinary)

            def read(connection: Connection, kept: _Kept = kept, header: Any = header, first: Any = first) -> None:
                old = connection.scalar(select(func.count()).select_from(kept.table).where(first))
                counted.update({1: old or 0})
                later = select(header, func.count()).where(~first).group_by(header)
                counted.update({_version(form): count for form, count in connection.execute(later)})

            self._state.read(read)
        return {version: count for version, count in sorted(counted.items()) if count}

    def wake(self) -> None:
        """Begin a pass soon: there is a new version."""
        self._waiting.set()

    async def run(self, failed: Callable[[NoMoatError], None], interval: float = EVERY_S) -> None:
        """Make a pass now, every `interval` seconds and after a `wake`; tell `failed` what went wrong, and go on."""
        while True:
            self._waiting.clear()
            try:
                if (done := await self.run_once()).failed:
                    failed(Corrupt(f"{done.failed} wrapped keys"))
            except NoMoatError as error:
                failed(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._waiting.wait()

    async def run_once(self) -> Rewrapped:
        """Wrap anew what the newest version does not wrap yet. Raises `Unavailable`; what was done by then stays."""
        async with self._passing:
            done = failed = 0
            try:
                for kept in _TABLES:
                    place: object = None
                    while page := await asyncio.to_thread(self._state.read, self._page(kept, place)):
                        place = page[-1][0]
                        anew = await asyncio.to_thread(self._anew, kept, page)
                        failed += len(page) - len(anew)
                        done += await self._replace(kept, anew)
                        await asyncio.sleep(self._pause)
                for name in await asyncio.to_thread(self._keys.versions):
                    try:
                        done += await asyncio.to_thread(self._keys.rewrap, name)
                    except Corrupt:
                        failed += 1
            finally:
                if done:
                    await self._note(self._kek.newest, done)
        return Rewrapped(done, failed)

    def _page(self, kept: _Kept, after: object) -> Callable[[Connection], list[Any]]:
        """Find the next rows that another version wraps: their place, wrapped key, and what they are bound to."""
        header = header_of(self._kek.newest)
        form = func.substr(kept.table.c.wrapped_key, 1, len(header))
        wanted = select(kept.place, kept.table.c.wrapped_key, *kept.columns).where(form != literal(header, LargeBinary))
        if after is not None:
            wanted = wanted.where(kept.place > after)
        wanted = wanted.order_by(kept.place).limit(self._batch)
        return lambda connection: [tuple(row) for row in connection.execute(wanted)]

    def _anew(self, kept: _Kept, page: Sequence[Any]) -> list[dict[str, object]]:
        """Wrap a page anew; what does not unwrap is left out, and stays as it is."""
        anew: list[dict[str, object]] = []
        for place, wrapped, *bound in page:
            purpose = kept.purpose(*bound)
            with contextlib.suppress(Corrupt):
                key = self._kek.wrap(self._kek.unwrap(wrapped, purpose=purpose), purpose=purpose)
                anew.append({"at": place, "old": wrapped, "new": key})
        return anew

    async def _replace(self, kept: _Kept, anew: Sequence[dict[str, object]]) -> int:
        if not anew:
            return 0
        # INVARIANT (same key): a row that was destroyed or made anew meanwhile is not brought back.
        here = (kept.place == bindparam("at"), kept.table.c.wrapped_key == bindparam("old"))
        change = update(kept.table).where(*here).values(wrapped_key=bindparam("new"))

        def replace(connection: Connection) -> int:
            return connection.execute(change, anew).rowcount

        # Nothing is decided on it, and an older copy is as good while the older version is kept.
        return await self._state.write(replace, followed=False)


def _version(wrapped: bytes) -> int:
    try:
        return version_of(wrapped)
    except Corrupt:
        return 0
