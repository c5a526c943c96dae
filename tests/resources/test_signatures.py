"""Signatures of models: what the gateway signed is what is served, and nothing of it before all of it verified."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select, update

from nomoat.attestation.errors import NotVerified
from nomoat.attestation.manifest import Manifest
from nomoat.attestation.model_signature import FILE_NAME, verify_bundle
from nomoat.attestation.signer import gateway_signer
from nomoat.attestation.summary import verify_summary
from nomoat.core.errors import Conflict, Corrupt, NoMoatError, NotFound, NotPermitted
from nomoat.core.operation import Change
from nomoat.core.principal import PrincipalKind
from nomoat.stores.revisions import Snapshot
from nomoat.stores.state.schema import change, stage
from tests.resources.test_lifecycle import WEIGHTS, Parts, parts_of
from tests.resources.world import DIGITS, READER, Yard, in_yard

LARGE = b"0123456789abcdef" * 32_768  # half a mebibyte: several segments


def newest(there: Yard) -> Snapshot:
    created = there.catalog.find(WEIGHTS)
    assert created
    found = there.catalog.head(created, "main")
    assert found
    return found


def digests(snapshot: Snapshot) -> dict[str, str]:
    return {path: file.digest for path, file in snapshot.files.items() if path != FILE_NAME}


def alter(path: Path, at: int) -> None:
    """Change one byte, and nothing else that one could tell by its name or size."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


async def tamper(there: Yard, done: Callable[[Connection], object]) -> None:
    """Change the state as somebody would who has its key, and have it read again."""
    await there.catalog._state.write(done)
    there.catalog.forget_files()


async def approved(there: Yard) -> tuple[Parts, str]:
    parts = await parts_of(there)
    commit = await parts.publish(LARGE)
    await parts.approve(commit, parts.anna)
    assert await parts.served() == LARGE
    return parts, commit


@in_yard
async def test_a_model_is_published_with_a_signature_over_all_its_files(there: Yard) -> None:
    await parts_of(there)
    for files in ({"weights.txt": b"one", "config.json": b"{}"}, {"weights.txt": b"two"}, {"sub/more.txt": b"three"}):
        await there.write(WEIGHTS, files, by=there.train)
        head = newest(there)
        bundle = await there.read(WEIGHTS, FILE_NAME, by=there.train, revision=head.revision.id)
        trusted = there.world.gateway.lifecycle._signatures.signatory.trusted
        signed = verify_bundle(bundle, trusted, digests(head), int(head.revision.at))
        assert (signed.name, signed.signer.spiffe_id) == (str(WEIGHTS), gateway_signer("acme.example"))
        assert signed.publisher is not None
        assert signed.publisher.subject == there.train.subject
    assert sorted(digests(newest(there))) == ["config.json", "sub/more.txt", "weights.txt"]


@in_yard
async def test_an_approval_leaves_a_signed_summary(there: Yard) -> None:
    parts, commit = await approved(there)
    standing, signatory = there.catalog.standing(commit), there.world.gateway.lifecycle._signatures.signatory
    manifest = Manifest.of(digests(newest(there)).items())
    address = f"nomoat://acme.example/model/{WEIGHTS}@{commit}"
    _, said = verify_summary(standing.statement, signatory.trusted, manifest, address, int(standing.at))
    assert (said.promoted_by, said.checks, said.passed) == ((parts.anna.subject,), ("looked",), True)
    assert said.policy.digest == {"sha256": there.world.gateway.policies.current.digest.removeprefix("sha256:")}


@in_yard
async def test_what_a_client_sends_as_the_signature_is_not_kept(there: Yard) -> None:
    parts = await parts_of(there)
    await there.write(WEIGHTS, {"weights.txt": b"one", FILE_NAME: b'{"forged": true}'}, by=there.train)
    assert b"forged" not in await there.read(WEIGHTS, FILE_NAME, by=there.train, revision="candidate")
    head = newest(there).revision.id
    assert await there.write(WEIGHTS, {FILE_NAME: b"{}"}, by=there.train) == head  # it changes nothing
    assert await there.commit(WEIGHTS, Change(FILE_NAME, removal=True), by=there.train) == head
    with pytest.raises(Conflict, match="no folder"):
        await there.write(WEIGHTS, {f"{FILE_NAME}/x.txt": b"x"}, by=there.train)
    await parts.approve(head, parts.anna)
    assert await parts.served() == b"one"


