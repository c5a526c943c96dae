"""What changes while somebody searches, reads or lists documents: nothing is given out that may not be had by then."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from nomoat.core.errors import Conflict, Refused, Unavailable
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import ListDocuments, ReadPassages, RemoveDocuments, SearchIndex, WriteDocuments
from nomoat.core.principal import PrincipalKind
from nomoat.core.retrieval import Access, Document, PassageId
from nomoat.policy import starter_policies
from tests.guard.world import Actor, World, in_world
from tests.retrieval.test_promises import unasked

PLAN = Document("plan.md", "0" * 64, "", Access(Label(Classification.INTERNAL)), {}, ("the plan of the quarry",))
PEOPLE = """
[[group]]
name = "index-readers"
[[group]]
name = "librarians"
[[workload]]
name = "librarian"
groups = ["librarians"]
clearance = "confidential"
[[person]]
name = "bob"
clearance = "internal"
groups = ["index-readers"]
[[index]]
name = "handbook"
classification = "internal"
owner = "group:librarians"
embedder = "none"
"""


async def opened(there: World, *documents: Document) -> tuple[Actor, Actor]:
    """An index of some documents; bob, who may read what is internal, and the librarian."""
    await there.declare(PEOPLE)
    bob = await there.joined(PrincipalKind.PERSON, "bob")
    librarian = await there.joined(PrincipalKind.WORKLOAD, "librarian")
    await there.gateway.retrieval.open("handbook")
    await put(there, librarian, *documents)
    return bob, librarian


async def put(there: World, librarian: Actor, *documents: Document) -> None:
    async with there.gateway.guard.admit(librarian.present(), WriteDocuments("handbook", documents)) as permit:
        await there.gateway.retrieval.write(permit, unasked)


async def _revoked(there: World, librarian: Actor) -> None:
    del librarian
    await there.revoke("person", "bob")


async def _lowered(there: World, librarian: Actor) -> None:
    del librarian
    await there.declare('[[person]]\nname = "bob"\nclearance = "public"\ngroups = ["index-readers"]\n')


async def _left(there: World, librarian: Actor) -> None:
    del librarian
    await there.declare('[[person]]\nname = "bob"\nclearance = "internal"\n')


async def _forbidden(there: World, librarian: Actor) -> None:
    del librarian
    rule = '@id("closed") forbid (principal, action == NoMoat::Action::"ReadPassages", resource);'
    await there.apply_policies({**starter_policies(), "closed.cedar": rule})


async def _raised(there: World, librarian: Actor) -> None:
    await put(there, librarian, replace(PLAN, access=Access(Label(Classification.CONFIDENTIAL))))


async def _listed(there: World, librarian: Actor) -> None:
    await put(there, librarian, replace(PLAN, access=Access(PLAN.access.label, "", frozenset({"person:ann"}))))


async def _rewritten(there: World, librarian: Actor) -> None:
    await put(there, librarian, replace(PLAN, version="1" * 64, passages=("another plan",)))


async def _removed(there: World, librarian: Actor) -> None:
    removal = RemoveDocuments("handbook", ("plan.md",))
    async with there.gateway.guard.admit(librarian.present(), removal) as permit:
        await there.gateway.retrieval.remove(permit)


CHANGES = (_revoked, _lowered, _left, _forbidden, _raised, _listed, _rewritten, _removed)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("waiting", ["in-the-search", "between"])
@in_world
async def test_attack_a_search_waits_to_read_while_what_allowed_it_changes(
    there: World, change: Callable[[World, Actor], Awaitable[None]], waiting: str
) -> None:
    """While it is looked for, or between finding and reading: nothing is given out."""
    bob, librarian = await opened(there, PLAN)
    guard, retrieval = there.gateway.guard, there.gateway.retrieval

    async def attack() -> None:
        async with guard.admit(bob.present(), SearchIndex("handbook", "quarry", "")) as search:
            if waiting == "in-the-search":
                await change(there, librarian)
            found = await retrieval.search(search, unasked)
        assert [each.id.document for each in found.passages] == ["plan.md"]
        if waiting == "between":
            await change(there, librarian)
        async with guard.admit(bob.present(), ReadPassages("handbook", found.ids, found.record)) as reading:
            await retrieval.read(reading, found)

    with pytest.raises(Refused):
        await attack()


@pytest.mark.parametrize(
    "change", [_revoked, _raised, _listed, _rewritten, _removed], ids=lambda change: change.__name__
)
@in_world
async def test_attack_a_document_changes_while_its_reading_was_permitted_already(
    there: World, change: Callable[[World, Actor], Awaitable[None]]
) -> None:
    """The label of what is read is stored before it is given out: what is in force by then counts."""
    bob, librarian = await opened(there, PLAN)
    guard, retrieval = there.gateway.guard, there.gateway.retrieval
    async with guard.admit(bob.present(), SearchIndex("handbook", "quarry", "")) as search:
        found = await retrieval.search(search, unasked)

    async def attack() -> None:
        async with guard.admit(bob.present(), ReadPassages("handbook", found.ids, found.record)) as reading:
            await change(there, librarian)
            await retrieval.read(reading, found)

    with pytest.raises(Refused):
        await attack()


@in_world
async def test_attack_passages_that_were_not_found_are_read(there: World) -> None:
    """By an id: of what may not be read, of another version, of what is none; and with the permit for something else."""
    secret = replace(PLAN, name="secret.md", access=Access(Label(Classification.CONFIDENTIAL)))
    bob, _ = await opened(there, PLAN, secret)
    guard, retrieval = there.gateway.guard, there.gateway.retrieval
    async with guard.admit(bob.present(), SearchIndex("handbook", "quarry", "")) as search:
        found = await retrieval.search(search, unasked)
    assert [each.id.document for each in found.passages] == ["plan.md"]
    own = found.ids[0]
    for asked in (("secret.md", "0" * 64, 0), ("secret.md", "1" * 64, 0), ("none.md", "0" * 64, 0)):
        for ids in ((PassageId(*asked),), (own, PassageId(*asked))):
            with pytest.raises(Refused):
                async with guard.admit(bob.present(), ReadPassages("handbook", ids, found.record)) as reading:
                    await retrieval.read(reading, found)
    neighbour = own._replace(number=1)
    async with guard.admit(bob.present(), ReadPassages("handbook", (neighbour,), found.record)) as reading:
        with pytest.raises(Conflict):
            await retrieval.read(reading, found)


@in_world
async def test_attack_what_was_cited_is_read_after_it_was_raised(there: World) -> None:
    bob, librarian = await opened(there, PLAN)
    guard, retrieval = there.gateway.guard, there.gateway.retrieval
    async with guard.admit(bob.present(), SearchIndex("handbook", "quarry", "")) as search:
        found = await retrieval.search(search, unasked)
    async with guard.admit(bob.present(), ReadPassages("handbook", found.ids, found.record)) as reading:
        await retrieval.read(reading, found)
    await _raised(there, librarian)
    with pytest.raises(Refused):
        async with guard.admit(bob.present(), ReadPassages("handbook", found.ids, found.record)) as again:
            await retrieval.read(again, found)


@in_world
async def test_attack_a_document_is_raised_while_it_is_listed(there: World) -> None:
    """A list is of one instant: of a document that was lowered, raised or taken out since, it tells what was decided about."""
    _, librarian = await opened(there, PLAN, replace(PLAN, name="other.md"))
    await there.declare('[[workload]]\nname = "mallory"\ngroups = ["librarians"]\nclearance = "internal"\n')
    mallory = await there.joined(PrincipalKind.WORKLOAD, "mallory")
    async with there.gateway.guard.admit(mallory.present(), ListDocuments("handbook")) as listing:
        await put(there, librarian, replace(PLAN, title="Basalt", access=Access(Label(Classification.CONFIDENTIAL))))
        await put(there, librarian, replace(PLAN, name="new.md", access=Access(Label(Classification.CONFIDENTIAL))))
        removal = RemoveDocuments("handbook", ("other.md",))
        async with there.gateway.guard.admit(librarian.present(), removal) as permit:
            await there.gateway.retrieval.remove(permit)
        listed = await there.gateway.retrieval.list_documents(listing)
    assert [(each.name, each.known.title) for each in listed] == [("other.md", ""), ("plan.md", "")]
    async with there.gateway.guard.admit(mallory.present(), ListDocuments("handbook")) as again:
        assert await there.gateway.retrieval.list_documents(again) == []


@pytest.mark.parametrize("how", ["write", "remove"])
@in_world
async def test_attack_what_is_raised_is_replaced_by_who_might_have_before(there: World, how: str) -> None:
    """Who may write what is internal is permitted to, and by then it is confidential: it stays, and they hear to try again."""
    bob, librarian = await opened(there, PLAN)
    await there.declare('[[workload]]\nname = "mallory"\ngroups = ["librarians"]\nclearance = "internal"\n')
    mallory, guard, retrieval = (
        await there.joined(PrincipalKind.WORKLOAD, "mallory"),
        there.gateway.guard,
        there.gateway.retrieval,
    )
    lowered = replace(PLAN, passages=("the plan of the quarry, as mallory has it",))

    async def attack() -> None:
        if how == "write":
            async with guard.admit(mallory.present(), WriteDocuments("handbook", (lowered,))) as writing:
                await _raised(there, librarian)
                await retrieval.write(writing, unasked)
        else:
            async with guard.admit(mallory.present(), RemoveDocuments("handbook", ("plan.md",))) as removing:
                await _raised(there, librarian)
                await retrieval.remove(removing)

    with pytest.raises(Conflict, match="changed"):
        await attack()
    async with guard.admit(bob.present(), SearchIndex("handbook", "quarry", "")) as search:
        assert (await retrieval.search(search, unasked)).passages == ()


@in_world
async def test_a_gateway_without_the_packages_says_which_to_install(there: World) -> None:
    await there.declare(PEOPLE)
    bob = await there.joined(PrincipalKind.PERSON, "bob")
    retrieval, asked = there.gateway.retrieval, SearchIndex("handbook", "quarry", "")
    with pytest.MonkeyPatch.context() as without:
        without.setitem(sys.modules, "nomoat.retrieval.index", None)
        await retrieval.open("handbook")
    with pytest.raises(Unavailable) as told:
        async with there.gateway.guard.admit(bob.present(), asked) as search:
            await retrieval.search(search, unasked)
    assert told.value.reason.endswith("in the gateway's environment: pip install 'nomoat[retrieval]'")
    await retrieval.open("handbook")
    async with there.gateway.guard.admit(bob.present(), asked) as search:
        assert (await retrieval.search(search, unasked)).passages == ()
