"""Through the guard itself: whatever happens to documents, people and policies, an answer is that of an index which holds what
its asker may read, decided one by one."""

import asyncio
import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from nomoat.core.decision import Allow, Context
from nomoat.core.errors import NotFound, NotPermitted
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import ReadPassages, RemoveDocuments, SearchIndex, WriteDocuments
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.core.retrieval import Access, Document, Index, Ranking
from nomoat.policy import starter_policies
from nomoat.policy.engine import decide
from nomoat.resources.retrieval.embedding import Embedded, Texts
from nomoat.resources.retrieval.targets import document_for
from nomoat.retrieval.documents import Entry, Passage, vectors_of
from nomoat.retrieval.index import Index as Engine
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.snapshot import Query
from nomoat.server.postgres import PostgresSettings
from nomoat.stores.embedders import bundled
from tests.guard.world import Actor, World, world
from tests.retrieval.postgres import Server

WORDS = ("budget", "leave", "travel", "pitch", "limit", "server", "plan", "holiday", "cost", "review")
HIGHEST = Label(Classification.CONFIDENTIAL, frozenset({"draft", "old", "hr"}))
NAMES = tuple(f"d{number}.md" for number in range(12))
GROUPS = ("staff", "finance")
PEOPLE = {"ann": "confidential", "bob": "internal", "cy": "public"}
DECLARED = """
[[group]]
name = "index-readers"
[[group]]
name = "librarians"
[[group]]
name = "staff"
[[group]]
name = "finance"
[[workload]]
name = "librarian"
groups = ["librarians"]
clearance = "confidential"
[[index]]
name = "handbook"
classification = "internal"
owner = "group:librarians"
"""
MORE = {  # policies that read something else of documents than the starter ones
    "by-label": '@id("by-label") forbid (principal, action == NoMoat::Action::"ReadPassages", resource)'
    ' when { resource.labels.contains("draft") && !resource.owned };',
    "by-labels": '@id("by-labels") forbid (principal, action == NoMoat::Action::"ReadPassages", resource)'
    ' when { resource.labels.containsAll(["draft", "old"]) };',
    "by-name": '@id("by-name") forbid (principal, action == NoMoat::Action::"ReadPassages",'
    ' resource == NoMoat::Document::"handbook:d3.md");',
    "by-branch": '@id("by-branch") permit (principal in NoMoat::Group::"staff", action == NoMoat::Action::"ReadPassages", resource)'
    " when { (if resource.listed then resource.classification else 0) < 1 };",
}


def document(chance: random.Random, name: str) -> Document:
    """A document with some access."""
    passages = tuple(" ".join(chance.choices(WORDS, k=6)) for _ in range(chance.randint(1, 3)))
    readers = chance.choice([None, None, frozenset(chance.sample(["group:staff", "group:finance", "person:bob"], 2))])
    labels = frozenset(chance.sample(["draft", "old", "hr"], chance.randint(0, 2)))
    label = Label(Classification(chance.randint(0, 2)), labels)
    owner = chance.choice(["", "", "person:ann", "person:cy"])
    version = hashlib.sha256(repr(passages).encode()).hexdigest()
    return Document(name, version, name, Access(label, owner, readers), {"n": len(passages)}, passages)


def people(chance: random.Random) -> str:
    """The people, each in some groups."""
    return "".join(
        f'[[person]]\nname = "{name}"\nclearance = "{level}"\n'
        f"groups = {[*chance.sample(GROUPS, chance.randint(0, 2)), *(['index-readers'] if chance.random() < 0.9 else [])]}\n"
        for name, level in PEOPLE.items()
    ).replace("'", '"')


async def unasked(_: Texts) -> Embedded:
    pytest.fail("a model was asked for the vectors of an index that makes them here")