@in_yard
async def test_a_model_without_files_has_no_signature_and_a_dataset_has_none(there: Yard) -> None:
    await parts_of(there)
    await there.write(WEIGHTS, {"a.txt": b"1"}, by=there.train)
    await there.commit(WEIGHTS, Change("a.txt", removal=True), by=there.train)
    assert dict(newest(there).files) == {}
    await there.write(DIGITS, {FILE_NAME: b'{"mine": 1}'})
    assert await there.read(DIGITS, FILE_NAME) == b'{"mine": 1}'


@in_yard
async def test_commits_at_the_same_time_are_all_signed(there: Yard) -> None:
    parts = await parts_of(there)
    await asyncio.gather(*(parts.publish(b"%d" % number, path=f"{number}.txt") for number in range(6)))
    head = newest(there)
    assert len(digests(head)) == 6
    await parts.approve(head.revision.id, parts.anna)
    assert [await parts.served(f"{number}.txt") for number in range(6)] == [b"%d" % number for number in range(6)]


@in_yard
async def test_a_version_that_is_not_signed_is_not_served_until_it_is(there: Yard) -> None:
    parts, commit = await approved(there)
    gone = delete(change).where(change.c.revision == commit, change.c.path == FILE_NAME)
    await tamper(there, lambda connection: connection.execute(gone))
    with pytest.raises(NotPermitted, match="is not signed"):
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy)
    again = await parts.publish(LARGE)
    assert again != commit
    await parts.approve(again, parts.anna)
    assert await parts.served() == LARGE


# -- Attacks: something is changed behind the gateway's back ---------------------------------------------


@in_yard
@pytest.mark.parametrize("where", [50, 70_000, 300_000, -1])
async def test_a_byte_flipped_in_the_weights(there: Yard, where: int) -> None:
    parts, _ = await approved(there)
    alter(there.blob_of(WEIGHTS, "weights.txt"), where)
    read: list[bytes] = []
    with pytest.raises(Corrupt):
        await there.read_into(read, WEIGHTS, "weights.txt", by=parts.deploy)
    assert read == []  # although the first segments are good


@in_yard
async def test_a_byte_flipped_in_the_signature(there: Yard) -> None:
    parts, _ = await approved(there)
    alter(there.blob_of(WEIGHTS, FILE_NAME), 60)
    with pytest.raises(Corrupt):
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy)


@in_yard
async def test_another_content_in_the_manifest(there: Yard) -> None:
    parts, commit = await approved(there)
    other = await parts.publish(b"other", path="other.txt")
    theirs = select(change.c.blob).where(change.c.revision == other, change.c.path == "other.txt").scalar_subquery()
    swap = update(change).where(change.c.revision == commit, change.c.path == "weights.txt").values(blob=theirs)
    await tamper(there, lambda connection: connection.execute(swap))
    with pytest.raises(NotVerified, match=r"weights\.txt"):
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy)


@in_yard
async def test_the_signature_of_another_version(there: Yard) -> None:
    parts, commit = await approved(there)
    other = await parts.publish(b"other")
    theirs = select(change.c.blob).where(change.c.revision == other, change.c.path == FILE_NAME).scalar_subquery()
    swap = update(change).where(change.c.revision == commit, change.c.path == FILE_NAME).values(blob=theirs)
    await tamper(there, lambda connection: connection.execute(swap))
    with pytest.raises(NotVerified, match=r"weights\.txt"):
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy)


