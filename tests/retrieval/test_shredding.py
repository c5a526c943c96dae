"""Shredding a label of an index: what is gone, for whom, and when nothing is."""

import asyncio
import gc

import pytest
from sqlalchemy import select

from nomoat.core.errors import Conflict, Corrupt, NotFound, NotPermitted, Revoked
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import ReadPassages, RemoveDocuments, SearchIndex, ShredDocuments, WriteDocuments
from nomoat.core.principal import PrincipalKind
from nomoat.core.retrieval import Access, Document, Ranking
from nomoat.policy import starter_policies
from nomoat.resources.retrieval.embedding import Embedded, Texts
from nomoat.retrieval.documents import Held
from nomoat.stores.documents import Destroyed
from nomoat.stores.state.retrieval_schema import index_document, index_key
from tests.cli.live import Caller
from tests.guard.world import Actor, World, in_world
from tests.retrieval.conftest import Library

DECLARED = """
[[group]]
name = "index-readers"
[[group]]
name = "librarians"
[[person]]
name = "ann"
clearance = "restricted"
groups = ["index-readers"]
[[workload]]
name = "librarian"
groups = ["librarians"]
clearance = "restricted"
[[index]]
name = "handbook"
classification = "internal"
owner = "group:librarians"
embedder = "none"
"""
SAM = '[[person]]\nname = "sam"\ngroups = ["administrators"]\nclearance = "{}"\n'
OPEN = Label(Classification.INTERNAL)
DEAL = Label(Classification.CONFIDENTIAL, frozenset({"deal"}))
WORDS = "the offer for the harbour"


def page(name: str, label: Label) -> Document:
    return Document(name, "0" * 64, name, Access(label), {}, (f"{WORDS}, page {name}",))


PAGES = (page("a.md", OPEN), page("b.md", DEAL), page("c.md", DEAL), page("d.md", Label(Classification.CONFIDENTIAL)))


async def unasked(_: Texts) -> Embedded:
    pytest.fail("no model is asked")


class Shelf:
    """An index with documents of three labels; the administrator may destroy them."""

    def __init__(self, there: World, ann: Actor, librarian: Actor, sam: Actor) -> None:
        self.there, self.ann, self.librarian, self.sam = there, ann, librarian, sam

    @classmethod
    async def of(cls, there: World) -> "Shelf":
        await there.declare(DECLARED)
        await there.declare(SAM.format("restricted"))
        ann = await there.joined(PrincipalKind.PERSON, "ann")
        librarian = await there.joined(PrincipalKind.WORKLOAD, "librarian")
        shelf = cls(there, ann, librarian, await there.joined(PrincipalKind.PERSON, "sam"))
        await shelf.put(*PAGES)
        return shelf

    async def put(self, *documents: Document) -> None:
        retrieval = self.there.gateway.retrieval
        await retrieval.open("handbook")
        async with self.there.gateway.guard.admit(
            self.librarian.present(), WriteDocuments("handbook", documents)
        ) as permit:
            await retrieval.write(permit, unasked)

    async def found(self) -> list[str]:
        retrieval, asked = self.there.gateway.retrieval, SearchIndex("handbook", "harbour", "", 50, Ranking.KEYWORD)
        await retrieval.open("handbook")
        async with self.there.gateway.guard.admit(self.ann.present(), asked) as permit:
            return sorted(each.id.document for each in (await retrieval.search(permit, unasked)).passages)

    async def shred(self, label: Label = DEAL, by: Actor | None = None) -> Destroyed:
        retrieval = self.there.gateway.retrieval
        await retrieval.open("handbook")
        operation = ShredDocuments("handbook", label, "the deal is off")
        async with self.there.gateway.guard.admit((by or self.sam).present(), operation) as permit:
            return await retrieval.shred(permit)


def remembered() -> list[str]:
    """The documents of the label that are anywhere in memory, as an index has them."""
    gc.collect()
    return sorted(each.name for each in gc.get_objects() if type(each) is Held and each.name in {"b.md", "c.md"})


async def forgotten() -> bool:
    """Whether nothing of them is left, once the threads that searched are done with what they had."""
    for _ in range(200):
        if not remembered():
            return True
        await asyncio.sleep(0.05)
    return False


@in_world
async def test_what_has_a_label_is_gone_at_once_and_nothing_else_is(there: World) -> None:
    shelf = await Shelf.of(there)
    assert await shelf.found() == ["a.md", "b.md", "c.md", "d.md"]
    assert remembered() == ["b.md", "c.md"]
    assert await shelf.shred() == Destroyed(2, journal=True)
    assert await forgotten()
    assert await shelf.found() == ["a.md", "d.md"]
    state = there.gateway.retrieval._indexes._opening._store._state
    assert state.read(lambda c: len(c.execute(select(index_key)).all())) == 2
    assert state.read(lambda c: list(c.scalars(select(index_document.c.name)))) == ["a.md", "d.md"]
    await shelf.put(page("b.md", DEAL))
    assert await shelf.found() == ["a.md", "b.md", "d.md"], "a label may have documents again, under a new key"


@in_world
async def test_a_key_that_has_no_document_any_more_is_destroyed(there: World) -> None:
    shelf = await Shelf.of(there)
    async with there.gateway.guard.admit(
        shelf.librarian.present(), RemoveDocuments("handbook", ("b.md", "c.md"))
    ) as removal:
        await there.gateway.retrieval.remove(removal)
    assert (await shelf.shred()).documents == 0
    with pytest.raises(NotFound, match="exactly this label: confidential, deal"):
        await shelf.shred()
    with pytest.raises(NotFound, match="exactly this label"):
        await shelf.shred(Label(Classification.PUBLIC))