class Promise:
    """A gateway's index, and what is known of it by who keeps it."""

    def __init__(self, there: World, seed: int, back_end: str = "embedded") -> None:
        self.there = there
        self.back_end = back_end
        self.chance = random.Random(seed)  # noqa: S311
        self.documents: dict[str, Document] = {}
        self.embedder = bundled()
        self.actors: dict[str, Actor] = {}

    async def begin(self) -> None:
        await self.there.declare(f'{DECLARED}back_end = "{self.back_end}"\n' + people(self.chance))
        for name in PEOPLE:
            self.actors[name] = await self.there.joined(PrincipalKind.PERSON, name)
        self.actors["librarian"] = await self.there.joined(PrincipalKind.WORKLOAD, "librarian")
        await self.there.gateway.retrieval.open("handbook")

    async def step(self) -> None:
        guard, retrieval = self.there.gateway.guard, self.there.gateway.retrieval
        librarian = self.actors["librarian"].present()
        match self.chance.choice(["put", "put", "remove", "people", "policies", "nothing"]):
            case "put":
                names = self.chance.sample(NAMES, self.chance.randint(1, 4))
                made = tuple(document(self.chance, name) for name in names)
                async with guard.admit(librarian, WriteDocuments("handbook", made)) as permit:
                    await retrieval.write(permit, unasked)
                self.documents |= {each.name: each for each in made}
            case "remove":
                names = self.chance.sample(NAMES, 2)
                async with guard.admit(librarian, RemoveDocuments("handbook", tuple(names))) as removal:
                    await retrieval.remove(removal)
                for name in names:
                    self.documents.pop(name, None)
            case "people":
                await self.there.declare(people(self.chance))
            case "policies":
                chosen = self.chance.sample(sorted(MORE), self.chance.randint(0, 3))
                files = {**starter_policies(), **{f"{name}.cedar": MORE[name] for name in chosen}}
                await self.there.apply_policies(files)
            case _:
                pass

    async def answers(self, name: str, asked: SearchIndex) -> tuple[object, Principal | None]:
        """What somebody is told: ids, texts and scores; or that there is no such index."""
        guard, retrieval = self.there.gateway.guard, self.there.gateway.retrieval
        await retrieval.open("handbook")
        try:
            async with guard.admit(self.actors[name].present(), asked) as permit:
                found = await retrieval.search(permit, unasked)
                who = permit.principal
        except NotFound as missing:
            return str(missing), None
        if found.ids:
            reading = ReadPassages("handbook", found.ids, found.record)
            async with guard.admit(self.actors[name].present(), reading) as permitted:
                await retrieval.read(permitted, found)
        return [(each.id, each.text, each.score) for each in found.passages], who

    async def promised(self, who: Principal, asked: SearchIndex) -> object:
        """What an index says that holds the documents which are permitted, one by one."""
        policies = self.there.gateway.policies.current
        context = Context(
            int(self.there.clock()),
            who.binding,
            who.obtained,
            int(self.there.clock()) - who.authenticated_at,
            "127.0.0.1",
            who.session,
        )
        index = self.there.gateway.declarations.current.indexes["handbook"]
        held = [each for each in self.documents.values() if self._may(policies, who, each, context, index)]
        engine = Engine(await self.embedder.dimensions())
        entries: list[Entry] = []
        for each in sorted(held, key=lambda each: each.name):
            vectors = vectors_of(await self.embedder.embed(each.passages), len(each.passages))
            texts = [Passage(text, row) for text, row in zip(each.passages, vectors, strict=True)]
            entries.append(Entry(each.name, each.version, "all", texts))
        engine.put(entries)
        (vector,) = vectors_of(await self.embedder.embed([asked.query]), 1)
        query = Query(asked.query, vector, asked.most, asked.ranking.value, asked.filter)
        scope = Scope("", frozenset(), {0: frozenset(PAIRS)})
        return [
            ((hit.name, hit.version, hit.number), hit.text, hit.score) for hit in engine.snapshot.search(query, scope)
        ]

    def _may(self, policies: object, who: Principal, each: Document, context: Context, index: Index) -> bool:
        target = document_for(index, each.name, each.version, each.access, who)
        return isinstance(decide(policies, who, "ReadPassages", (target,), context), Allow)  # type: ignore[arg-type]


async def walk(there: World, seed: int, back_end: str, rankings: Sequence[Ranking]) -> None:
    """Whatever happens, what people are told is what is promised."""
    promise = Promise(there, seed, back_end)
    await promise.begin()
    seen = 0
    for _ in range(25):
        await promise.step()
        for name in PEOPLE:
            query = " ".join(promise.chance.choices(WORDS, k=2))
            ranking = promise.chance.choice(rankings)
            asked = SearchIndex("handbook", query, "", promise.chance.randint(1, 12), ranking)
            told, who = await promise.answers(name, asked)
            if who is None:
                assert told == "there is no such index"
                continue
            assert told == await promise.promised(who, asked), (name, query, ranking)
            seen += bool(told)
    assert seen > 10, "the walk shows something"


@pytest.mark.parametrize("seed", range(5))
def test_answers_are_those_of_an_index_of_what_is_permitted(seed: int, tmp_path: Path) -> None:
    async def embedded() -> None:
        async with world(tmp_path) as there:
            await walk(there, seed, "embedded", list(Ranking))

    asyncio.run(embedded())


@pytest.mark.parametrize("seed", range(5))
def test_answers_from_postgresql_are_those_of_an_embedded_index_of_what_is_permitted(
    seed: int, tmp_path: Path, postgres: Server
) -> None:
    settings = PostgresSettings(postgres.url(postgres.database()), highest=HIGHEST)

    async def there_too() -> None:
        # Products of vectors are of 32 bits there, so that their order among equals may be another; words are not.
        async with world(tmp_path, settings) as there:
            await walk(there, seed, "postgres", [Ranking.KEYWORD])

    asyncio.run(there_too())


def test_attack_a_document_is_raised_between_finding_and_reading(tmp_path: Path) -> None:
    async def attack() -> None:
        async with world(tmp_path) as there:
            promise = Promise(there, 0)
            await promise.begin()
            await there.declare('[[person]]\nname = "bob"\nclearance = "internal"\ngroups = ["index-readers"]\n')
            guard, retrieval = there.gateway.guard, there.gateway.retrieval
            plain = Document("plan.md", "0" * 64, "", Access(Label(Classification.INTERNAL)), {}, ("the plan",))
            raised = Document("plan.md", "0" * 64, "", Access(Label(Classification.CONFIDENTIAL)), {}, ("the plan",))
            librarian, bob = promise.actors["librarian"].present(), promise.actors["bob"].present()
            async with guard.admit(librarian, WriteDocuments("handbook", (plain,))) as permit:
                await retrieval.write(permit, unasked)
            async with guard.admit(bob, SearchIndex("handbook", "plan", "")) as search:
                found = await retrieval.search(search, unasked)
            assert [each.id.document for each in found.passages] == ["plan.md"]
            async with guard.admit(librarian, WriteDocuments("handbook", (raised,))) as permit:
                await retrieval.write(permit, unasked)
            with pytest.raises((NotFound, NotPermitted)):
                async with guard.admit(bob, ReadPassages("handbook", found.ids, found.record)):
                    pytest.fail("what was raised was given out")

    asyncio.run(attack())
