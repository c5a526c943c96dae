"""Where versions stand: what nobody approved is not served, and who wrote one never approves it."""

import asyncio
import pickle
import socket
from ipaddress import ip_address
from typing import cast

import pytest

from nomoat.audit.events import Events
from nomoat.audit.ocsf import Event, event
from nomoat.audit.query import parse_query
from nomoat.cli.records import COLUMNS, row
from nomoat.core.errors import Conflict, NotFound, NotPermitted, Refused, Rejected, Revoked
from nomoat.core.lifecycle import Stage, Standing
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import (
    ApproveVersion,
    DescribeRepository,
    ExplainRecord,
    ListVersions,
    ReadFile,
    WithdrawVersion,
)
from nomoat.core.permit import Permit
from nomoat.core.principal import PrincipalKind
from nomoat.core.record import Json
from nomoat.core.verdict import Verdict
from nomoat.server.scanning import Scanner, ScannerProcess
from tests.guard.world import Actor
from tests.resources.world import DIGITS, Yard, in_yard

WEIGHTS = RepositoryName(RepositoryKind.MODEL, "acme", "weights")
DECLARED = """
[[group]]
name = "approvers"
[[group]]
name = "ml-engineers"
[[person]]
name = "anna"
groups = ["approvers"]
clearance = "restricted"
[[person]]
name = "emil"
groups = ["ml-engineers", "approvers"]
clearance = "restricted"
[[workload]]
name = "deploy"
segment = "deployment"
clearance = "restricted"
[[model]]
name = "acme/weights"
classification = "internal"
owner = "group:ml-engineers"
"""
CODE = pickle.dumps(ip_address("192.0.2.1"), protocol=4)  # an unknown global: nobody vouches for it
PLAIN = pickle.dumps({"layers": 3}, protocol=4)
EVIL = b"cos\nsystem\n(S'true'\ntR."


class Absent(ScannerProcess):
    """A scanner that does not start."""

    def ask(self, *given: int) -> socket.socket:
        raise ConnectionError(given)


class Parts:
    """Who has to do with weights."""

    def __init__(self, there: Yard, deploy: Actor, anna: Actor, emil: Actor) -> None:
        self.there, self.deploy, self.anna, self.emil = there, deploy, anna, emil

    async def publish(self, content: bytes, by: Actor | None = None, path: str = "weights.txt") -> str:
        return await self.there.write(WEIGHTS, {path: content}, by=by or self.there.train)

    async def approve(self, commit: str, by: Actor, reason: str = "") -> None:
        async with self.there.guard.admit(by.present(), ApproveVersion(WEIGHTS, commit, ("looked",), reason)) as permit:
            await self.there.world.gateway.lifecycle.approve(permit)

    async def withdraw(self, commit: str, by: Actor) -> None:
        async with self.there.guard.admit(by.present(), WithdrawVersion(WEIGHTS, commit, "bad")) as permit:
            await self.there.world.gateway.lifecycle.withdraw(permit)

    async def stages(self) -> dict[str, Stage]:
        async with self.there.guard.admit(self.anna.present(), ListVersions(WEIGHTS)) as permit:
            lines = self.there.world.gateway.lifecycle.list_versions(permit)
        return {line.revision.id: line.standing.stage for line in lines}

    async def downloading(self) -> tuple[asyncio.Future[int], asyncio.Event]:
        """A download whose first part has arrived, and what lets it go on."""
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def download() -> int:
            read = 0
            async with (
                self.there.guard.admit(self.deploy.present(), ReadFile(WEIGHTS, "main", "weights.txt")) as permit,
                self.there.reading.read_file(permit) as content,
            ):
                for part in content.parts or ():
                    read += len(part)
                    begun.set()
                    await go_on.wait()
            return read

        running = asyncio.ensure_future(download())
        await begun.wait()
        return running, go_on

    async def served(self, path: str = "weights.txt", revision: str = "main") -> bytes | None:
        try:
            return await self.there.read(WEIGHTS, path, by=self.deploy, revision=revision)
        except Refused:
            return None


async def parts_of(there: Yard) -> Parts:
    await there.world.declare(DECLARED)
    deploy = await there.world.joined(PrincipalKind.WORKLOAD, "deploy")
    anna, emil = [await there.world.joined(PrincipalKind.PERSON, name) for name in ("anna", "emil")]
    await there.create(WEIGHTS, by=there.train)
    return Parts(there, deploy, anna, emil)


