"""Subject keys: made once, the same ever after, unreadable without the key-encryption key, erasable."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from nomoat.core.errors import Corrupt
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state.engine import State
from nomoat.stores.state.schema import subject_key
from nomoat.stores.subject_keys import StoredSubjectKeys


def test_a_key_is_made_once_and_survives(tmp_path: Path) -> None:
    kek = KeyEncryptionKey.create(tmp_path / "kek")

    async def make() -> list[bytes]:
        state = State.create(tmp_path / "state.db", bytes(range(32)))
        keys = StoredSubjectKeys(state, kek)
        assert keys.find("p1") is None
        made = await asyncio.gather(*(keys.create("p1") for _ in range(8)), keys.create("p2"))
        state.close()
        return made

    made = asyncio.run(make())
    assert len(set(made[:8])) == 1
    assert made[8] != made[0]
    assert len(made[0]) == 32
    again = State.open(tmp_path / "state.db", bytes(range(32)))
    assert StoredSubjectKeys(again, kek).find("p1") == made[0]
    again.close()


def test_a_key_moved_to_another_subject_does_not_open(tmp_path: Path) -> None:
    kek = KeyEncryptionKey.create(tmp_path / "kek")

    async def run() -> None:
        state = State.create(tmp_path / "state.db", bytes(range(32)))
        keys = StoredSubjectKeys(state, kek)
        key = await keys.create("p1")
        await keys.create("p2")
        wrapped = state.read(lambda c: c.execute(select(subject_key).where(subject_key.c.pseudonym == "p1")).one()[1])
        assert key not in wrapped
        await state.write(
            lambda c: c.execute(update(subject_key).where(subject_key.c.pseudonym == "p2").values(wrapped_key=wrapped))
        )
        with pytest.raises(Corrupt):
            keys.find("p2")
        await state.write(lambda c: c.execute(delete(subject_key).where(subject_key.c.pseudonym == "p1")))
        assert keys.find("p1") is None
        state.close()

    asyncio.run(run())
