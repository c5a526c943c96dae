"""Documents of indexes in the state: each sealed under the key of its label, with its passages' texts and vectors.

Rules: what a document says, who may read it and what it is called by others is in the sealed part; in the open (within the
encrypted state) are its name, its label and how often it was written. INVARIANT (one place): what was sealed for one index,
name, key and generation opens for no other. A label whose key is destroyed takes its documents with it. Documents are sealed before
the writer is taken, and anew by it only if what they were sealed for has changed.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar, cast, final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from nomoat.core.errors import Corrupt, NotFound
from nomoat.core.lineage import Label
from nomoat.core.retrieval import Access, Attribute, Document, Stated
from nomoat.stores.keys import KEY_SIZE, KeyEncryptionKey
from nomoat.stores.labels import columns_of, label_of
from nomoat.stores.state import State
from nomoat.stores.state.retrieval_schema import index_document, index_key

T = TypeVar("T")

_NONCE_SIZE: Final = 12
_LENGTH_SIZE: Final = 4
_MOST_BOUND: Final = 10_000  # values in one statement; SQLite takes 32,766


class Kept(NamedTuple):
    """A document with the vectors of its passages, one after the other: 32-bit floats in the order of x86.

    `embedder` says what made them, '' where there are none.
    """

    document: Document
    embedder: str = ""
    vectors: bytes = b""


class Destroyed(NamedTuple):
    """How many documents went with their key, and whether the write-ahead log was emptied at once: else it is at the next start."""

    documents: int
    journal: bool


class _Key(NamedTuple):
    id: str
    label: Label
    key: bytes


class _Stand(NamedTuple):
    """What documents are sealed for: the newest generation, and the keys that an index has."""

    generation: int
    keys: frozenset[str]


class _Sealed(NamedTuple):
    """Rows to be, of documents and of keys that labels did not have."""

    stand: _Stand
    keys: list[dict[str, object]]
    rows: list[dict[str, object]]


def purpose_of_index_key(id: str, index: str) -> str:
    """What the key of a label is wrapped for."""
    return f"index/{index}/{id}"


@final
class StoredDocuments:
    """The documents of every index of one state."""

    def __init__(self, state: State, kek: KeyEncryptionKey) -> None:
        self._state = state
        self._kek = kek

    def all(self, index: str) -> list[Kept]:
        """Every document of an index, by name. Raises `Corrupt` for one that was not sealed for its place, `Unavailable`."""

        def read(connection: Connection) -> list[Kept]:
            keys = self._keys(connection, index)
            wanted = select(index_document).where(index_document.c.index == index).order_by(index_document.c.name)
            return [
                _opened(keys[row.key], index, row.name, row.generation, row.sealed)
                for row in connection.execute(wanted)
            ]

        return self._state.read(read)

    async def change(
        self,
        index: str,
        kept: Sequence[Kept],
        removed: Sequence[str],
        still: Callable[[], None],
        then: Callable[[], None],
    ) -> None:
        """Keep documents in the place of those with their names, and remove others; all of it or nothing.

        `still` raises when that is not permitted any more, `then` is called in the event loop once it is durable. Raises
        `Unavailable`.
        """
        sealed = await asyncio.to_thread(self._state.read, partial(self._seal, index, kept)) if kept else None

        def write(connection: Connection) -> None:
            still()
            ready = sealed
            if ready is not None and self._stand(connection, index) != ready.stand:  # what others wrote meanwhile
                ready = self._seal(index, kept, connection)
            for begin in range(0, len(removed), _MOST_BOUND):
                gone = index_document.c.name.in_(removed[begin : begin + _MOST_BOUND])
                connection.execute(delete(index_document).where(index_document.c.index == index, gone))
            if ready is None:
                return
            if ready.keys:
                connection.execute(insert(index_key), ready.keys)
            made = upsert(index_document)
            replaced = {name: made.excluded[name] for name in ("key", "generation", "sealed")}
            connection.execute(made.on_conflict_do_update(index_elements=["index", "name"], set_=replaced), ready.rows)

        await self._state.write(write, lambda _: then())

    async def destroy(self, index: str, label: Label, still: Callable[[], None], then: Callable[[], None]) -> Destroyed:
        """Destroy the key of a label, and the documents with it. `still` and `then` are as of `change`.

        Raises `NotFound` where the label has no key (any more), `Unavailable`.
        """

        def write(connection: Connection) -> int:
            still()
            columns = columns_of(label)
            ids = select(index_key.c.id).where(
                index_key.c.index == index,
                index_key.c.classification == columns["classification"],
                index_key.c.labels == columns["labels"],
            )
            gone = connection.execute(delete(index_document).where(index_document.c.key.in_(ids))).rowcount
            if not connection.execute(delete(index_key).where(index_key.c.id.in_(ids))).rowcount:
                raise NotFound(f"nothing of {index} has, or had, exactly this label: {label}", kind="label")
            return gone

        gone = await self._state.write(write, lambda _: then())
        return Destroyed(gone, await self._state.empty_journal())

    def _keys(self, connection: Connection, index: str) -> dict[str, _Key]:
        rows = connection.execute(select(index_key).where(index_key.c.index == index))
        return {
            row.id: _Key(
                row.id,
                label_of(row.classification, row.labels),
                self._kek.unwrap(row.wrapped_key, purpose=purpose_of_index_key(row.id, index)),
            )
            for row in rows
        }

    def _stand(self, connection: Connection, index: str) -> _Stand:
        newest = connection.scalar(select(func.max(index_document.c.generation)))
        ids = connection.scalars(select(index_key.c.id).where(index_key.c.index == index))
        return _Stand(newest or 0, frozenset(ids))

    def _seal(self, index: str, kept: Sequence[Kept], connection: Connection) -> _Sealed:
        """Seal documents for the next generation; it takes no writer."""
        stand = self._stand(connection, index)
        generation = stand.generation + 1
        keys = {each.label: each for each in self._keys(connection, index).values()}
        made: list[dict[str, object]] = []
        rows: list[dict[str, object]] = []
        for each in kept:
            name, label = each.document.name, each.document.access.label
            key = keys.get(label)
            if key is None:
                key = keys[label] = _Key(secrets.token_hex(16), label, secrets.token_bytes(KEY_SIZE))
                wrapped = self._kek.wrap(key.key, purpose=purpose_of_index_key(key.id, index))
                made.append({"id": key.id, "index": index, "wrapped_key": wrapped, **columns_of(label)})
            sealed = _sealed(key, index, name, generation, each)
            rows.append({"index": index, "name": name, "key": key.id, "generation": generation, "sealed": sealed})
        return _Sealed(stand, made, rows)


def _sealed(key: _Key, index: str, name: str, generation: int, kept: Kept) -> bytes:
    document = kept.document
    access = document.access
    head = orjson.dumps(
        {
            "version": document.version,
            "title": document.title,
            "owner": access.owner,
            "readers": listed(access.readers),
            "attributes": dict(document.attributes),
            "passages": document.passages,
            "stated": None if document.stated is None else [listed(each) for each in document.stated],
            "embedder": kept.embedder,
        }
    )
    plain = len(head).to_bytes(_LENGTH_SIZE, "big") + head + kept.vectors
    nonce = os.urandom(_NONCE_SIZE)
    return nonce + AESGCM(key.key).encrypt(nonce, plain, _bound(key, index, name, generation))


def _opened(key: _Key, index: str, name: str, generation: int, sealed: bytes) -> Kept:
    try:
        if len(sealed) < _NONCE_SIZE:
            raise InvalidTag
        bound = _bound(key, index, name, generation)
        plain = AESGCM(key.key).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], bound)
    except InvalidTag:
        raise Corrupt(f"a document of the index {index}: it was sealed for another place, or changed") from None
    end = _LENGTH_SIZE + int.from_bytes(plain[:_LENGTH_SIZE], "big")
    head = cast("Mapping[str, object]", orjson.loads(plain[_LENGTH_SIZE:end]))
    readers = cast("list[str] | None", head["readers"])
    document = Document(
        name=name,
        version=str(head["version"]),
        title=str(head["title"]),
        access=Access(key.label, str(head["owner"]), None if readers is None else frozenset(readers)),
        attributes=cast("Mapping[str, Attribute]", head["attributes"]),
        passages=tuple(cast("list[str]", head["passages"])),
        stated=stated_of(head.get("stated")),
    )
    return Kept(document, str(head["embedder"]), plain[end:])


def listed(value: str | frozenset[str] | None) -> str | list[str] | None:
    """A value as JSON has it; what has no order, in one."""
    return sorted(value) if isinstance(value, frozenset) else value


def stated_of(said: object) -> Stated | None:
    """What was said of a document; of one that an earlier version kept nothing is known."""
    if said is None:
        return None
    classification, labels, owner, readers, believe = cast(
        "tuple[str, list[str], str, list[str] | None, list[str]]", said
    )
    words = None if readers is None else frozenset(readers)
    return Stated(classification, frozenset(labels), owner, words, frozenset(believe))


def _bound(key: _Key, index: str, name: str, generation: int) -> bytes:
    return orjson.dumps(["nomoat-index-v1", key.id, index, name, generation])