@in_yard
async def test_what_nobody_approved_is_not_served(there: Yard) -> None:
    parts = await parts_of(there)
    first = await parts.publish(b"one")
    assert (await parts.stages())[first] is Stage.CANDIDATE
    assert await parts.served() is None
    with pytest.raises(NotPermitted, match="only-approved-versions-are-read"):
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy, revision=first)
    with pytest.raises(NotPermitted, match="only-approved-versions-are-read"):
        await there.read(WEIGHTS, "weights.txt", by=parts.deploy, revision="candidate")
    assert await there.read(WEIGHTS, "weights.txt", by=there.train, revision=first) == b"one"  # its author
    assert await there.read(WEIGHTS, "weights.txt", by=parts.anna, revision="candidate") == b"one"  # who is to judge it
    await parts.approve(first, parts.anna)
    assert await parts.served() == b"one"


@in_yard
async def test_the_main_branch_means_the_newest_approved_version(there: Yard) -> None:
    parts = await parts_of(there)
    first, second, third = [await parts.publish(content) for content in (b"one", b"two", b"three")]
    await parts.approve(second, parts.anna)
    assert await parts.served() == b"two"
    await parts.approve(first, parts.anna)
    assert await parts.served() == b"two"
    await parts.approve(third, parts.anna)
    assert await parts.served() == b"three"
    await parts.withdraw(third, parts.anna)
    assert await parts.served() == b"two"
    assert await parts.served(revision=third) is None
    await parts.approve(third, parts.anna)  # it was a mistake
    assert await parts.served() == b"three"


@in_yard
async def test_who_wrote_a_part_of_a_version_does_not_approve_it(there: Yard) -> None:
    parts = await parts_of(there)
    await parts.publish(b"one", by=parts.emil)
    second = await parts.publish(b"two", path="other.txt")
    with pytest.raises(NotPermitted, match="authors-do-not-approve"):
        await parts.approve(second, parts.emil)
    await parts.approve(second, parts.anna)
    third = await parts.publish(b"three")
    await parts.approve(third, parts.emil)  # what emil wrote was approved before


@in_yard
async def test_no_policy_lets_an_author_or_a_program_approve(there: Yard) -> None:
    parts = await parts_of(there)
    commit = await parts.publish(b"one", by=parts.emil)
    await there.world.apply_policies({"all.cedar": '@id("everything") permit (principal, action, resource);'})
    with pytest.raises(NotPermitted, match="who wrote a version does not approve it"):
        await parts.approve(commit, parts.emil)
    with pytest.raises(NotPermitted, match="approved by a person"):
        await parts.approve(commit, parts.deploy)


@in_yard
async def test_a_running_download_of_a_withdrawn_version_is_cut(there: Yard) -> None:
    parts = await parts_of(there)
    commit = await parts.publish(b"x" * 900_000)
    await parts.approve(commit, parts.anna)
    running, go_on = await parts.downloading()
    await parts.withdraw(commit, parts.emil)  # its owner's group
    go_on.set()
    with pytest.raises(Revoked, match="withdrawn"):
        await running


@in_yard
async def test_a_withdrawal_cuts_downloads_though_nobody_waits_for_it_any_more(there: Yard) -> None:
    """The one who withdraws is revoked, or the log is full, right after the state has it: it is in force all the same."""
    parts = await parts_of(there)
    commit = await parts.publish(b"x" * 900_000)
    await parts.approve(commit, parts.anna)
    running, go_on = await parts.downloading()
    before = there.catalog.generation
    withdrawing = asyncio.ensure_future(parts.withdraw(commit, parts.emil))
    while there.catalog.generation == before:  # noqa: ASYNC110 - nothing tells of it this early
        await asyncio.sleep(0)
    withdrawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await withdrawing
    go_on.set()
    with pytest.raises(Revoked, match="withdrawn"):
        await running


@in_yard
async def test_an_approval_of_what_was_a_candidate_does_not_bring_back_what_was_withdrawn_meanwhile(
    there: Yard,
) -> None:
    """The withdrawal is in the state, and its caller not told yet: the approval is cut with all that runs, or refused."""
    parts, lifecycle = await parts_of(there), there.world.gateway.lifecycle
    commit = await parts.publish(b"one")
    withdrawal = WithdrawVersion(WEIGHTS, commit, "bad")
    approval = ApproveVersion(WEIGHTS, commit, (), "")
    running: list[asyncio.Future[Standing]] = []

    async def judge(theirs: Permit[WithdrawVersion]) -> None:
        async with there.guard.admit(parts.anna.present(), approval) as mine:
            there.world.disk.hold()
            running.append(asyncio.ensure_future(lifecycle.withdraw(theirs)))
            await there.world.disk.reached()
            await lifecycle.approve(mine)

    async with there.guard.admit(parts.emil.present(), withdrawal) as theirs:
        with pytest.raises((Revoked, Conflict), match="withdrawn"):
            await judge(theirs)
        there.world.disk.release()
        await running[0]
    assert (await parts.stages())[commit] is Stage.WITHDRAWN
    assert await parts.served() is None


