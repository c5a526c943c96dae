"""Datasets and models behind the guard: what must hold whoever asks, and each attack by its name."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nomoat.core.errors import (
    Conflict,
    Corrupt,
    Malformed,
    Misuse,
    NoMoatError,
    NotFound,
    NotPermitted,
    Refused,
    Revoked,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from nomoat.core.names import RepositoryName
from nomoat.core.operation import (
    Change,
    CreateRepository,
    DescribeFile,
    DescribeRepository,
    GrantUpload,
    ListFiles,
    Operation,
    PlanUpload,
    ReadFile,
    UploadBlob,
    WriteFile,
)
from nomoat.resources.repositories.resolution import MISSING, MOST_CHANGES
from nomoat.server.assembly import open_gateway
from tests.guard.world import Actor
from tests.resources.world import (
    DECLARATION,
    DIGITS,
    READER,
    SECRETS,
    UNDECLARED,
    Yard,
    body_of,
    digest_of,
    in_yard,
    yard,
)

BIG = bytes(range(256)) * 1024  # four segments
OPEN = '[[dataset]]\nname = "acme/digits"\nclassification = "internal"\n'
UNCREATED = DIGITS._replace(name="shelf")


def everything(name: RepositoryName) -> list[Operation]:
    """One of each operation that is about a repository that exists."""
    content = (("0" * 64, 1),)
    return [
        DescribeRepository(name, "main"),
        DescribeRepository(name, "no-such-branch"),
        DescribeRepository(name, "0" * 40),
        ListFiles(name, "main", ""),
        ListFiles(name, "main", "no/such/folder"),
        DescribeFile(name, "main", "data.csv"),
        DescribeFile(name, "main", "missing"),
        ReadFile(name, "main", "data.csv"),
        ReadFile(name, "no-such-branch", "data.csv", 5, 9),
        PlanUpload(name, "main", (("data.csv", 1),)),
        PlanUpload(name, "no-such-branch", ()),
        GrantUpload(name, content),
        UploadBlob(name, *content[0]),
        WriteFile(name, "main", (Change("data.csv", content=b"x"),), "t"),
        WriteFile(name, "no-such-branch", (Change("missing", removal=True),), "t", "0" * 40),
        WriteFile(name, "main", (Change("folder", removal=True, folder=True),), "t"),
    ]


async def refusal(there: Yard, operation: Operation, by: Actor) -> Refused:
    with pytest.raises(Refused) as refused:
        await there.permitted(operation, by)
    return refused.value


def said(error: Refused) -> tuple[type[Refused], str, str]:
    return type(error), error.reason, error.kind if isinstance(error, NotFound) else ""


# -- what may not be known --------------------------------------------------------------------------


@in_yard
async def test_a_hidden_repository_answers_like_one_that_is_not_there(there: Yard) -> None:
    await there.write(SECRETS, {"data.csv": b"1", "folder/a": b"2"})
    for by in (there.scientist, there.visitor):
        for hidden, undeclared, uncreated in zip(
            everything(SECRETS), everything(UNDECLARED), everything(UNCREATED), strict=True
        ):
            answers = [said(await refusal(there, each, by)) for each in (hidden, undeclared, uncreated)]
            assert answers == [(NotFound, MISSING, "repository")] * 3
        taken = said(await refusal(there, CreateRepository(SECRETS), by))
        assert taken == said(await refusal(there, CreateRepository(UNDECLARED), by))


@in_yard
async def test_whether_a_file_exists_is_told_to_who_may_read_it_and_to_nobody_else(there: Yard) -> None:
    await there.write(DIGITS, {"data.csv": b"1", "metrics.json": b"{}"})
    present = await refusal(there, ReadFile(DIGITS, "main", "data.csv"), there.scientist)
    absent = await refusal(there, ReadFile(DIGITS, "main", "other.csv"), there.scientist)
    assert type(present) is type(absent) is NotPermitted
    assert present.reason.replace("data.csv", "…") == absent.reason.replace("other.csv", "…")
    head = await there.head(DIGITS)
    with pytest.raises(NotFound) as missing:
        await there.read(DIGITS, "metrics.json/no", by=there.ingest)
    assert (missing.value.kind, missing.value.version) == ("entry", head)
    with pytest.raises(NotFound) as revision:
        await there.read(DIGITS, "metrics.json", by=there.scientist, revision="no-such-branch")
    assert revision.value.kind == "revision"


@in_yard
async def test_a_refusal_by_a_resource_names_the_record_of_its_opening(there: Yard) -> None:
    opened: list[int] = []
    with pytest.raises(NotFound) as missing:  # noqa: PT012  # the error leaves through the guard
        async with there.guard.admit(there.ingest.present(), DescribeFile(DIGITS, "main", "nothing")) as permit:
            opened.append(permit.receipt.index)
            there.reading.describe_file(permit)
    assert [missing.value.record] == opened


# -- reading ----------------------------------------------------------------------------------------


@in_yard
async def test_ranges_are_exact_bytes_of_the_content(there: Yard) -> None:
    await there.commit(DIGITS, replace(await there.upload(DIGITS, BIG), path="big"))
    await there.write(DIGITS, {"empty.txt": b""})
    size = len(BIG)
    for first, last, expected in [
        (None, None, BIG),
        (0, 0, BIG[:1]),
        (65535, 65536, BIG[65535:65537]),
        (100, None, BIG[100:]),
        (size - 1, size + 10, BIG[-1:]),
        (0, 1 << 60, BIG),
        (-1, None, BIG[-1:]),
        (-(1 << 60), None, BIG),
        (size, None, None),
        (1 << 62, 1 << 63, None),
    ]:
        async with (
            there.guard.admit(there.ingest.present(), ReadFile(DIGITS, "main", "big", first, last)) as permit,
            there.reading.read_file(permit) as content,
        ):
            parts = None if content.parts is None else b"".join(content.parts)
            assert parts == expected
            assert content.length == len(expected or b"")
            assert permit.bytes == len(expected or b"")
    for first in (0, -1):
        async with (
            there.guard.admit(there.ingest.present(), ReadFile(DIGITS, "main", "empty.txt", first)) as permit,
            there.reading.read_file(permit) as content,
        ):
            assert content.parts is None
    assert await there.read(DIGITS, "empty.txt") == b""


@in_yard
async def test_a_flipped_byte_in_a_stored_blob_is_never_served(there: Yard) -> None:
    await there.commit(DIGITS, replace(await there.upload(DIGITS, BIG), path="big"))
    blob = there.blob_of(DIGITS, "big")
    sound = blob.read_bytes()
    for position in (0, 50, len(sound) // 2, len(sound) - 1):
        blob.write_bytes(sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :])
        got: list[bytes] = []
        with pytest.raises(Corrupt):
            await there.read_into(got, DIGITS, "big")
        assert BIG.startswith(b"".join(got))
        assert sum(map(len, got)) < len(BIG)
    blob.unlink()
    with pytest.raises(Corrupt):
        await there.read(DIGITS, "big")


@in_yard
async def test_swapping_two_blobs_ciphertexts_is_found(there: Yard) -> None:
    for path, content in (("a", BIG), ("b", BIG[::-1])):
        await there.commit(DIGITS, replace(await there.upload(DIGITS, content), path=path))
    a, b = there.blob_of(DIGITS, "a"), there.blob_of(DIGITS, "b")
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    for path in ("a", "b"):
        with pytest.raises(Corrupt):
            await there.read(DIGITS, path)


@in_yard
async def test_a_revocation_in_mid_download_ends_it_before_the_next_part(there: Yard) -> None:
    await there.commit(DIGITS, replace(await there.upload(DIGITS, BIG), path="big"))
    got: list[bytes] = []
    halfway = asyncio.Event()

    async def download() -> None:
        async with (
            there.guard.admit(there.train.present(), ReadFile(DIGITS, "main", "big")) as permit,
            there.reading.read_file(permit) as content,
        ):
            for part in content.parts or ():
                got.append(part)
                halfway.set()
                await asyncio.sleep(0.01)

    task = asyncio.create_task(download())
    await halfway.wait()
    await there.world.revoke("workload", "train")
    received = len(got)
    with pytest.raises(Revoked):
        await task
    assert len(got) == received < 4


@in_yard
async def test_what_is_declared_of_a_file_holds_for_the_next_who_reads_it(there: Yard) -> None:
    await there.write(DIGITS, {"metrics.json": b"old"})
    assert await there.read(DIGITS, "metrics.json", by=there.scientist) == b"old"
    stricter = DECLARATION.replace('labels = ["metrics"], classification = "internal"', 'labels = ["metrics"]')
    await there.world.declare(stricter)
    with pytest.raises(NotPermitted):
        await there.read(DIGITS, "metrics.json", by=there.scientist)
    await there.world.declare(DECLARATION)
    assert await there.read(DIGITS, "metrics.json", by=there.scientist) == b"old"


# -- races ------------------------------------------------------------------------------------------


@in_yard
async def test_a_file_replaced_while_its_decision_is_recorded_is_served_as_it_was_recorded(there: Yard) -> None:
    first = await there.write(DIGITS, {"metrics.json": b"old"})
    entered, resume = asyncio.Event(), asyncio.Event()

    async def read() -> tuple[str, bytes]:
        async with there.guard.admit(there.scientist.present(), ReadFile(DIGITS, "main", "metrics.json")) as permit:
            entered.set()
            await resume.wait()
            async with there.reading.read_file(permit) as content:
                return content.found.commit, b"".join(content.parts or ())

    task = asyncio.create_task(read())
    await entered.wait()
    await there.write(DIGITS, {"metrics.json": b"new"})
    resume.set()
    assert await task == (first, b"old")
    assert await there.read(DIGITS, "metrics.json", by=there.scientist) == b"new"


@in_yard
async def test_a_file_replaced_during_the_record_s_sync_is_read_whole_in_one_version(there: Yard) -> None:
    await there.write(DIGITS, {"metrics.json": b"old", "data.csv": b"old"})
    there.world.disk.hold()
    reading = asyncio.create_task(there.read(DIGITS, "metrics.json", by=there.scientist))
    await there.world.disk.reached()
    writing = asyncio.create_task(there.write(DIGITS, {"metrics.json": b"new"}))
    there.world.disk.release()
    await writing
    assert await reading in {b"old", b"new"}


@in_yard
async def test_a_label_changed_while_the_decision_is_recorded_is_obeyed(there: Yard) -> None:
    await there.write(DIGITS, {"metrics.json": b"{}"})
    there.world.disk.hold()
    task = asyncio.create_task(there.read(DIGITS, "metrics.json", by=there.scientist))
    await there.world.disk.reached()
    declarations = there.world.gateway.declarations
    stricter = replace(declarations.current.repositories[DIGITS], files=())
    repositories = {**declarations.current.repositories, DIGITS: stricter}
    # As if it had been applied; a real one would wait for the same disk.
    declarations._swap(
        replace(declarations.current, generation=declarations.current.generation + 1, repositories=repositories)
    )
    there.world.disk.release()
    with pytest.raises(Refused):
        await task


@in_yard
async def test_of_two_commits_that_name_their_parent_one_is_told_to_look_again(there: Yard) -> None:
    parent = await there.write(DIGITS, {"a.txt": b"0"})
    both = await asyncio.gather(
        *(there.commit(DIGITS, Change(name, content=b"1"), parent=parent) for name in ("a.txt", "b.txt")),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in both) == ["Conflict", "str"]


@in_yard
async def test_commits_to_different_files_at_once_all_succeed(there: Yard) -> None:
    await asyncio.gather(*(there.write(DIGITS, {f"{number}.txt": b"%d" % number}) for number in range(8)))
    for number in range(8):
        assert await there.read(DIGITS, f"{number}.txt") == b"%d" % number


@in_yard
async def test_commits_of_others_refuse_nobody(there: Yard) -> None:
    await there.write(DIGITS, {"metrics.json": b"{}"})

    async def write(writer: int) -> None:
        for number in range(5):
            await there.write(DIGITS, {f"{writer}/{number}.txt": b"x"})

    async def read() -> None:
        for _ in range(30):
            assert await there.read(DIGITS, "metrics.json", by=there.scientist) == b"{}"

    await asyncio.gather(*(write(number) for number in range(8)), *(read() for _ in range(8)))


# -- writing: oid theft and laundering ----------------------------------------------------------------


@in_yard
async def test_oid_theft_a_content_of_another_repository_cannot_be_committed(there: Yard) -> None:
    stolen = await there.upload(SECRETS, BIG)
    never = Change("x", digest=digest_of(b"never"), size=5)
    answers = []
    for change in (replace(stolen, path="x"), never):
        with pytest.raises(Malformed) as refused:
            await there.commit(READER, change, by=there.train)
        answers.append(refused.value.reason.replace(change.digest[:12], "…"))
    assert answers[0] == answers[1]


@in_yard
async def test_existence_oracle_uploads_of_others_are_asked_for_like_new_ones(there: Yard) -> None:
    await there.upload(SECRETS, BIG)
    await there.upload(DIGITS, BIG)
    assert await there.grant(READER, BIG, by=there.train)  # another repository, another sender
    assert await there.grant(DIGITS, b"new")
    assert not await there.grant(DIGITS, BIG)  # who has sent it here is not asked again
    await there.world.declare(OPEN)
    other = await there.low_ingestion()
    assert await there.grant(DIGITS, BIG, by=other)  # the same repository, another sender


@in_yard
async def test_laundering_a_digest_from_a_listing_gives_no_path_with_other_labels(there: Yard) -> None:
    low = await there.low_ingestion()
    await there.commit(DIGITS, replace(await there.upload(DIGITS, BIG), path="data/raw.bin"))
    with pytest.raises(NotPermitted):
        await there.read(DIGITS, "data/raw.bin", by=low)
    copied = Change("open/copy.bin", digest=digest_of(BIG), size=len(BIG))
    with pytest.raises(Malformed):
        await there.commit(DIGITS, copied, by=low)
    with pytest.raises(Malformed):
        await there.commit(DIGITS, replace(copied, size=-1), by=low)


@in_yard
async def test_two_repositories_with_the_same_content_do_not_share_a_blob(there: Yard) -> None:
    for name in (DIGITS, SECRETS):
        await there.commit(name, replace(await there.upload(name, BIG), path="big"))
    one, other = there.blob_of(DIGITS, "big"), there.blob_of(SECRETS, "big")
    assert one != other
    assert one.read_bytes() != other.read_bytes()
    one.unlink()
    assert await there.read(SECRETS, "big") == BIG


@in_yard
async def test_a_content_sent_by_two_is_stored_once_and_both_may_commit_it(there: Yard) -> None:
    await there.world.declare(OPEN)
    low = await there.low_ingestion()
    for by in (there.ingest, low):
        await there.commit(DIGITS, replace(await there.upload(DIGITS, BIG, by=by), path=f"{by.session}.bin"), by=by)
        await there.write(DIGITS, {f"{by.session}.txt": b"inline"}, by=by)
    assert len(list((there.world.directory / "objects").glob("??/*"))) == 2


# -- writing: capabilities ----------------------------------------------------------------------------


@in_yard
async def test_an_upload_url_works_once(there: Yard) -> None:
    secret = await there.grant(DIGITS, BIG)
    await there.put(DIGITS, BIG, secret)
    with pytest.raises(Unauthenticated) as refused:
        await there.put(DIGITS, BIG, secret)
    assert refused.value.kind == "capability"


@in_yard
async def test_an_upload_url_is_for_one_content_of_one_repository(there: Yard) -> None:
    secret = await there.grant(DIGITS, BIG)
    for name, content in ((DIGITS, b"other"), (SECRETS, BIG), (DIGITS, BIG[:-1])):
        with pytest.raises(NotPermitted):
            await there.put(name, content, secret)
    for operation in (ReadFile(DIGITS, "main", "metrics.json"), ListFiles(DIGITS, "main", "")):
        with pytest.raises(NotPermitted):
            async with there.guard.admit(there.by_url(secret), operation):
                pass
    await there.put(DIGITS, BIG, secret)


@in_yard
async def test_an_upload_url_dies_with_its_session_and_a_late_body_is_refused(there: Yard) -> None:
    secrets = [await there.grant(DIGITS, content) for content in (BIG, b"small")]
    arrived, resume = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield BIG[:100]
        arrived.set()
        await resume.wait()
        yield BIG[100:]

    task = asyncio.create_task(there.put(DIGITS, BIG, secrets[0], slow()))
    await arrived.wait()
    await there.world.revoke("session", there.ingest.session)
    resume.set()
    with pytest.raises(Revoked):
        await task
    with pytest.raises(Unauthenticated):
        await there.put(DIGITS, b"small", secrets[1])
    created = there.catalog.find(DIGITS)
    assert created
    assert there.catalog.sent(created.id, "workload:ingest", [digest_of(BIG), digest_of(b"small")]) == {}
    assert list((there.world.directory / "objects" / "incoming").iterdir()) == []


@in_yard
async def test_an_upload_is_decided_again_when_its_url_is_used(there: Yard) -> None:
    secret = await there.grant(SECRETS, BIG)
    await there.world.declare('[[workload]]\nname = "ingest"\nsegment = "ingestion"\nclearance = "internal"\n')
    with pytest.raises(NotFound):  # restricted, and now above its clearance
        await there.put(SECRETS, BIG, secret)


@in_yard
async def test_a_body_that_is_not_the_announced_content_leaves_nothing_and_may_be_sent_again(there: Yard) -> None:
    secret = await there.grant(DIGITS, BIG)
    for body in ((BIG[:-1],), (BIG, b"x"), (), (BIG[:-1] + b"\x00",), (BIG[::-1],)):
        with pytest.raises(Malformed):
            await there.put(DIGITS, BIG, secret, body_of(*body))
    assert [path for path in (there.world.directory / "objects").rglob("*") if path.is_file()] == []
    await there.put(DIGITS, BIG, secret, body_of(BIG[:7], BIG[7:100_000], BIG[100_000:]))
    await there.commit(DIGITS, Change("big", digest=digest_of(BIG), size=len(BIG)))
    assert await there.read(DIGITS, "big") == BIG


@in_yard
async def test_an_upload_url_cannot_grant_further_ones(there: Yard) -> None:
    secret = await there.grant(DIGITS, BIG)
    with pytest.raises(NotPermitted):
        async with there.guard.admit(there.by_url(secret), GrantUpload(DIGITS, ((digest_of(BIG), len(BIG)),))):
            pass


# -- writing: commits -----------------------------------------------------------------------------------


@in_yard
async def test_every_file_of_a_commit_is_decided_on_its_own_labels(there: Yard) -> None:
    low = await there.low_ingestion()
    before = await there.write(DIGITS, {"open/a.txt": b"1", "open/b.txt": b"1", "metrics.json": b"1", "raw.csv": b"1"})
    for changes in (
        [Change("open/a.txt", content=b"2"), Change("raw.csv", content=b"2")],
        [Change("open/a.txt", content=b"2"), Change("raw.csv", removal=True)],
        [Change("open/a.txt", content=b"2"), Change("new.csv", content=b"2")],
    ):
        with pytest.raises(NotPermitted):
            await there.commit(DIGITS, *changes, by=low)
    assert await there.head(DIGITS) == before
    await there.commit(DIGITS, Change("metrics.json", content=b"2"), Change("open", removal=True, folder=True), by=low)
    with pytest.raises(NotFound):
        await there.read(DIGITS, "open/a.txt")
    assert await there.read(DIGITS, "metrics.json") == b"2"
    assert await there.read(DIGITS, "raw.csv") == b"1"


@in_yard
async def test_removing_a_folder_needs_the_right_to_every_file_in_it(there: Yard) -> None:
    await there.world.declare(
        '[[dataset]]\nname = "acme/digits"\nclassification = "internal"\n'
        'files = [{ path = "mix/raw.csv", classification = "restricted" }]\n'
    )
    low = await there.low_ingestion()
    await there.write(DIGITS, {"mix/a.txt": b"1", "mix/raw.csv": b"1"})
    folder = Change("mix", removal=True, folder=True)
    with pytest.raises(NotPermitted):
        await there.commit(DIGITS, folder, by=low)
    await there.commit(DIGITS, Change("mix/raw.csv", removal=True))
    await there.commit(DIGITS, folder, by=low)


@in_yard
async def test_a_commit_that_changes_nothing_makes_no_revision(there: Yard) -> None:
    head = await there.write(DIGITS, {"a.txt": b"1"})
    assert await there.write(DIGITS, {"a.txt": b"1"}) == head
    stored = sum(1 for _ in (there.world.directory / "objects").glob("??/*"))
    assert stored == 1


@in_yard
async def test_commits_that_contradict_themselves_or_what_is_there(there: Yard) -> None:
    await there.write(DIGITS, {"a/b.txt": b"1", "c": b"1"})
    file = Change("", content=b"2")
    for changes, error in (
        ([replace(file, path="x"), replace(file, path="x")], Malformed),
        ([], Malformed),
        ([replace(file, path=f"{number}") for number in range(MOST_CHANGES + 1)], Malformed),
        ([replace(file, path="a")], Conflict),
        ([replace(file, path="c/d")], Conflict),
        ([replace(file, path="x"), replace(file, path="x/y")], Conflict),
        ([Change("nothing", removal=True)], NotFound),
        ([Change("c", removal=True, folder=True)], NotFound),
    ):
        with pytest.raises(error):
            await there.commit(DIGITS, *changes)
    # What it sets wins over what it removes: a folder replaced by a file of its name, and the other way.
    await there.commit(DIGITS, Change("a", removal=True, folder=True), replace(file, path="a"))
    await there.commit(DIGITS, Change("c", removal=True), replace(file, path="c/d"))
    assert (await there.read(DIGITS, "a"), await there.read(DIGITS, "c/d")) == (b"2", b"2")


@in_yard
async def test_a_folder_with_too_many_files_to_decide_on_is_not_removed(there: Yard) -> None:
    for start in (0, MOST_CHANGES):
        files = {f"many/{number}.txt": b"" for number in range(start, start + MOST_CHANGES)}
        await there.write(DIGITS, files)
    with pytest.raises(TooLarge):
        await there.commit(DIGITS, Change("many", removal=True, folder=True))


@in_yard
async def test_a_repository_is_created_once_and_only_when_declared(there: Yard) -> None:
    with pytest.raises(Conflict):
        await there.create(DIGITS)
    with pytest.raises(NotFound):
        await there.create(UNDECLARED)
    with pytest.raises(NotPermitted):
        await there.create(DIGITS, by=there.scientist)
    await there.world.declare('[[dataset]]\nname = "acme/digits"\nremove = true\n')
    with pytest.raises(NotFound) as gone:
        await there.head(DIGITS)
    assert gone.value.reason == MISSING


@in_yard
async def test_when_the_state_fails_nothing_is_committed_and_the_caller_may_try_again(there: Yard) -> None:
    head = await there.write(DIGITS, {"a.txt": b"1"})
    there.catalog._state._closed = True
    with pytest.raises(Unavailable):
        await there.write(DIGITS, {"a.txt": b"2"})
    there.catalog._state._closed = False
    assert await there.head(DIGITS) == head
    await there.write(DIGITS, {"a.txt": b"2"})


@in_yard
async def test_a_permit_for_one_file_reads_no_other(there: Yard) -> None:
    await there.write(DIGITS, {"metrics.json": b"{}", "data.csv": b"1"})
    async with there.guard.admit(there.scientist.present(), ReadFile(DIGITS, "main", "metrics.json")) as permit:
        async with there.reading.read_file(permit) as content:
            assert b"".join(content.parts or ()) == b"{}"
        with pytest.raises(Misuse):
            async with there.reading.read_file(permit):
                pass
    with pytest.raises(NoMoatError):
        async with there.reading.read_file(permit):
            pass


def test_a_blob_that_a_crash_left_without_a_row_is_removed_at_the_next_start(tmp_path: Path) -> None:
    async def play() -> None:
        async with yard(tmp_path) as there:
            await there.write(DIGITS, {"a.txt": b"1"})
            kept = there.blob_of(DIGITS, "a.txt")
            directory, gateway = there.world.directory, there.world.gateway
        stray, foreign = kept.parent / kept.parent.name.ljust(32, "0"), kept.parent / "notes.txt"
        stray.write_bytes(b"x")
        foreign.write_bytes(b"x")
        async with open_gateway(directory, gateway.configuration, gateway.clock):
            assert set(kept.parent.iterdir()) == {kept, foreign}

    asyncio.run(play())
