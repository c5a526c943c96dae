"""What every back end promises, through all that may happen to an index: each answer is that of an index, kept in the same way,
which holds only what its asker may read. Approximate plans are out of the question: see the tables' own description."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.retrieval import Access, Document, Index
from nomoat.policy.classes import Footprint
from nomoat.resources.retrieval.collection import Collection, Open, Searched, Table
from nomoat.resources.retrieval.postgres import PostgresCollection
from nomoat.resources.retrieval.targets import document_target
from nomoat.retrieval.scopes import Pair, Scope
from nomoat.retrieval.snapshot import Query
from nomoat.stores.documents import Kept, StoredDocuments
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.postgres import Database, PostgresDocuments
from nomoat.stores.state import State
from tests.retrieval.postgres import Server
from tests.retrieval.world import DIMENSIONS, NAMES, queries, texts, vectors

EVERYBODY: Final = Label(Classification.RESTRICTED, frozenset({"draft", "legal"}))
PEOPLE: Final = ("person:ann", "person:bob")
SUBJECTS: Final = (*PEOPLE, "group:staff")
FOOTPRINTS: Final = (
    Footprint(frozenset({"classification", "listed", "shared", "owned"}), frozenset(), frozenset()),
    Footprint(frozenset({"classification", "labels"}), frozenset({"legal"}), frozenset()),
    Footprint(frozenset({"labels", "owned"}), None, frozenset(NAMES[1:4:2])),
    Footprint(None, None, frozenset(NAMES[:1])),
)
"""What policies read, one set of them after the other; ids are names of documents here."""


class Caller(NamedTuple):
    """Who asks, and what policies say of them: the class of a document, and how it stands to them, decide."""

    subject: str
    subjects: frozenset[str]
    clearance: int
    without: str  # a label
    named: frozenset[str]  # of documents that policies name, those that they may not have

    def may(self, sort: Target, pair: Pair) -> bool:
        """Whether they may have documents of a class."""
        owned, shared = pair
        listed = dict(sort.facts).get("listed", False)
        return (
            sort.classification <= self.clearance
            and self.without not in sort.labels
            and (not listed or shared or owned)
            and sort.id.partition(":")[2] not in self.named
        )


callers = st.builds(
    Caller,
    subject=st.sampled_from(PEOPLE),
    subjects=st.frozensets(st.sampled_from(SUBJECTS), max_size=2),
    clearance=st.integers(0, 3),
    without=st.sampled_from(["", "legal"]),
    named=st.frozensets(st.sampled_from(NAMES[:4]), max_size=2),
)


@st.composite
def documents(draw: st.DrawFn) -> Kept:
    """A document with vectors."""
    passages = draw(st.lists(st.tuples(texts, vectors), max_size=3))
    label = Label(Classification(draw(st.integers(0, 3))), draw(st.frozensets(st.sampled_from(["draft", "legal"]))))
    readers = draw(st.none() | st.frozensets(st.sampled_from(SUBJECTS), max_size=2))
    document = Document(
        name=draw(st.sampled_from(NAMES)),
        version=draw(st.sampled_from("ab")) * 64,
        title="",
        access=Access(label, draw(st.sampled_from(["", *PEOPLE])), readers),
        attributes=draw(st.dictionaries(st.sampled_from(["year", "kind"]), st.sampled_from([1, 2, "memo", True]))),
        passages=tuple(text for text, _ in passages),
    )
    return Kept(document, "test", np.array([vector for _, vector in passages], "<f4").tobytes())


class BackEnd:
    """Where indexes are kept."""

    def __init__(self, make: Callable[[Index], Open]) -> None:
        self._make = make
        self._numbers = itertools.count()

    def open(self, read: Footprint, kept: Sequence[Kept] = ()) -> Open:
        """An index of its own, with these documents."""
        opened = self._make(Index(f"index-{next(self._numbers)}", Classification.PUBLIC))
        self.change(opened, read, kept)
        return opened

    def change(self, opened: Open, read: Footprint, kept: Sequence[Kept], removed: Sequence[str] = ()) -> None:
        """Change an index, durably."""

        async def change() -> None:
            await opened.fit(within(opened, read))
            await opened.change(kept, removed, nothing, nothing)

        asyncio.run(change())

    def shown(self, opened: Open, read: Footprint) -> tuple[Searched, Table]:
        """What is searched."""
        inside = within(opened, read)

        async def shown() -> tuple[Searched, Table]:
            await opened.fit(inside)
            return opened.at(inside)

        return asyncio.run(shown())


def within(opened: Open, read: Footprint) -> Footprint:
    """What policies read, with ids of an index's documents."""
    return read._replace(ids=frozenset(f"{opened.index.name}:{name}" for name in read.ids))


