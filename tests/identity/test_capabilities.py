"""Upload capabilities: one exact content, once, while the session lives."""

import pytest

from nomoat.core.connection import Capability
from nomoat.core.errors import Conflict, Misuse, TooLarge
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import UploadBlob
from nomoat.core.principal import Binding
from nomoat.identity import capabilities
from tests.identity.world import World, scenario

DIGITS = RepositoryName(RepositoryKind.DATASET, "acme", "digits")
UPLOAD = UploadBlob(DIGITS, "ab" * 32, 100)


@scenario
async def test_a_capability_is_confined_to_its_one_operation(world: World) -> None:
    train = await world.join("train")
    for how, binding in (
        (world.certified(train), Binding.MTLS),
        (world.authenticate(world.token(train)), Binding.NONE),
    ):
        secret = world.identity.grant_upload(how, UPLOAD)
        who = world.authenticate(Capability(secret))
        assert (who.name, who.session, who.identifier) == ("train", train.issued.session, train.issued.spiffe_id)
        assert (who.binding, who.obtained, who.confined_to) == (Binding.CAPABILITY, binding, UPLOAD)
        assert secret not in repr(Capability(secret)) + repr(who)


@scenario
async def test_capability_for_another_blob(world: World) -> None:
    train = world.certified(await world.join("train"))
    who = world.authenticate(Capability(world.identity.grant_upload(train, UPLOAD)))
    for other in (
        UploadBlob(DIGITS, "cd" * 32, 100),
        UploadBlob(DIGITS, "ab" * 32, 101),
        UploadBlob(RepositoryName(RepositoryKind.MODEL, "acme", "digits"), "ab" * 32, 100),
        UploadBlob(RepositoryName(RepositoryKind.DATASET, "acme", "other"), "ab" * 32, 100),
    ):
        assert who.confined_to != other


@scenario
async def test_capability_reuse(world: World) -> None:
    train = world.certified(await world.join("train"))
    secret, twin = (world.identity.grant_upload(train, UPLOAD) for _ in range(2))
    other = world.identity.grant_upload(train, UploadBlob(DIGITS, "cd" * 32, 1))
    who, late = world.authenticate(Capability(secret)), world.authenticate(Capability(twin))
    assert world.authenticate(Capability(secret)) == who  # a failed upload may be tried again
    world.identity.consume_upload(who)
    for spent in (secret, twin):
        assert world.refusal(Capability(spent)).kind == "capability"
    with pytest.raises(Conflict):
        world.identity.consume_upload(late)
    assert world.authenticate(Capability(other)).name == "train"


@scenario
async def test_a_capability_dies_with_its_session_its_hour_and_the_process(world: World) -> None:
    train = await world.join("train")
    issue = world.identity.grant_upload
    revoked = Capability(issue(world.certified(train), UPLOAD))
    await world.identity.revoke("session", train.issued.session)
    assert world.refusal(revoked).kind == "capability"
    assert len(world.identity.capabilities) == 0
    train = await world.join("train")
    old = Capability(issue(world.certified(train), UPLOAD))
    world.now += 1800
    train = await world.renew(train)
    world.now += 1800
    assert world.refusal(old).kind == "capability"
    fresh = Capability(issue(world.certified(train), UPLOAD))
    assert world.authenticate(fresh).name == "train"
    assert len(world.identity.capabilities) == 1  # the old one was forgotten
    world.now += 1800
    assert world.refusal(fresh).kind == "ended"
    world.now -= 1800
    world.restart()
    forgotten = world.refusal(fresh)
    assert forgotten.kind == "capability"
    assert forgotten.reason.endswith("forgotten in a restart; run the upload again")


@scenario
async def test_a_guess_is_refused(world: World) -> None:
    for guess in ("", "x", "\ud800", "A" * 43):
        assert world.refusal(Capability(guess)).kind == "capability"


@scenario
async def test_they_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "PER_SESSION", 2)
    monkeypatch.setattr(capabilities, "TOGETHER", 3)
    one, other = world.certified(await world.join("train")), world.certified(await world.join("train"))
    issue = world.identity.grant_upload
    issue(one, UPLOAD)
    issue(one, UPLOAD)
    with pytest.raises(TooLarge):
        issue(one, UPLOAD)
    issue(other, UPLOAD)
    with pytest.raises(TooLarge):
        issue(other, UPLOAD)


@scenario
async def test_no_capability_begets_another(world: World) -> None:
    train = world.certified(await world.join("train"))
    who = world.authenticate(Capability(world.identity.grant_upload(train, UPLOAD)))
    with pytest.raises(Misuse):
        world.identity.grant_upload(who, UPLOAD)
    with pytest.raises(Misuse):
        world.identity.consume_upload(train)
