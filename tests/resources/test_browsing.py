"""Which repositories there are, for whoever asks: exactly those that they may describe, and no word of others."""

from nomoat.core.errors import Refused
from nomoat.core.names import RepositoryKind
from nomoat.core.operation import DescribeRepository, ListRepositories
from nomoat.policy import starter_policies
from tests.guard.world import Actor
from tests.resources.world import DIGITS, READER, SECRETS, Yard, in_yard

ALL = (DIGITS, SECRETS, READER)


async def listed(there: Yard, by: Actor, kind: RepositoryKind, namespace: str = "", search: str = "") -> list[str]:
    async with there.guard.admit(by.present(), ListRepositories(kind, namespace, search)) as permit:
        return [str(each.created.name) for each in there.world.gateway.browsing.list_repositories(permit)]


async def may_describe(there: Yard, by: Actor, kind: RepositoryKind) -> list[str]:
    able: list[str] = []
    for name in ALL:
        try:
            await there.permitted(DescribeRepository(name, "main"), by)
        except Refused:
            continue
        able += [str(name)] if name.kind is kind else []
    return sorted(able)


async def require_equal(there: Yard) -> None:
    for who in (there.ingest, there.train, there.scientist, there.visitor, await there.low_ingestion()):
        for kind in RepositoryKind:
            assert await listed(there, who, kind) == await may_describe(there, who, kind)


@in_yard
async def test_a_listing_has_exactly_the_repositories_that_may_be_described(there: Yard) -> None:
    await require_equal(there)
    assert await listed(there, there.ingest, RepositoryKind.DATASET) == ["acme/digits", "acme/secrets"]
    assert await listed(there, there.scientist, RepositoryKind.DATASET) == ["acme/digits"]
    assert await listed(there, there.visitor, RepositoryKind.DATASET) == []
    assert await listed(there, there.train, RepositoryKind.MODEL) == ["acme/digit-reader"]


@in_yard
async def test_a_repository_that_a_policy_names_is_decided_alone(there: Yard) -> None:
    named = '@id("visitor-sees-one") permit (principal, action == NoMoat::Action::"DescribeRepository",'
    named += ' resource == NoMoat::Dataset::"acme/digits") when { principal.subject == "person:visitor" };'
    await there.world.declare(
        '[[dataset]]\nname = "acme/twin"\nclassification = "confidential"\nowner = "group:data-engineers"'
    )
    await there.create(DIGITS._replace(name="twin"))
    await there.world.apply_policies({**starter_policies(), "named.cedar": named})
    assert await listed(there, there.visitor, RepositoryKind.DATASET) == ["acme/digits"]


@in_yard
async def test_a_declared_repository_that_was_not_created_is_not_listed(there: Yard) -> None:
    assert "acme/shelf" not in await listed(there, there.ingest, RepositoryKind.DATASET)
    assert await listed(there, there.ingest, RepositoryKind.DATASET, "acme", "IGIT") == ["acme/digits"]
    assert await listed(there, there.ingest, RepositoryKind.DATASET, "other") == []


@in_yard
async def test_a_record_of_a_listing_names_nothing_that_was_withheld(there: Yard) -> None:
    await listed(there, there.visitor, RepositoryKind.DATASET)
    records = await there.world.gateway.log.read("what ListRepositories by visitor")
    assert records
    assert "digits" not in str(records)
    assert "secrets" not in str(records)