def scope_of(table: Table, caller: Caller) -> Scope:
    """What a caller may have, as it is decided for the classes of a table."""
    permitted: dict[int, set[Pair]] = {}
    for row, target in zip(table.rows, table.classes.targets, strict=True):
        if caller.may(target, row.pair):
            permitted.setdefault(row.number, set()).add(row.pair)
    return Scope(caller.subject, caller.subjects, {number: frozenset(pairs) for number, pairs in permitted.items()})


def answers(searched: Searched, scope: Scope, asked: Sequence[Query]) -> list[object]:
    found = [searched.search(query, scope) for query in asked]
    return [searched.names(scope), *found, *(searched.whole(name, scope) for name in NAMES)]


def wholes(searched: Searched, scope: Scope, permitted: Sequence[Kept]) -> list[tuple[str, ...]]:
    """What documents say, whole."""
    return [tuple(hit.text for hit in searched.whole(each.document.name, scope)) for each in permitted]


def machine(back_end: BackEnd) -> type[RuleBasedStateMachine]:
    """An index in a back end, through all that may happen to it, beside a plain dictionary."""

    class Keeping(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.read = FOOTPRINTS[0]
            self.opened = back_end.open(self.read)
            self.documents: dict[str, Kept] = {}

        @rule(put=st.lists(documents(), min_size=1, max_size=4, unique_by=lambda kept: kept.document.name))
        def put(self, put: list[Kept]) -> None:
            back_end.change(self.opened, self.read, put)
            self.documents |= {kept.document.name: kept for kept in put}

        @rule(names=st.sets(st.sampled_from(NAMES), max_size=3))
        def remove(self, names: set[str]) -> None:
            back_end.change(self.opened, self.read, (), sorted(names))
            for name in names:
                self.documents.pop(name, None)

        @rule(read=st.sampled_from(FOOTPRINTS))
        def policies(self, read: Footprint) -> None:
            self.read = read

        @rule(caller=callers, asked=st.lists(queries, min_size=1, max_size=3))
        def ask(self, caller: Caller, asked: list[Query]) -> None:
            searched, table = back_end.shown(self.opened, self.read)
            permitted = [kept for kept in self.documents.values() if self._may(caller, kept)]
            alone, its = back_end.shown(back_end.open(self.read, permitted), self.read)
            everything = scope_of(its, caller)
            assert answers(searched, scope_of(table, caller), asked) == answers(alone, everything, asked)
            assert searched.names(scope_of(table, caller)) == sorted(kept.document.name for kept in permitted)
            assert wholes(searched, scope_of(table, caller), permitted) == [
                each.document.passages for each in permitted
            ]

        def _may(self, caller: Caller, kept: Kept) -> bool:
            """The model: the document itself, decided as its class is."""
            document, access = kept.document, kept.document.access
            target = document_target(self.opened.index, document.name, "", access)
            attributes = self.read.attributes
            if attributes is not None:  # what policies do not read, they do not decide by
                facts: Mapping[str, object] = {
                    name: value if name in attributes else False for name, value in target.facts
                }
                target = target._replace(
                    classification=target.classification if "classification" in attributes else Classification.PUBLIC,
                    labels=target.labels if "labels" in attributes else frozenset(),
                    facts=tuple(facts.items()),  # type: ignore[arg-type]
                    id=target.id if document.name in self.read.ids else "other",
                )
            if document.name not in self.read.ids:
                target = target._replace(id="other")
            readers = access.readers or frozenset()
            return caller.may(target, (access.owner == caller.subject, not readers.isdisjoint(caller.subjects)))

    return Keeping


def nothing() -> None:
    """Nothing has changed, and nobody is told."""


@pytest.fixture
def in_postgres(postgres: Server) -> Iterator[BackEnd]:
    store = PostgresDocuments(Database(postgres.url(postgres.database())))

    async def embed(kept: Sequence[Kept]) -> list[Kept]:
        return list(kept)

    yield BackEnd(lambda index: PostgresCollection(index, store, EVERYBODY, "test", embed))
    store.close()


def test_the_embedded_back_end_answers_as_if_there_were_nothing_else(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state.db", secrets.token_bytes(32))
    store = StoredDocuments(state, KeyEncryptionKey(secrets.token_bytes(32)))
    back_end = BackEnd(lambda index: Collection(index, store, "test", DIMENSIONS))
    run_state_machine_as_test(
        machine(back_end), settings=settings(max_examples=60, stateful_step_count=15, deadline=None)
    )


def test_postgresql_answers_as_if_there_were_nothing_else(in_postgres: BackEnd) -> None:
    run_state_machine_as_test(
        machine(in_postgres), settings=settings(max_examples=25, stateful_step_count=12, deadline=None)
    )