@in_yard
@pytest.mark.parametrize("how", ["missing", "flipped", "of another version", "another approver's"])
async def test_a_summary_that_is(there: Yard, how: str) -> None:
    parts, commit = await approved(there)
    statement = there.catalog.standing(commit).statement
    if how == "missing":
        forged = b""
    elif how == "flipped":
        document = json.loads(statement)
        payload = document["dsseEnvelope"]["payload"]
        document["dsseEnvelope"]["payload"] = payload[:100] + ("A" if payload[100] != "A" else "B") + payload[101:]
        forged = json.dumps(document).encode()
    else:
        other = await parts.publish(b"other")
        await parts.approve(other, parts.anna)
        forged = there.catalog.standing(other).statement
        await parts.withdraw(other, parts.anna)
    swap = update(stage).where(stage.c.revision == commit, stage.c.subject == parts.anna.subject)
    subject = {"subject": "person:nobody"} if how == "another approver's" else {}
    await tamper(there, lambda connection: connection.execute(swap.values(statement=forged, **subject)))
    with pytest.raises(NoMoatError) as refused:
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy)
    assert not isinstance(refused.value, NotFound)


@in_yard
async def test_a_stage_that_was_changed_in_the_state(there: Yard) -> None:
    """Who can write to the state approves nothing with it: what nobody signed a summary of is not served."""
    parts = await parts_of(there)
    commit = await parts.publish(LARGE)
    swap = update(stage).where(stage.c.revision == commit).values(stage="approved", subject="person:anna")
    await tamper(there, lambda connection: connection.execute(swap))
    with pytest.raises(Corrupt):
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy, revision=commit)


@in_yard
async def test_a_file_that_lies_there_anew_is_verified_again_and_served(there: Yard) -> None:
    parts, _ = await approved(there)
    path = there.blob_of(WEIGHTS, "weights.txt")
    content = path.read_bytes()
    alter(path, 70_000)
    with pytest.raises(Corrupt):
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy)
    path.write_bytes(content)  # put back from a copy
    assert await parts.served() == LARGE


@in_yard
async def test_a_link_in_the_place_of_a_file_is_none(there: Yard) -> None:
    """What lies behind a link can change while the link does not."""
    parts, _ = await approved(there)
    path = there.blob_of(WEIGHTS, "weights.txt")
    elsewhere = there.world.directory / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    read: list[bytes] = []
    with pytest.raises(Corrupt):
        await there.read_into(read, WEIGHTS, "weights.txt", by=parts.deploy)
    alter(elsewhere, 300_000)
    with pytest.raises(Corrupt):
        await there.read_into(read, WEIGHTS, "weights.txt", by=parts.deploy)
    assert read == []


@in_yard
async def test_a_byte_that_is_flipped_while_it_is_stored_who_reads(there: Yard) -> None:
    """Between the verification and the first byte, who reads is made durable: that takes as long as it takes."""
    await approved(there)
    second = await there.world.joined(PrincipalKind.WORKLOAD, "deploy")  # whose session has read nothing yet
    held, waiting = threading.Event(), threading.Event()

    def wait(_: Connection) -> None:
        waiting.set()
        held.wait(30)

    writing = asyncio.ensure_future(there.catalog._state.write(wait, followed=False))
    await asyncio.to_thread(waiting.wait)
    read: list[bytes] = []
    reading = asyncio.ensure_future(there.read_into(read, WEIGHTS, "weights.txt", by=second))
    while not there.catalog.lineage._pending:  # noqa: ASYNC110 - nothing tells that it has come to where it is stored
        await asyncio.sleep(0)
    alter(there.blob_of(WEIGHTS, "weights.txt"), 300_000)
    held.set()
    with pytest.raises(Corrupt):
        await reading
    await writing
    assert read == []


@in_yard
async def test_downloads_at_the_same_time_wait_for_one_verification(there: Yard) -> None:
    parts = await parts_of(there)
    commit = await parts.publish(LARGE)
    await parts.approve(commit, parts.anna)
    assert await asyncio.gather(*(parts.served() for _ in range(5))) == [LARGE] * 5


@in_yard
async def test_without_review_what_is_served_is_signed_too(there: Yard) -> None:
    await there.write(READER, {"weights.txt": LARGE}, by=there.train)
    assert await there.read(READER, "weights.txt", by=there.train) == LARGE
    alter(there.blob_of(READER, "weights.txt"), 70_000)
    with pytest.raises(Corrupt):
        await there.read(READER, "weights.txt", by=there.train)
