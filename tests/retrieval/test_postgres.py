"""PostgreSQL as a back end: what it refuses by itself, what is refused to be kept in it, and what happens when it fails."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nomoat.core.errors import Conflict, Malformed, NotFound, Unavailable
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import ListDocuments, ReadPassages, RemoveDocuments, SearchIndex, WriteDocuments
from nomoat.core.principal import PrincipalKind
from nomoat.core.retrieval import Access, Document, Index
from nomoat.policy.classes import Footprint
from nomoat.resources.retrieval.embedding import Embedded, Texts
from nomoat.resources.retrieval.postgres import PostgresCollection
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.snapshot import Query
from nomoat.server.postgres import PostgresSettings, parse_postgres
from nomoat.stores.documents import Kept
from nomoat.stores.postgres import Database, PostgresDocuments, searching
from tests.guard.world import Actor, World, world
from tests.retrieval.postgres import Server

READ = Footprint(frozenset({"classification"}), frozenset(), frozenset())
CONFIDENTIAL = Label(Classification.CONFIDENTIAL)
PUBLIC = Label(Classification.PUBLIC)
NOBODY = "person:nobody"


ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'nomoat'"


def nothing() -> None:
    """Nothing has changed, and nobody is told."""


def kept(name: str, label: Label = PUBLIC, text: str = "the plan") -> Kept:
    document = Document(name, "a" * 64, "", Access(label), {"year": 2026}, (text,))
    return Kept(document, "test", np.array([1, 2], "<f4").tobytes())


@dataclass
class Held:
    """An index in a database of its own."""

    server: Server
    database: str
    store: PostgresDocuments
    index: PostgresCollection

    def change(
        self, documents: Sequence[Kept], removed: Sequence[str] = (), still: Callable[[], None] = nothing
    ) -> None:
        async def change() -> None:
            await self.index.fit(READ)
            await self.index.change(documents, removed, still, nothing)

        asyncio.run(change())

    def found(self, query: Query, *levels: Classification) -> list[str]:
        """What is found by who may read these levels."""
        asyncio.run(self.index.fit(READ))
        shown, table = self.index.at(READ)
        permitted = {
            row.number: frozenset(PAIRS)
            for row, target in zip(table.rows, table.classes.targets, strict=True)
            if target.classification in levels
        }
        return [hit.name for hit in shown.search(query, Scope(NOBODY, frozenset(), permitted))]

    def another(self, highest: Label = CONFIDENTIAL) -> "Held":
        """The same index, as another gateway has it."""
        return Held(self.server, self.database, self.store, opened(self.store, highest))


def opened(store: PostgresDocuments, highest: Label = CONFIDENTIAL, embedder: str = "test") -> PostgresCollection:
    async def embed(kept: Sequence[Kept]) -> list[Kept]:
        vector = np.array([3, 4], "<f4").tobytes()
        return [each._replace(embedder=embedder, vectors=vector * len(each.document.passages)) for each in kept]

    return PostgresCollection(Index("any", Classification.PUBLIC), store, highest, embedder, embed)


@pytest.fixture
def there(postgres: Server) -> Iterator[Held]:
    database = postgres.database()
    store = PostgresDocuments(Database(postgres.url(database)))
    yield Held(postgres, database, store, opened(store))
    store.close()


QUERIES = [
    Query("plan", np.array([1, 1], np.float32), 10, "vector"),
    Query("plan", None, 10, "keyword"),
    Query("plan", np.array([1, 1], np.float32), 10, "hybrid"),
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.ranking)
def test_attack_without_the_gateway_s_filter_the_database_shows_nothing_more(
    there: Held, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.change([kept("open.md"), *(kept(f"secret-{number}.md", CONFIDENTIAL) for number in range(20))])
    assert len(there.found(query, Classification.PUBLIC, Classification.CONFIDENTIAL)) == 10
    monkeypatch.setattr(searching, "_PERMITTED", "(true OR p.access = ANY(CAST(:permitted AS integer[])))")
    assert there.found(query, Classification.PUBLIC) == ["open.md"]
    assert there.found(query) == []


def test_attack_without_the_gateway_s_filter_a_whole_document_is_not_shown(
    there: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.change([kept("open.md"), kept("secret.md", CONFIDENTIAL)])
    monkeypatch.setattr(searching, "_PERMITTED", "(true OR p.access = ANY(CAST(:permitted AS integer[])))")
    shown, table = there.index.at(READ)
    rows = zip(table.rows, table.classes.targets, strict=True)
    public = {row.number: frozenset(PAIRS) for row, target in rows if target.classification is Classification.PUBLIC}
    scope = Scope(NOBODY, frozenset(), public)
    assert [hit.name for hit in shown.whole("open.md", scope)] == ["open.md"]
    assert shown.whole("secret.md", scope) == shown.whole("none.md", scope) == []


def test_what_has_no_key_is_not_shredded(there: Held) -> None:
    there.change([kept("open.md"), kept("secret.md", CONFIDENTIAL)])
    with pytest.raises(Malformed, match="under no key that could be destroyed"):
        asyncio.run(there.index.destroy(CONFIDENTIAL, ["secret.md"], nothing, nothing))
    assert "secret.md" in there.index.documents


def test_attack_whoever_has_the_gateway_s_login_sees_nothing_without_saying_for_whom(there: Held) -> None:
    there.change([kept("open.md"), kept("secret.md", CONFIDENTIAL)])
    run = there.server.run
    for table in ("document", "passage", "posting"):
        with pytest.raises(Exception, match="permission denied"):
            run(there.database, f"TABLE nomoat.{table}", "nomoat")
        assert run(there.database, f"SET ROLE nomoat_reader; TABLE nomoat.{table}", "nomoat") == []
    for change in (
        "DELETE FROM nomoat.document",
        "UPDATE nomoat.passage SET access = 1",
        "SELECT * FROM nomoat.access",
    ):
        with pytest.raises(Exception, match="permission denied"):
            run(there.database, f"SET ROLE nomoat_reader; {change}", "nomoat")


def test_attack_a_pooled_connection_takes_along_what_the_one_before_might_see(there: Held) -> None:
    there.change([kept("open.md"), kept("secret.md", CONFIDENTIAL)])
    for _ in range(8):  # more often than there are connections
        assert len(there.found(QUERIES[1], Classification.PUBLIC, Classification.CONFIDENTIAL)) == 2
    database = Database(there.server.url(there.database))
    with database.reading("{1,2,3}") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM nomoat.document").scalar() == 2
    with database.reading("{}") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM nomoat.document").scalar() == 0
    with database._engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT current_setting('nomoat.permitted', true)").scalar() in {None, ""}
        assert connection.exec_driver_sql("SELECT current_user").scalar() == "nomoat"
    database.close()


def test_attack_a_document_in_plaintext_is_more_confidential_than_may_lie_there(there: Held) -> None:
    restricted, legal = Label(Classification.RESTRICTED), Label(Classification.PUBLIC, frozenset({"legal"}))
    for label in (restricted, legal):
        with pytest.raises(Malformed, match="in plaintext, which is for what is confidential at most"):
            there.change([kept("open.md"), kept("board.md", label)])
    assert there.found(QUERIES[1], *Classification) == []
    there.change([kept("plan.md", CONFIDENTIAL)])
    with pytest.raises(Unavailable, match="more than internal: raise"):
        there.another(Label(Classification.INTERNAL)).found(QUERIES[1], *Classification)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("ALTER TABLE nomoat.passage NO FORCE ROW LEVEL SECURITY", "row-level security is not forced"),
        ("ALTER TABLE nomoat.posting DISABLE ROW LEVEL SECURITY", "row-level security is not forced"),
        ("DROP SCHEMA nomoat CASCADE", "row-level security is not forced"),
        ("ALTER TABLE nomoat.document OWNER TO nomoat", "owns the tables"),
        ("CREATE INDEX ON nomoat.passage USING hnsw ((vector::vector(2)) vector_ip_ops)", "approximate index"),
        ("CREATE ROLE {new} LOGIN BYPASSRLS", "bypass row-level security"),
        ("CREATE POLICY more ON nomoat.passage FOR SELECT USING (true)", "other policies"),
        ("CREATE POLICY more ON nomoat.document FOR SELECT TO nomoat_reader USING (true)", "other policies"),
    ],
)
def test_a_database_that_would_not_refuse_is_refused(postgres: Server, sql: str, said: str) -> None:
    name = f"new{postgres.made}"
    database = postgres.database(sql.format(new=name))
    store = PostgresDocuments(Database(postgres.url(database, name if "{new}" in sql else "nomoat")))
    with pytest.raises(Unavailable, match=said):
        asyncio.run(opened(store).fit(READ))
    store.close()


def test_what_another_gateway_changed_is_seen_by_the_next_query(there: Held) -> None:
    there.change([kept("plan.md"), kept("old.md")])
    other = there.another()
    assert other.found(QUERIES[1], Classification.PUBLIC) == ["old.md", "plan.md"]
    there.change([kept("plan.md", CONFIDENTIAL)], ["old.md"])
    assert other.found(QUERIES[1], Classification.PUBLIC) == []
    other.change([kept("new.md")])
    assert there.found(QUERIES[1], Classification.PUBLIC) == ["new.md"]


def test_attack_a_search_that_was_decided_before_a_change_is_made_after_it(there: Held) -> None:
    there.change([kept("plan.md")])
    shown, _ = there.index.at(READ)
    everything = Scope(NOBODY, frozenset(), {0: frozenset(PAIRS)})
    assert [hit.name for hit in shown.search(QUERIES[1], everything)] == ["plan.md"]
    there.another().change([kept("plan.md", CONFIDENTIAL)])
    with pytest.raises(Conflict):
        shown.search(QUERIES[1], everything)
    with pytest.raises(Conflict):
        asyncio.run(there.index.change([kept("mine.md")], (), nothing, nothing))


def test_what_is_not_permitted_any_more_when_it_is_written_is_not_written(there: Held) -> None:
    there.change([kept("plan.md")])

    def revoked() -> None:
        raise Unavailable("permit", "it was taken back")

    with pytest.raises(Unavailable, match="taken back"):
        there.change([kept("other.md")], ["plan.md"], revoked)
    assert there.found(QUERIES[1], Classification.PUBLIC) == ["plan.md"]


def test_another_embedder_makes_every_vector_anew(there: Held) -> None:
    there.change([kept("plan.md"), kept("secret.md", CONFIDENTIAL)])
    asyncio.run(opened(there.store, embedder="other").fit(READ))
    rows = there.server.run(there.database, "SELECT DISTINCT vector::text FROM nomoat.passage")
    assert [tuple(map(float, str(row[0]).strip("[]").split(","))) for row in rows] == [pytest.approx((0.6, 0.8))]
    assert there.server.run(there.database, "SELECT DISTINCT embedder FROM nomoat.document") == [("other",)]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"url": "postgresql://nomoat:secret@localhost/nomoat"}, "password does not stand in the address"),
        ({"url": "postgresql://nomoat@db.acme.example/nomoat"}, "sslmode=verify-full"),
        ({"url": "postgresql://nomoat@db.acme.example/nomoat?sslmode=require"}, "sslmode=verify-full"),
        ({"url": "postgresql://nomoat@localhost/nomoat?host=db.acme.example"}, "sslmode=verify-full"),
        ({"url": "mysql://nomoat@localhost/nomoat"}, "is written postgresql://"),
        ({"url": "nonsense"}, "is written postgresql://"),
        ({"url": "postgresql://nomoat@localhost/nomoat", "highest": "secret"}, "secret"),
        ({"url": "postgresql://nomoat@localhost/nomoat", "more": 1}, "'more'"),
        ({}, "has a url"),
    ],
)
def test_a_table_that_is_not_safe_refuses_to_start(said: dict[str, object], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse_postgres(said, Path())


async def unasked(_: Texts) -> Embedded:
    pytest.fail("a model was asked for the vectors of an index that makes them here")


DECLARED = """
[[group]]
name = "index-readers"
[[group]]
name = "librarians"
[[person]]
name = "ann"
groups = ["index-readers"]
clearance = "internal"
[[workload]]
name = "librarian"
groups = ["librarians"]
clearance = "restricted"
[[index]]
name = "handbook"
classification = "internal"
owner = "group:librarians"
back_end = "postgres"
"""


@dataclass
class Library:
    """A gateway whose index is in PostgreSQL."""

    there: World
    ann: Actor
    librarian: Actor

    async def put(self, *documents: Document) -> None:
        retrieval = self.there.gateway.retrieval
        await retrieval.open("handbook")
        async with self.there.gateway.guard.admit(
            self.librarian.present(), WriteDocuments("handbook", documents)
        ) as permit:
            await retrieval.write(permit, unasked)

    async def found(self) -> list[str]:
        guard, retrieval = self.there.gateway.guard, self.there.gateway.retrieval
        await retrieval.open("handbook")
        async with guard.admit(self.ann.present(), SearchIndex("handbook", "plan")) as permit:
            found = await retrieval.search(permit, unasked)
        if not found.ids:
            return []
        async with guard.admit(self.ann.present(), ReadPassages("handbook", found.ids, found.record)) as reading:
            return [each.id.document for each in await retrieval.read(reading, found)]


@asynccontextmanager
async def library(tmp_path: Path, settings: PostgresSettings | None) -> AsyncGenerator[Library]:
    async with world(tmp_path, settings) as there:
        await there.declare(DECLARED)
        ann = await there.joined(PrincipalKind.PERSON, "ann")
        yield Library(there, ann, await there.joined(PrincipalKind.WORKLOAD, "librarian"))


def document(name: str, level: Classification) -> Document:
    return Document(name, "a" * 64, "", Access(Label(level)), {}, ("the plan",))


def test_a_raised_label_is_in_force_for_the_next_query(postgres: Server, tmp_path: Path) -> None:
    async def raised() -> None:
        settings = PostgresSettings(postgres.url(postgres.database()), highest=CONFIDENTIAL)
        async with library(tmp_path, settings) as there:
            await there.put(document("plan.md", Classification.INTERNAL), document("open.md", Classification.PUBLIC))
            assert await there.found() == ["open.md", "plan.md"]
            await there.put(document("plan.md", Classification.CONFIDENTIAL))
            assert await there.found() == ["open.md"]
            with pytest.raises(Malformed, match=r"board\.md is restricted"):
                await there.put(document("board.md", Classification.RESTRICTED))

    asyncio.run(raised())


def test_an_index_in_a_database_that_no_one_configured_says_so(tmp_path: Path) -> None:
    async def asked() -> None:
        async with library(tmp_path, None) as there:
            with pytest.raises(Unavailable, match=r"nomoat\.toml has no \[postgres\]"):
                await there.found()

    asyncio.run(asked())


def test_a_database_that_is_away_fails_closed_and_is_used_again_when_it_is_back(
    postgres: Server, tmp_path: Path
) -> None:
    async def away() -> None:
        database = postgres.database()
        async with library(tmp_path, PostgresSettings(postgres.url(database))) as there:
            await there.put(document("plan.md", Classification.INTERNAL))
            postgres.run("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
            postgres.run("postgres", ENDED)
            with pytest.raises(Unavailable):
                await there.found()
            with pytest.raises(Unavailable):
                await there.put(document("other.md", Classification.INTERNAL))
            postgres.run("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
            assert await there.found() == ["plan.md"]

    asyncio.run(away())


@pytest.mark.parametrize("wrong", ["away", "unconfigured", "above"])
def test_attack_an_index_that_cannot_be_had_tells_strangers_that_there_is_one(
    postgres: Server, tmp_path: Path, wrong: str
) -> None:
    """Nor what is wrong with it: that something in it is more than may lie there is said to who is let in."""
    database = postgres.database()

    async def asked() -> None:
        settings = PostgresSettings(postgres.url(database), highest=CONFIDENTIAL)
        if wrong == "above":
            async with library(tmp_path / "before", settings) as there:
                await there.put(document("board.md", Classification.CONFIDENTIAL))
            settings = PostgresSettings(postgres.url(database), highest=Label(Classification.INTERNAL))
        async with library(tmp_path / "after", None if wrong == "unconfigured" else settings) as there:
            if wrong == "away":
                postgres.run("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
            await there.there.declare('[[person]]\nname = "eve"\nclearance = "restricted"\n')
            eve = await there.there.joined(PrincipalKind.PERSON, "eve")
            guard, retrieval = there.there.gateway.guard, there.there.gateway.retrieval
            for operation in (
                SearchIndex("handbook", "plan"),
                ListDocuments("handbook"),
                WriteDocuments("handbook", (document("x.md", Classification.PUBLIC),)),
                RemoveDocuments("handbook", ("board.md",)),
            ):
                await retrieval.open("handbook")
                with pytest.raises(NotFound, match="there is no such index"):
                    async with guard.admit(eve.present(), operation):
                        pytest.fail("a stranger was let in")
            with pytest.raises(Unavailable):
                await there.found()
            with pytest.raises(Unavailable):
                await there.put(document("x.md", Classification.PUBLIC))
            await retrieval.open("handbook")
            async with guard.admit(there.librarian.present(), ListDocuments("handbook")) as listing:
                with pytest.raises(Unavailable):
                    await retrieval.list_documents(listing)
            async with guard.admit(there.librarian.present(), RemoveDocuments("handbook", ("board.md",))) as removal:
                with pytest.raises(Unavailable):
                    await retrieval.remove(removal)

    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    asyncio.run(asked())
