"""Who is denied for the age of the authentication alone is told so (RFC 9470), and nobody else is."""

import pytest

from nomoat.core.errors import NotFound, NotPermitted, Refused, StepUpRequired
from nomoat.core.operation import (
    ApplyDirectory,
    DescribeRepository,
    Enroll,
    Operation,
    ReadLog,
)
from nomoat.core.principal import PrincipalKind
from nomoat.policy.defaults import starter_policies
from nomoat.protocols.http.errors import headers_of, sentence, status_of
from tests.guard.world import ADMIN, Actor, World, in_world
from tests.resources.world import DECLARATION, DIGITS, UNDECLARED, Yard, in_yard

FRESH = """
@id("administration-needs-a-fresh-log-in")
forbid (principal, action in NoMoat::Action::"Administer", resource) when { context.auth_age > 900 };
"""
PERMITTED = """
@id("auditing-while-fresh")
permit (principal, action == NoMoat::Action::"ReadLog", resource) when { context.auth_age <= 60 };
"""
UPLOADS = (
    '@id("u") forbid (principal, action == NoMoat::Action::"UploadBlob", resource) when { context.auth_age > 900 };'
)
FRESH_WRITES = (
    '@id("w") forbid (principal, action == NoMoat::Action::"WriteFile", resource) when { context.auth_age > 30 };'
)
ENROLL = Enroll(f"person:{ADMIN}")
WIDENS = f'[[group]]\nname = "privacy-officers"\n[[person]]\nname = "{ADMIN}"\ngroups = ["administrators", "auditors", "privacy-officers"]\n'


async def refused(there: World, actor: Actor, operation: Operation) -> Refused:
    with pytest.raises((NotPermitted, NotFound)) as refusal:
        async with there.gateway.guard.admit(actor.present(), operation):
            pytest.fail("it was served")
    return refusal.value


async def in_force(there: World, *more: str) -> None:
    await there.apply_policies({**starter_policies(), "fresh.cedar": "\n".join(more)})


@in_world
async def test_who_is_refused_for_the_age_alone_is_told_which_age_is_not_too_old(there: World) -> None:
    await in_force(there, FRESH)
    async with there.gateway.guard.admit(there.admin.present(), ENROLL):
        pass
    there.clock.now += 901
    refusal = await refused(there, there.admin, ENROLL)
    assert isinstance(refusal, StepUpRequired)
    assert refusal.max_age == 900
    assert status_of(refusal) == 401
    challenge = headers_of(refusal)["WWW-Authenticate"]
    assert challenge.count('error="insufficient_user_authentication"') == 2
    assert challenge.count('max_age="900"') == 2
    assert "nomoat login" in sentence(refusal)
    assert "administration-needs-a-fresh-log-in" in sentence(refusal)
    (record,) = await there.gateway.log.read(f"record {refusal.record}")
    assert (record["decision"], record["max_age"]) == ("deny", 900)


@in_yard
async def test_what_only_a_permit_asks_for_is_told_as_well(there: Yard) -> None:
    await in_force(there.world, PERMITTED)
    there.world.clock.now += 100
    refusal = await refused(there.world, there.scientist, ReadLog("all", -1, 1))
    assert isinstance(refusal, StepUpRequired)
    assert refusal.max_age == 60


@in_world
async def test_what_is_looked_at_first_at_a_glance_is_looked_at_in_full_before_a_challenge(there: World) -> None:
    """At a glance the age is all that is in the way; the document then widens its author's rights."""
    await in_force(there, FRESH)
    there.clock.now += 901
    plain = await refused(there, there.admin, ApplyDirectory(DECLARATION, dry_run=True))
    assert isinstance(plain, StepUpRequired)
    widening = await refused(there, there.admin, ApplyDirectory(WIDENS, dry_run=True))
    assert not isinstance(widening, StepUpRequired)
    assert status_of(widening) == 403


@in_world
async def test_attack_a_challenge_for_who_would_be_denied_anyway(there: World) -> None:
    """The age policy applies to a workload too, but no log-in of its own makes it an administrator."""
    await there.declare(DECLARATION)
    ingest = await there.joined(PrincipalKind.WORKLOAD, "ingest")
    scientist = await there.joined(PrincipalKind.PERSON, "scientist")
    await in_force(there, FRESH)
    there.clock.now += 901
    for actor in (ingest, scientist):
        refusal = await refused(there, actor, ENROLL)
        assert not isinstance(refusal, StepUpRequired)
        assert headers_of(refusal) == {}
    # Forbidden by its own rights and by its age: the second alone is no challenge.
    bearer = await there.bearer(there.admin)
    with pytest.raises(NotPermitted) as unbound:
        async with there.gateway.guard.admit(there.admin.present(bearer, bound=False), ENROLL):
            pytest.fail("an unbound bearer administers")
    assert not isinstance(unbound.value, StepUpRequired)


@in_yard
async def test_attack_a_challenge_tells_nothing_of_what_may_not_be_known(there: Yard) -> None:
    """Who may not know of a repository now is answered as for a missing one, also if the age alone hides it."""
    assert await there.head(DIGITS, there.train)
    await in_force(there.world, '@id("a") forbid (principal, action, resource) when { context.auth_age > 900 };')
    there.world.clock.now += 901
    hidden = await refused(there.world, there.train, DescribeRepository(DIGITS, "main"))
    absent = await refused(there.world, there.train, DescribeRepository(UNDECLARED, "main"))
    assert (status_of(hidden), headers_of(hidden)) == (status_of(absent), headers_of(absent)) == (404, {})
    assert sentence(hidden).replace("digits", "nothing") == sentence(absent)


@in_yard
async def test_attack_an_upload_url_of_an_old_log_in_gets_no_challenge(there: Yard) -> None:
    """It is for one upload and of one session: no log-in makes it any younger."""
    await in_force(there.world, UPLOADS)
    secret = await there.grant(DIGITS, b"content")
    there.world.clock.now += 901
    with pytest.raises(NotPermitted) as refusal:
        await there.put(DIGITS, b"content", secret)
    assert not isinstance(refusal.value, StepUpRequired)


@in_yard
async def test_a_commit_of_many_files_is_asked_about_once_for_each_sort(there: Yard) -> None:
    await in_force(there.world, FRESH_WRITES)
    files = {f"open/{n}": b"x" for n in range(300)} | {f"{n}": b"x" for n in range(300)}
    there.world.clock.now += 31
    with pytest.raises(StepUpRequired) as refusal:
        await there.write(DIGITS, files)
    assert refusal.value.max_age == 30


@in_world
async def test_no_policy_about_the_age_no_question_about_it(there: World) -> None:
    """The starter policies read no age: a denial is decided once, as it always was."""
    assert "auth_age" not in there.gateway.policies.current.index.reads
    await in_force(there, FRESH)
    assert "auth_age" in there.gateway.policies.current.index.reads
