"""The keys that the log's content is sealed with: one for each pseudonym, wrapped in the state.

Rules: a key is made once and never changed. Destroying its row erases the subject's content for
good, while every proof over the log still holds.
"""

import secrets
from typing import Final, final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from nomoat.core.errors import Misuse
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.state.look import StateLook
from nomoat.stores.state.schema import subject_key

KEY_SIZE: Final = 32


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
        return None if wrapped is None else self._kek.unwrap(wrapped, purpose=_purpose(pseudonym))

    async def create(self, pseudonym: str) -> bytes:
        """Make the key, durably, and return it; return the one there is, if there is one.

        Raises as `find` does.
        """
        candidate = self._kek.wrap(secrets.token_bytes(KEY_SIZE), purpose=_purpose(pseudonym))

        def keep(connection: Connection) -> bytes:
            row = {"pseudonym": pseudonym, "wrapped_key": candidate}
            connection.execute(insert(subject_key).values(row).on_conflict_do_nothing())
            return _wrapped(connection, pseudonym) or candidate

        # The log waits for this key, so this cannot wait for the log.
        kept = await self._state.write(keep, followed=False)
        return self._kek.unwrap(kept, purpose=_purpose(pseudonym))


@final
class SeenSubjectKeys:
    """The subject keys of a state that is only looked at; none is ever made."""

    def __init__(self, look: StateLook, kek: KeyEncryptionKey) -> None:
        self._look = look
        self._kek = kek

    def find(self, pseudonym: str) -> bytes | None:
        """Return the key of 32 bytes, or None when there is none. Raises as `StoredSubjectKeys.find` does."""
        wrapped = self._look.find_wrapped_key(pseudonym)
        return None if wrapped is None else self._kek.unwrap(wrapped, purpose=_purpose(pseudonym))

    async def create(self, pseudonym: str) -> bytes:
        """Raise `Misuse`: looking makes nothing."""
        raise Misuse(f"a key was to be made for {pseudonym} in a state that is only looked at")


def _wrapped(connection: Connection, pseudonym: str) -> bytes | None:
    found: bytes | None = connection.scalar(
        select(subject_key.c.wrapped_key).where(subject_key.c.pseudonym == pseudonym)
    )
    return found


def _purpose(pseudonym: str) -> str:
    return f"log content of {pseudonym}"
