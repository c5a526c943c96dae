"""The keys that the log's content is sealed with: one for each pseudonym, wrapped in the state.

Rules: a key is made once and never changed. Destroying it erases the subject's content for good, while
every proof over the log still holds; who comes back gets another key. What was destroyed leaves a
tombstone, so that erased content is never taken for damaged, nor a lost key for an erasure.
"""

import secrets
from collections.abc import Callable
from typing import Final, final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import Insert, insert

from nomoat.core.errors import Misuse
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.state.look import StateLook
from nomoat.stores.state.schema import erasure, subject_key

KEY_SIZE: Final = 32
_EVERYBODY: Final = ""
"""No subject's pseudonym: the tombstone of what retention had the log forget."""


@final
class StoredSubjectKeys:
    """The subject keys in `state`, each wrapped by `kek` for its own pseudonym."""

    def __init__(self, state: State, kek: KeyEncryptionKey) -> None:
        self._state = state
        self._kek = kek

    def find(self, pseudonym: str) -> bytes | None:
        """Return the key of 32 bytes, or None when there is none (never made, or destroyed).

        Raises `Unavailable` when the state fails, `Corrupt` when the key does not unwrap.
        """
        wrapped = self._state.read(lambda connection: _wrapped(connection, pseudonym))
        return None if wrapped is None else self._kek.unwrap(wrapped, purpose=purpose_of_subject(pseudonym))

    async def create(self, pseudonym: str) -> bytes:
        """Make the key, durably, and return it; return the one there is, if there is one.

        Raises as `find` does.
        """
        candidate = self._kek.wrap(secrets.token_bytes(KEY_SIZE), purpose=purpose_of_subject(pseudonym))

        def keep(connection: Connection) -> bytes:
            row = {"pseudonym": pseudonym, "wrapped_key": candidate}
            connection.execute(insert(subject_key).values(row).on_conflict_do_nothing())
            return _wrapped(connection, pseudonym) or candidate

        # The log waits for this key, so this cannot wait for the log.
        kept = await self._state.write(keep, followed=False)
        return self._kek.unwrap(kept, purpose=purpose_of_subject(pseudonym))

    def any(self) -> bool:
        """Whether anything was ever sealed: there is a key, or a tombstone of one. Raises `Unavailable`."""

        def read(connection: Connection) -> bool:
            return any(connection.scalar(select(func.count()).select_from(each)) for each in (subject_key, erasure))

        return self._state.read(read)

    def erased(self, pseudonym: str) -> int | None:
        """Return the number of the newest record that erased the subject's content, or None. Raises `Unavailable`."""

        def read(connection: Connection) -> int | None:
            return connection.scalar(select(erasure.c.record).where(erasure.c.pseudonym == pseudonym))

        return self._state.read(read)

    def newest_erasure(self) -> int:
        """Return the number of the newest record that erased or forgot content, -1 for none. Raises `Unavailable`."""

        def read(connection: Connection) -> int:
            newest: int | None = connection.scalar(select(func.max(erasure.c.record)))
            return -1 if newest is None else newest

        return self._state.read(read)

    async def destroy(
        self, pseudonym: str, record: int, then: Callable[[], None], also: Callable[[Connection], None]
    ) -> bool:
        """Destroy the key and leave a tombstone with `record`, durably; return whether there was a key.

        `also` destroys, in the same transaction, what was made of the content: neither is gone without the
        other, whatever fails after. `then` is called in the event loop right after the commit. Raises
        `Unavailable`: then all of it is as before.
        """

        def destroy(connection: Connection) -> bool:
            if _wrapped(connection, pseudonym) is None:
                return False
            connection.execute(delete(subject_key).where(subject_key.c.pseudonym == pseudonym))
            connection.execute(_tombstone(pseudonym, record))
            also(connection)
            return True

        return await self._state.write(destroy, lambda _: then())

    async def note_forgotten(self, record: int, then: Callable[[], None]) -> None:
        """Note, durably, that record number `record` says of content that its time is over, whosever it is.

        What was made of the log before is as none from then on, as after an erasure. `then` is called in the event
        loop right after the commit. Raises `Unavailable`.
        """

        def note(connection: Connection) -> None:
            connection.execute(_tombstone(_EVERYBODY, record))

        await self._state.write(note, lambda _: then())

    async def empty_journal(self) -> bool:
        """Empty the write-ahead log, where the wrapped key may still lie; return whether nobody was reading it."""
        return await self._state.empty_journal()


@final
class SeenSubjectKeys:
    """The subject keys of a state that is only looked at; none is ever made."""

    def __init__(self, look: StateLook, kek: KeyEncryptionKey) -> None:
        self._look = look
        self._kek = kek

    def find(self, pseudonym: str) -> bytes | None:
        """Return the key of 32 bytes, or None when there is none. Raises as `StoredSubjectKeys.find` does."""
        wrapped = self._look.find_wrapped_key(pseudonym)
        return None if wrapped is None else self._kek.unwrap(wrapped, purpose=purpose_of_subject(pseudonym))

    def erased(self, pseudonym: str) -> int | None:
        """Return the number of the record that erased the subject's content, or None. Raises `Unavailable`."""
        return self._look.find_erasure(pseudonym)

    async def create(self, pseudonym: str) -> bytes:
        """Raise `Misuse`: looking makes nothing."""
        raise Misuse(f"a key was to be made for {pseudonym} in a state that is only looked at")


def _wrapped(connection: Connection, pseudonym: str) -> bytes | None:
    found: bytes | None = connection.scalar(
        select(subject_key.c.wrapped_key).where(subject_key.c.pseudonym == pseudonym)
    )
    return found


def _tombstone(pseudonym: str, record: int) -> Insert:
    stone = insert(erasure).values(pseudonym=pseudonym, record=record)
    return stone.on_conflict_do_update(index_elements=["pseudonym"], set_={"record": record})


def purpose_of_subject(pseudonym: str) -> str:
    """What the key of a subject's content is wrapped for."""
    return f"log content of {pseudonym}"
