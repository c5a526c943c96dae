"""A process that is killed while it compacts an index, or right after: `python -m tests.retrieval.compacting DIRECTORY WHEN`."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from unittest.mock import patch

from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.retrieval import Access, Document, Index
from nomoat.resources.retrieval.collection import Collection
from nomoat.retrieval import index as engine
from nomoat.retrieval.merging import merged
from nomoat.retrieval.segment import Segment
from nomoat.stores.documents import Kept, StoredDocuments
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State

KEY: Final = bytes(range(32))
INDEX: Final = Index("handbook", Classification.INTERNAL)
COUNT: Final = 1500  # of each of the two that are to be one: more than are merged at once
RAISED: Final = "d0007"


def kept(number: int, level: Classification = Classification.INTERNAL) -> Kept:
    """A document of one passage."""
    name = f"d{number:04d}"
    return Kept(Document(name, "0" * 64, "", Access(Label(level)), {}, (f"the page {name} is {level.name}",)))


async def change(store: StoredDocuments, collection: Collection, documents: Sequence[Kept]) -> None:
    """Keep documents, and have them in memory."""
    await store.change(INDEX.name, documents, (), lambda: None, lambda: collection.put(documents))


async def main(directory: Path, when: str) -> None:
    """Raise a document while what it is in is compacted, and be killed: `during` it, or `after` it."""
    begun, go_on, finished = threading.Event(), threading.Event(), threading.Event()

    def held(parts: Sequence[Segment], keyed: int) -> Segment:
        if sum(len(part.document) for part in parts) <= engine.AT_ONCE:
            return merged(parts, keyed)
        begun.set()
        go_on.wait(60)
        made = merged(parts, keyed)
        finished.set()
        return made

    patch.object(engine, "merged", held).start()
    state = State.create(directory / "state.db", KEY)
    store = StoredDocuments(state, KeyEncryptionKey(KEY))
    collection = Collection(INDEX, store, "", 0)
    await change(store, collection, [kept(number) for number in range(COUNT)])
    await change(store, collection, [kept(number) for number in range(COUNT, 2 * COUNT)])
    await asyncio.to_thread(begun.wait, 60)
    before = state.generation
    await change(store, collection, [kept(int(RAISED[1:]), Classification.CONFIDENTIAL)])
    assert state.generation == before + 1
    if when == "after":
        go_on.set()
        await asyncio.to_thread(finished.wait, 60)
        await asyncio.sleep(0.1)
        assert state.generation == before + 1, "a compaction writes nothing"
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
