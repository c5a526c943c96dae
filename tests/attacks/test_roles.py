"""Attacks from within: what a role of the starter policies can reach by a detour."""

import pytest

from nomoat.core.errors import NotFound, NotPermitted, Refused
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import (
    CreateRepository,
    DescribeFile,
    GrantUpload,
    ListFiles,
    PlanUpload,
    ReadFile,
    UploadBlob,
)
from nomoat.core.principal import PrincipalKind
from tests.resources.world import DIGITS, SECRETS, Yard, digest_of, in_yard

SHELF = RepositoryName(RepositoryKind.DATASET, "acme", "shelf")
RESTRICTED_SHELF = """
[[dataset]]
name = "acme/shelf"
classification = "restricted"
"""


@in_yard
async def test_attack_an_upload_url_of_a_plain_bearer_ends_when_its_repository_is_restricted(there: Yard) -> None:
    """A copied bearer could store into what no bearer may touch, for an hour after it was restricted."""
    await there.create(SHELF)
    wanted = GrantUpload(SHELF, ((digest_of(b"x"), 1),))
    plain = there.ingest.present(await there.world.bearer(there.ingest), bound=False)
    async with there.guard.admit(plain, wanted) as permit:
        (granted,) = there.writing.grant_upload(permit)
    bound = await there.grant(SHELF, b"y")
    await there.world.declare(RESTRICTED_SHELF)
    with pytest.raises((NotPermitted, NotFound)):
        await there.put(SHELF, b"x", granted.secret)
    await there.put(SHELF, b"y", bound)


@in_yard
async def test_attack_a_scientist_reaches_no_raw_byte_by_any_way_of_asking(there: Yard) -> None:
    """Ranges, descriptions, older revisions, uploads, plans: only the listing, which is theirs, says anything."""
    await there.write(DIGITS, {"raw.csv": b"secret rows", "metrics.json": b"{}"})
    old = await there.head(DIGITS)
    await there.write(DIGITS, {"raw.csv": b"other rows"})
    attempts = [
        *(ReadFile(DIGITS, revision, "raw.csv", first, last) for revision in ("main", old) for first, last in [(None, None), (0, 0), (-1, None), (99, None)]),
        DescribeFile(DIGITS, "main", "raw.csv"),
        DescribeFile(DIGITS, old, "raw.csv"),
        ReadFile(DIGITS, "main", "absent.csv"),
        GrantUpload(DIGITS, ((digest_of(b"secret rows"), 11),)),
        UploadBlob(DIGITS, digest_of(b"secret rows"), 11),
        PlanUpload(DIGITS, "main", (("metrics.json", 1),)),
        PlanUpload(DIGITS, "main", ()),
        CreateRepository(DIGITS),
    ]  # fmt: skip
    for attempt in attempts:
        with pytest.raises(NotPermitted) as refused:
            await there.permitted(attempt, there.scientist)
        assert "secret" not in refused.value.reason
    assert await there.read(DIGITS, "metrics.json", there.scientist) == b"{}"
    await there.permitted(ListFiles(DIGITS, "main", ""), there.scientist)


@in_yard
async def test_attack_ingestion_reads_no_more_than_its_clearance(there: Yard) -> None:
    await there.write(SECRETS, {"data.csv": b"1"})
    low = await there.low_ingestion()
    for attempt in (ReadFile(SECRETS, "main", "data.csv"), ListFiles(SECRETS, "main", ""), CreateRepository(SECRETS)):
        with pytest.raises(NotFound):
            await there.permitted(attempt, low)


@in_yard
async def test_an_administrator_who_takes_a_detour_leaves_every_step_in_the_log(there: Yard) -> None:
    """THREATS.md says that one administrator alone can do this; what is promised is that it shows."""
    await there.write(SECRETS, {"data.csv": b"1"})
    document = '[[workload]]\nname = "mole"\nsegment = "training"\nclearance = "restricted"\n'
    with pytest.raises(Refused):
        await there.read(SECRETS, "data.csv", there.world.admin)
    await there.world.declare(document)
    mole = await there.world.joined(PrincipalKind.WORKLOAD, "mole")
    assert await there.read(SECRETS, "data.csv", mole) == b"1"
    log = there.world.gateway.log
    for query in (
        f"by {there.world.admin.subject} what ApplyDirectory allowed",
        "by workload:mole what ReadFile allowed",
    ):
        assert await log.read(query)
