"""Receipts of one's own accesses prove them to anybody, and tell nobody what they may not know."""

from collections.abc import Awaitable, Callable
from typing import NoReturn

import pytest

from nomoat.audit.receipt import Proven, verify_receipt
from nomoat.core.connection import Presented
from nomoat.core.errors import Malformed, NotFound, NotPermitted, Refused
from nomoat.core.operation import CreateRepository, DescribeRepository, ProveOwnRecord, ProveRecord, ReadFile, Whoami
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.policy import starter_policies
from tests.attacks.test_explaining import ABSENT, DECLARED, PLAIN, SECRET, prepared, refusal
from tests.guard.world import World, in_world


async def receipt(there: World, who: Presented, number: int) -> Proven:
    """What somebody's receipt proves to who has nothing but the log's public key."""
    async with there.gateway.guard.admit(who, ProveOwnRecord(number)) as permit:
        data = (await there.gateway.own.prove(permit)).encode()
    proven = verify_receipt(data, there.gateway.log.verifier_key)
    for name in (b'"sue', b"olaf", b"acme/", b"person:"):
        assert name not in proven.entry
    return proven


async def answer(there: World, who: Presented, number: int) -> str:
    """What somebody hears who asks for a receipt and gets none; the number apart, which they gave themselves."""
    with pytest.raises(NotFound) as caught:
        await receipt(there, who, number)
    return f"{type(caught.value)} {caught.value.kind} {caught.value}".replace(str(number), "N")


async def browsed(there: World, who: Presented) -> int:
    async with there.gateway.guard.admit(who, DescribeRepository(PLAIN, "main")) as permit:
        return permit.receipt.index


async def garbled(there: World, who: Presented) -> int:
    async def parse(_: Principal) -> NoReturn:
        raise Malformed("the body is not JSON")

    return await refused(there, who, parse)


async def refused(there: World, who: Presented, parse: Callable[[Principal], Awaitable[Whoami]]) -> int:
    with pytest.raises(Refused) as caught:
        async with there.gateway.guard.admit(who, parse):
            pass
    assert caught.value.record is not None
    return caught.value.record


@in_world
async def test_an_access_is_proven_to_who_made_it(there: World) -> None:
    sue, _ = await prepared(there)
    allowed, denied = await browsed(there, sue), await refusal(there, sue, ReadFile(PLAIN, "main", "a"))
    proofs = [await receipt(there, sue, number) for number in (allowed, denied, await garbled(there, sue))]
    said = [(proof.leaf.fields["what"], proof.leaf.fields["decision"]) for proof in proofs]
    assert said == [("DescribeRepository", "allow"), ("ReadFile", "deny"), ("", "deny")]
    assert {proof.leaf.fields["who"] for proof in proofs} == {there.gateway.log.pseudonym("person:sue")}
    with pytest.raises(NotPermitted):  # and the log at large stays with the auditors
        async with there.gateway.guard.admit(sue, ProveRecord(allowed, disclose=False)):
            pass


@in_world
async def test_attack_every_other_record_is_as_if_there_were_none(there: World) -> None:
    """Whoever tries every number gets their own accesses, those that they were told of, and one answer to all else."""
    sue, olaf = await prepared(there)
    told = {await browsed(there, sue), await refusal(there, sue, ReadFile(PLAIN, "main", "a"))}
    for repository in (SECRET, ABSENT):
        await refusal(there, sue, ReadFile(repository, "main", "a"))
    others = {await refusal(there, olaf, CreateRepository(PLAIN))}
    size = there.gateway.log.size
    got, heard = set[int](), set[str]()
    for number in range(size):
        try:
            await receipt(there, sue, number)
            got.add(number)
        except NotFound:
            heard.add(await answer(there, sue, number))
    heard.add(await answer(there, sue, 1 << 40))
    assert told <= got
    assert not others & got
    own = {int(str(each["n"])) for each in await there.gateway.log.read("by sue allowed", limit=10_000)}
    assert got == told | {number for number in own if number < size}
    assert len(heard) == 1


@in_world
async def test_attack_a_hidden_repository_and_a_missing_one_are_not_told_apart(there: World) -> None:
    sue, _ = await prepared(there)
    heard = [
        await answer(there, sue, await refusal(there, sue, ReadFile(repository, "main", "a")))
        for repository in (SECRET, ABSENT)
    ]
    assert heard[0] == heard[1] == await answer(there, sue, 1 << 40)


@in_world
async def test_attack_a_refusal_on_what_was_hidden_since(there: World) -> None:
    sue, _ = await prepared(there)
    number = await refusal(there, sue, ReadFile(PLAIN, "main", "a"))
    await receipt(there, sue, number)
    hiding = '@id("x") forbid (principal, action == NoMoat::Action::"Discover", resource);'
    await there.apply_policies({**starter_policies(), "x.cedar": hiding})
    assert await answer(there, sue, number) == await answer(there, sue, 1 << 40)


@in_world
async def test_attack_a_stolen_bearer_collects_receipts(there: World) -> None:
    await there.declare(DECLARED)
    actor = await there.joined(PrincipalKind.PERSON, "sue")
    stolen = actor.present(await there.bearer(actor), bound=False)
    number = await refusal(there, stolen, CreateRepository(PLAIN))
    with pytest.raises(NotPermitted):
        await receipt(there, stolen, number)
    assert (await receipt(there, actor.present(), number)).leaf.number == number


@in_world
async def test_without_the_policy_nobody_gets_any(there: World) -> None:
    sue, _ = await prepared(there)
    number = await browsed(there, sue)
    files = starter_policies()
    name = "everyone-proves-their-own-accesses"
    before, _, after = files["everyone.cedar"].partition(f'@id("{name}")')
    await there.apply_policies({**files, "everyone.cedar": before + after.partition(";")[2]})
    with pytest.raises(NotPermitted):
        await receipt(there, sue, number)


@in_world
async def test_whose_receipt_was_asked_for_is_on_record(there: World) -> None:
    sue, olaf = await prepared(there)
    number = await browsed(there, sue)
    await receipt(there, sue, number)
    await answer(there, olaf, number)
    found = await there.gateway.log.read("what ProveOwnRecord", limit=10)
    assert ["'sue'" in str(each["who"]) for each in found] == [True, False]
