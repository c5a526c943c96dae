"""Documents of indexes in the state: each sealed under the key of its label, with its passages' texts and vectors.

Rules: what a document says, who may read it and what it is called by others is in the sealed part; in the open (within the
encrypted state) are its name, its label and how often it was written. INVARIANT (one place): what was sealed for one index,
name, key and generation opens for no other. A label whose key is destroyed takes its documents with it.
"""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar, cast, final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from nomoat.core.errors import Corrupt
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


class _Key(NamedTuple):
    id: str
    label: Label
    key: bytes


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

        def write(connection: Connection) -> None:
            still()
            for begin in range(0, len(removed), _MOST_BOUND):
                gone = index_document.c.name.in_(removed[begin : begin + _MOST_BOUND])
                connection.execute(delete(index_document).where(index_document.c.index == index, gone))
            if not kept:
                return
            newest = select(func.coalesce(func.max(index_document.c.generation), 0))
            generation = (connection.scalar(newest) or 0) + 1
            keys = {each.label: each for each in self._keys(connection, index).values()}
            rows: list[dict[str, object]] = []
            for each in kept:
                label = each.document.access.label
                key = keys.get(label)
                if key is None:
                    key = keys[label] = self._make(connection, index, label)
                name = each.document.name
                rows.append(
                    {
                        "index": index,
                        "name": name,
                        "key": key.id,
                        "generation": generation,
                        "sealed": _sealed(key, index, name, generation, each),
                    }
                )
            made = upsert(index_document)
            replaced = {name: made.excluded[name] for name in ("key", "generation", "sealed")}
            connection.execute(made.on_conflict_do_update(index_elements=["index", "name"], set_=replaced), rows)

        await self._state.write(write, lambda _: then())

    async def destroy(self, index: str, label: Label, still: Callable[[], None], then: Callable[[], None]) -> int:
        """Destroy the key of a label, and the documents with it; return how many those were. Raises `Unavailable`."""

        def write(connection: Connection) -> int:
            still()
            columns = columns_of(label)
            ids = select(index_key.c.id).where(
                index_key.c.index == index,
                index_key.c.classification == columns["classification"],
                index_key.c.labels == columns["labels"],
            )
            gone = connection.execute(delete(index_document).where(index_document.c.key.in_(ids))).rowcount
            connection.execute(delete(index_key).where(index_key.c.id.in_(ids)))
            return gone

        return await self._state.write(write, lambda _: then())

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

    def _make(self, connection: Connection, index: str, label: Label) -> _Key:
        made = _Key(secrets.token_hex(16), label, secrets.token_bytes(KEY_SIZE))
        wrapped = self._kek.wrap(made.key, purpose=purpose_of_index_key(made.id, index))
        connection.execute(insert(index_key).values(id=made.id, index=index, wrapped_key=wrapped, **columns_of(label)))
        return made


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
