"""Documents at rest: each opens in its own place alone, and with its own label's key."""

import asyncio
import secrets
import time
from pathlib import Path

import pytest
from sqlalchemy import select, update

from nomoat.core.errors import Corrupt
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.retrieval import Access, Document
from nomoat.stores.documents import Kept, StoredDocuments
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from nomoat.stores.state.retrieval_schema import index_document, index_key

SECRET = Label(Classification.CONFIDENTIAL, frozenset({"hr"}))


def nothing() -> None:
    """Nothing has changed, and nobody is told."""


def document(name: str, label: Label = SECRET, text: str = "the words of it") -> Kept:
    access = Access(label, "person:ann", frozenset({"group:staff"}))
    return Kept(Document(name, "0" * 64, "title", access, {"year": 1}, (text,)), "some", b"\0" * 8)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[State, StoredDocuments]:
    state = State.create(tmp_path / "state.db", secrets.token_bytes(32))
    store = StoredDocuments(state, KeyEncryptionKey(secrets.token_bytes(32)))
    documents = [document("a"), document("b"), document("c", Label(Classification.PUBLIC))]
    asyncio.run(store.change("handbook", documents, (), nothing, nothing))
    return state, store


def test_what_was_kept_is_what_there_is(kept: tuple[State, StoredDocuments]) -> None:
    _, store = kept
    assert [each.document.name for each in store.all("handbook")] == ["a", "b", "c"]
    assert store.all("handbook")[0] == document("a")
    assert store.all("another") == []
    asyncio.run(store.change("handbook", [document("a", text="other words")], ["b"], nothing, nothing))
    assert [each.document.passages for each in store.all("handbook")] == [("other words",), ("the words of it",)]


@pytest.mark.parametrize("column", ["name", "generation", "key", "index", "sealed"])
def test_attack_a_sealed_document_is_put_in_another_place(kept: tuple[State, StoredDocuments], column: str) -> None:
    state, store = kept
    rows = state.read(lambda c: {row.name: row for row in c.execute(select(index_document))})
    values: dict[str, object] = {
        "name": "z",
        "generation": rows["a"].generation - 1,
        "key": rows["c"].key,
        "index": "another",
        "sealed": rows["b"].sealed,
    }
    where = (index_document.c.index == "handbook", index_document.c.name == "a")
    if column == "index":  # its keys come along
        asyncio.run(state.write(lambda c: c.execute(update(index_key).values(index="another"))))
    asyncio.run(state.write(lambda c: c.execute(update(index_document).where(*where).values({column: values[column]}))))
    with pytest.raises(Corrupt):
        store.all("another" if column == "index" else "handbook")


def test_a_label_whose_key_is_destroyed_takes_its_documents_with_it(kept: tuple[State, StoredDocuments]) -> None:
    state, store = kept
    assert asyncio.run(store.destroy("handbook", SECRET, nothing, nothing)).documents == 2
    assert [each.document.name for each in store.all("handbook")] == ["c"]
    assert state.read(lambda c: len(c.execute(select(index_key)).all())) == 1


def test_nothing_is_kept_of_a_change_that_is_not_permitted_any_more(kept: tuple[State, StoredDocuments]) -> None:
    _, store = kept

    def refuses() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        asyncio.run(store.change("handbook", [document("d")], ["a"], refuses, nothing))
    assert [each.document.name for each in store.all("handbook")] == ["a", "b", "c"]


def test_no_word_of_a_document_is_on_the_disk(tmp_path: Path, kept: tuple[State, StoredDocuments]) -> None:
    del kept
    time.sleep(0)
    found = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"the words of it" not in found
    assert b"handbook" not in found


def test_documents_are_sealed_for_what_there_is_when_they_are_written(kept: tuple[State, StoredDocuments]) -> None:
    """Many at once, some of labels that have no key yet, while keys are destroyed: each is sealed under the key of its label."""
    state, store = kept
    labels = [SECRET, Label(Classification.PUBLIC), Label(Classification.INTERNAL), Label(Classification.RESTRICTED)]

    async def write() -> None:
        changes = [
            store.change("handbook", [document(f"m{n}", labels[n % 4])], (), nothing, nothing) for n in range(40)
        ]
        await asyncio.gather(*changes[:20], store.destroy("handbook", SECRET, nothing, nothing), *changes[20:])

    asyncio.run(write())
    found = {each.document.name: each.document.access.label for each in store.all("handbook")}
    assert all(found[f"m{n}"] == labels[n % 4] for n in range(40) if n % 4)
    keys = state.read(lambda c: [(row.classification, row.labels) for row in c.execute(select(index_key))])
    assert len(keys) == len(set(keys))
