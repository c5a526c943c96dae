"""An index in PostgreSQL that several gateways answer from; and documents that a database cannot take as they are."""

import asyncio
from pathlib import Path

import pytest

from nomoat.core.errors import Conflict, Unavailable
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import ReadPassages, SearchIndex
from nomoat.core.retrieval import Access, Document
from nomoat.server.postgres import PostgresSettings
from nomoat.stores.postgres import Database, PostgresDocuments
from tests.retrieval.postgres import Server
from tests.retrieval.test_postgres import CONFIDENTIAL, READ, document, library, opened, unasked


def test_attack_a_label_is_raised_through_another_gateway_between_finding_and_reading(
    postgres: Server, tmp_path: Path
) -> None:
    async def attack() -> None:
        settings = PostgresSettings(postgres.url(postgres.database()), highest=CONFIDENTIAL)
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
        async with library(tmp_path / "one", settings) as one, library(tmp_path / "other", settings) as other:
            await one.put(document("plan.md", Classification.INTERNAL))
            guard, retrieval = one.there.gateway.guard, one.there.gateway.retrieval
            async with guard.admit(one.ann.present(), SearchIndex("handbook", "plan")) as permit:
                found = await retrieval.search(permit, unasked)
            assert [each.id.document for each in found.passages] == ["plan.md"]
            await other.put(document("plan.md", Classification.CONFIDENTIAL))
            async with guard.admit(one.ann.present(), ReadPassages("handbook", found.ids, found.record)) as reading:
                with pytest.raises(Conflict):
                    await retrieval.read(reading, found)
            assert await one.found() == []

    asyncio.run(attack())


@pytest.mark.parametrize("said", ["a\0b", "a\\u0000b", "a\\\\u0000b", "\\", '"'])
def test_attack_an_attribute_keeps_a_whole_folder_out(postgres: Server, tmp_path: Path, said: str) -> None:
    async def kept() -> None:
        settings = PostgresSettings(postgres.url(postgres.database()), highest=CONFIDENTIAL)
        async with library(tmp_path, settings) as there:
            access = Access(Label(Classification.INTERNAL))
            await there.put(Document("odd.md", "a" * 64, said, access, {said: said}, (f"the plan {said}",)))
            assert await there.found() == ["odd.md"]

    asyncio.run(kept())


@pytest.mark.parametrize(
    ("sql", "back", "said"),
    [
        ("ALTER ROLE nomoat_reader BYPASSRLS", "ALTER ROLE nomoat_reader NOBYPASSRLS", "bypass row-level security"),
        ("GRANT nomoat_writer TO nomoat_reader", "REVOKE nomoat_writer FROM nomoat_reader", "other policies"),
    ],
)
def test_attack_the_role_that_reads_is_shown_everything(postgres: Server, sql: str, back: str, said: str) -> None:
    """Roles are of all databases of a server: one of this name may be there already, and be more than it should."""
    database = postgres.database()
    postgres.run("postgres", sql)
    store = PostgresDocuments(Database(postgres.url(database)))
    try:
        with pytest.raises(Unavailable, match=said):
            asyncio.run(opened(store).fit(READ))
    finally:
        postgres.run("postgres", back)
        store.close()
    asyncio.run(opened(store).fit(READ))
    store.close()