@in_yard
async def test_code_that_nobody_vouches_for_is_in_quarantine_until_a_person_says_why_not(there: Yard) -> None:
    parts = await parts_of(there)
    commit = await parts.publish(CODE, path="model.pkl")
    assert (await parts.stages())[commit] is Stage.QUARANTINED
    assert await parts.served("model.pkl") is None
    with pytest.raises(Conflict, match="say why"):
        await parts.approve(commit, parts.anna)
    await parts.approve(commit, parts.anna, "read it, it prints")
    assert await parts.served("model.pkl") == CODE


@in_yard
async def test_a_version_that_keeps_what_was_quarantined_is_quarantined(there: Yard) -> None:
    parts = await parts_of(there)
    await parts.publish(CODE, path="model.pkl")
    second = await parts.publish(b"a", path="README.txt")
    assert (await parts.stages())[second] is Stage.QUARANTINED
    third = await parts.publish(PLAIN, path="model.pkl")
    assert (await parts.stages())[third] is Stage.CANDIDATE


@in_yard
async def test_a_malicious_pickle_is_refused_and_nothing_of_it_stays(there: Yard) -> None:
    parts = await parts_of(there)
    before = sorted(path.name for path in (there.world.directory / "objects").rglob("*") if path.is_file())
    with pytest.raises(Rejected, match=r"model\.pkl was not accepted: pickle\."):
        await parts.publish(EVIL, path="model.pkl")
    secret = await there.grant(WEIGHTS, EVIL, by=there.train)
    with pytest.raises(Rejected, match="was not accepted"):
        await there.put(WEIGHTS, EVIL, secret)
    after = sorted(path.name for path in (there.world.directory / "objects").rglob("*") if path.is_file())
    assert after == before
    assert len(await parts.stages()) == 1  # the empty one, which every repository has


@in_yard
async def test_a_content_that_is_refused_is_a_refusal_wherever_the_log_is_read(there: Yard) -> None:
    parts, gateway = await parts_of(there), there.world.gateway
    with pytest.raises(Rejected) as refused:
        await parts.publish(EVIL, path="model.pkl")
    await parts.stages()  # its record comes after the outcome's
    number, why = refused.value.record, refused.value.reason
    (record,) = await gateway.log.read(f"record {number}")
    outcome = cast("dict[str, Json]", record["outcome"])
    assert (record["decision"], outcome["outcome"], outcome["why"]) == ("allow", "refused", why)
    assert outcome["rule"] == refused.value.rule == "pickle.dangerous-global"
    shown = dict(zip(COLUMNS, row(record), strict=True))
    assert (shown["decision"], shown["why"]) == ("allowed, refused", why)

    events = Events().tell(gateway.log.walk().take(gateway.log.size, most=10_000), parse_query("what WriteFile", 0))
    (ended,) = [each for each in events if each.get("of") == number]
    told = event(ended, "acme.example/log")
    assert (told["action_id"], told["disposition_id"], told["status_id"]) == (2, 2, 2)
    assert (told["status_detail"], cast("Event", told["unmapped"])["rule"]) == (why, refused.value.rule)
    for query in ("what WriteFile", "what WriteFile refused"):
        (counted,) = (await gateway.reports.report(["what"], parse_query(query, 0), limit=9)).rows
        assert (counted["accesses"], counted["refused"]) == (0 if "refused" in query else 1, 1), query

    for who, own in ((there.train, True), (parts.anna, True)):
        async with there.guard.admit(who.present(), ExplainRecord(number or 0, own=own)) as permit:
            if who is parts.anna:
                with pytest.raises(NotFound):
                    await gateway.history.explain(permit)
                continue
            said = await gateway.history.explain(permit)
        assert said["rejected"] == {"why": why, "rule": refused.value.rule}
        assert "policies" not in said


@in_yard
async def test_who_may_see_a_file_sees_why_its_version_is_in_quarantine(there: Yard) -> None:
    parts = await parts_of(there)
    first = await parts.publish(CODE, path="model.pkl")
    second = await parts.publish(b"a", path="README.txt")
    third = await parts.publish(CODE, path="secret/other.pkl")
    fourth = await parts.publish(PLAIN, path="model.pkl")

    async def held(by: Actor) -> dict[str, list[str]]:
        async with there.guard.admit(by.present(), ListVersions(WEIGHTS)) as permit:
            lines = there.world.gateway.lifecycle.list_versions(permit)
        for line in lines:
            assert all(each.finding.rule == "pickle.unknown-global" for each in line.held), line
            assert all("IPv4Address" in each.finding.what for each in line.held), line
        return {line.revision.id: [each.path for each in line.held] for line in lines if line.held}

    both = ["model.pkl", "secret/other.pkl"]
    expected = {first: both[:1], second: both[:1], third: both, fourth: both[1:]}
    assert await held(parts.anna) == expected
    assert (await parts.stages())[fourth] is Stage.QUARANTINED
    policies = there.world.gateway.policies.current.files
    hidden = """
    @id("secrets-are-hidden") forbid (principal, action in [NoMoat::Action::"DescribeFile"], resource)
    when { resource.labels.contains("secret") };
    """
    await there.world.apply_policies({**policies, "secret.cedar": hidden})
    await there.world.declare(
        '[[model]]\nname = "acme/weights"\nclassification = "internal"\nowner = "group:ml-engineers"\n'
        'files = [{ path = "secret/**", labels = ["secret"] }]\n'
    )
    assert await held(parts.anna) == {first: both[:1], second: both[:1], third: both[:1]}
    with pytest.raises(Refused):
        await held(there.scientist)
    await parts.approve(first, parts.anna, "read it, it prints")
    assert first not in await held(parts.anna)