@in_world
async def test_nobody_shreds_but_who_may(there: World) -> None:
    shelf = await Shelf.of(there)
    for who in (shelf.librarian, shelf.ann):
        with pytest.raises(NotPermitted):
            await shelf.shred(by=who)
    await there.declare(SAM.format("internal"))
    with pytest.raises(NotPermitted, match="you may not destroy every document of handbook that is confidential, deal"):
        await shelf.shred()
    assert await shelf.found() == ["a.md", "b.md", "c.md", "d.md"]


@in_world
async def test_one_document_that_may_not_be_destroyed_keeps_all_of_its_label(there: World) -> None:
    shelf = await Shelf.of(there)
    held = (
        '@id("held-for-a-court") forbid (principal, action == NoMoat::Action::"ShredDocuments",'
        ' resource == NoMoat::Document::"handbook:c.md");'
    )
    await there.apply_policies({**starter_policies(), "held.cedar": held})
    with pytest.raises(NotPermitted, match="nothing was destroyed"):
        await shelf.shred()
    assert await shelf.found() == ["a.md", "b.md", "c.md", "d.md"]
    assert (await shelf.shred(Label(Classification.CONFIDENTIAL))).documents == 1


@in_world
async def test_attack_a_document_that_comes_while_it_is_decided_is_not_destroyed_undecided(there: World) -> None:
    shelf = await Shelf.of(there)
    operation = ShredDocuments("handbook", DEAL, "the deal is off")
    async with there.gateway.guard.admit(shelf.sam.present(), operation) as permit:
        await shelf.put(page("e.md", DEAL))
        with pytest.raises(Conflict, match="came or went meanwhile"):
            await there.gateway.retrieval.shred(permit)
    assert await shelf.found() == ["a.md", "b.md", "c.md", "d.md", "e.md"]
    assert (await shelf.shred()).documents == 3


@in_world
async def test_revocation_before_it_is_destroyed_leaves_everything(there: World) -> None:
    shelf = await Shelf.of(there)
    operation = ShredDocuments("handbook", DEAL, "the deal is off")

    async def attempt() -> None:
        async with there.gateway.guard.admit(shelf.sam.present(), operation) as permit:
            there.gateway.guard.end_sessions(frozenset({shelf.sam.session}), "the session was revoked")
            await there.gateway.retrieval.shred(permit)

    with pytest.raises(Revoked):
        await attempt()
    assert await shelf.found() == ["a.md", "b.md", "c.md", "d.md"]


@in_world
async def test_attack_what_was_found_before_is_not_given_out_after(there: World) -> None:
    shelf, retrieval = await Shelf.of(there), there.gateway.retrieval
    asked = SearchIndex("handbook", "harbour", "", 50, Ranking.KEYWORD)
    async with there.gateway.guard.admit(shelf.ann.present(), asked) as permit:
        found = await retrieval.search(permit, unasked)
    await shelf.shred()
    with pytest.raises(Conflict):
        async with there.gateway.guard.admit(shelf.ann.present(), ReadPassages("handbook", found.ids, found.record)):
            pytest.fail("what was shredded was given out")


@in_world
async def test_attack_rows_without_their_key_are_put_back(there: World) -> None:
    shelf = await Shelf.of(there)
    state = there.gateway.retrieval._indexes._opening._store._state
    rows = state.read(lambda c: [row._asdict() for row in c.execute(select(index_document)).all()])
    await shelf.shred()
    other = state.read(lambda c: c.scalars(select(index_key.c.id)).first())
    stolen = [{**row, "key": other} for row in rows if row["name"] == "b.md"]
    await state.write(lambda c: c.execute(index_document.insert(), stolen), lambda _: None)
    with pytest.raises(Corrupt):
        there.gateway.retrieval._indexes._opening._store.all("handbook")


def test_the_command_asks_says_and_is_on_record(library: Library) -> None:
    library.live.declare(SAM.format("confidential") + '[[person]]\nname = "audrey"\ngroups = ["auditors"]\n')
    for name in ("sam", "audrey"):
        library.live.join(f"person:{name}")
    deal = {"classification": "confidential", "labels": ["deal"]}
    library.put(
        {"name": "sold.md", "passages": ["the harbour is sold"], **deal},
        {"name": "kept.md", "passages": ["the harbour is ours"]},
        index="shelf",
    )
    caller = Caller(library.live.root / "home")
    profile = ["--profile", library.live.profiles["sam"].name]
    command = [
        "index",
        "shred",
        "shelf",
        "--classification",
        "confidential",
        "--label",
        "deal",
        "--reason",
        "it is off",
    ]
    asked = caller.nomoat(*command, *profile)
    assert asked.code != 0
    assert "--yes" in asked.err
    assert sorted(library.found("ada", "harbour", index="shelf")) == ["kept.md", "sold.md"]
    said = caller.nomoat(*command, *profile, "--yes")
    assert said.code == 0, said.err
    assert "shredded what is confidential, deal in shelf: 1 document and the key of this label" in said.out
    assert library.found("ada", "harbour", index="shelf") == ["kept.md"]
    again = caller.nomoat(*command, *profile, "--yes")
    assert again.code != 0
    assert "nothing of shelf has, or had, exactly this label: confidential, deal" in again.err
    log = caller.nomoat(
        "audit", "search", "what ShredDocuments", "--json", "--profile", library.live.profiles["audrey"].name
    )
    assert "confidential, deal" in log.out
    assert "it is off" in log.out
    with library.live.http("librarian") as http:
        http.post("/v1/indexes/shelf/documents/removals", json={"names": ["kept.md"]})