@in_yard
async def test_a_version_is_of_its_repository(there: Yard) -> None:
    parts = await parts_of(there)
    other = await there.write(RepositoryName(RepositoryKind.DATASET, "acme", "digits"), {"a.txt": b"a"})
    with pytest.raises(NotFound):
        await parts.approve(other, parts.anna)
    with pytest.raises(NotFound):
        await parts.approve("0" * 40, parts.anna)
    with pytest.raises(NotFound):
        await parts.withdraw("main", parts.anna)


@in_yard
async def test_what_nobody_looked_at_is_in_quarantine_and_scanned_later(there: Yard) -> None:
    parts, gateway = await parts_of(there), there.world.gateway
    found, there.writing._scan = there.writing._scan, Scanner(Absent()).scan
    first = await parts.publish(CODE, path="model.pkl")
    await parts.publish(b"a text", path="notes.txt")
    assert (await parts.stages())[first] is Stage.QUARANTINED
    there.writing._scan = found
    assert await gateway.unscanned.sweep() == 2
    assert await gateway.unscanned.sweep() == 0
    created = there.catalog.find(WEIGHTS)
    assert created
    snapshot = there.catalog.head(created, "main")
    assert snapshot
    assert snapshot.files["model.pkl"].verdict is Verdict.QUARANTINED
    assert snapshot.files["notes.txt"].verdict is Verdict.CLEAN
    (record,) = [each for each in await gateway.log.read("") if each.get("what") == "ScanContents"]
    assert record["verdicts"] == {"quarantined": 1, "clean": 1}


@in_yard
async def test_what_is_found_bad_later_is_served_no_more_whoever_approved_it(there: Yard) -> None:
    parts, gateway = await parts_of(there), there.world.gateway
    before = await parts.publish(b"good")
    await parts.approve(before, parts.anna)
    found, there.writing._scan = there.writing._scan, Scanner(Absent()).scan
    held = await parts.publish(EVIL, path="weights.txt")
    await parts.approve(held, parts.anna, "the scanner is down, and it is urgent")
    after = await parts.publish(b"more", path="more.txt")
    await parts.approve(after, parts.anna, "the same")
    unreviewed = await there.write(DIGITS, {"rows.txt": EVIL})
    assert await there.head(DIGITS) == unreviewed
    there.writing._scan = found
    running, go_on = await parts.downloading()
    await gateway.unscanned.sweep()
    go_on.set()
    with pytest.raises(Revoked, match="scanned"):
        await running
    stages = await parts.stages()
    assert (stages[held], stages[after], stages[before]) == (Stage.QUARANTINED, Stage.QUARANTINED, Stage.APPROVED)
    assert await parts.served() == b"good"
    assert await parts.served(revision=after) is None
    assert there.catalog.stage(unreviewed) is Stage.QUARANTINED
    assert await there.head(DIGITS) != unreviewed
    with pytest.raises(Conflict, match="in quarantine"):  # not without a word
        await parts.approve(after, parts.anna)


@in_yard
async def test_stages_are_there_after_a_restart(there: Yard) -> None:
    parts = await parts_of(there)
    first, second = [await parts.publish(content) for content in (b"one", b"two")]
    await parts.approve(first, parts.anna)
    catalog = type(there.catalog)(there.catalog._state)
    found = catalog.find(WEIGHTS)
    assert found
    assert found.served["main"] == first
    assert found.branches["main"] == second


@in_yard
async def test_an_owner_sees_what_is_candidate_and_nobody_else_does(there: Yard) -> None:
    parts = await parts_of(there)
    await parts.publish(b"one")
    async with there.guard.admit(parts.emil.present(), DescribeRepository(WEIGHTS, "candidate")) as permit:
        assert there.reading.describe_repository(permit).paths == ["model.sig", "weights.txt"]
    async with there.guard.admit(parts.deploy.present(), DescribeRepository(WEIGHTS, "main")) as permit:
        described = there.reading.describe_repository(permit)
    assert list(described.paths) == []
    assert described.branches["main"] == described.revision.id
