"""Lineage: what a run read decides what its model may be had by, whatever its author claims, splits or copies."""

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, event

from nomoat.attestation.manifest import Manifest
from nomoat.attestation.provenance import verify_provenance
from nomoat.attestation.signer import gateway_signer, verify_signature
from nomoat.core.errors import Conflict, NotFound, NotPermitted, Refused
from nomoat.core.inference import Call
from nomoat.core.lineage import RUN_S, Label, Load
from nomoat.core.names import Classification, RepositoryKind, RepositoryName
from nomoat.core.operation import (
    DeleteRepository,
    DiffVersions,
    InvokeModel,
    ListEndpoints,
    LowerLabel,
    QueryView,
    ReadFile,
    ReadLineage,
    ReadManifest,
    ReportLoad,
    ShredVersion,
)
from nomoat.core.principal import PrincipalKind
from nomoat.resources.repositories.lineage import Told
from nomoat.stores.lineage import DAY_S
from nomoat.stores.loads import Loaded, Loads
from tests.guard.world import Actor
from tests.resources.world import DIGITS, SECRETS, Yard, digest_of, in_yard, yard

PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED = Classification
CHAT = RepositoryName(RepositoryKind.MODEL, "acme", "chat")
TUNED = RepositoryName(RepositoryKind.MODEL, "acme", "tuned")
COPY = RepositoryName(RepositoryKind.DATASET, "acme", "copy")
SERVED = """
[[upstream]]
name = "own"
url = "http://127.0.0.1:9/v1"
private = true
workload = "deploy"
[[endpoint]]
name = "acme/chat"
classification = "public"
labels = ["public-words"]
served = [{ upstream = "own", model = "m", weights = "acme/chat" }]
"""
DECLARED = """
[[group]]
name = "approvers"
[[group]]
name = "auditors"
[[group]]
name = "ml-engineers"
[[person]]
name = "anna"
groups = ["approvers"]
clearance = "restricted"
[[person]]
name = "emil"
groups = ["approvers", "ml-engineers", "data-engineers"]
clearance = "restricted"
[[person]]
name = "audrey"
groups = ["auditors"]
clearance = "confidential"
[[workload]]
name = "deploy"
segment = "deployment"
clearance = "confidential"
[[workload]]
name = "deploy-low"
segment = "deployment"
clearance = "internal"
[[model]]
name = "acme/chat"
classification = "internal"
labels = ["chat"]
owner = "group:ml-engineers"
review = "none"
[[model]]
name = "acme/tuned"
classification = "internal"
review = "none"
[[dataset]]
name = "acme/copy"
classification = "internal"
labels = ["copies"]
owner = "group:data-engineers"
"""
VIEWED = """
[[dataset]]
name = "acme/viewed"
classification = "internal"
  [[dataset.views]]
  name = "numbers"
  files = ["*.csv"]
  columns = ["n"]
"""
EVERYTHING = {"all.cedar": '@id("everything") permit (principal, action, resource);'}
WORKLOAD, PERSON = PrincipalKind.WORKLOAD, PrincipalKind.PERSON


class House:
    """Who trains, publishes, judges and deploys."""

    def __init__(self, there: Yard) -> None:
        self.there = there
        self.gateway = there.world.gateway

    async def furnish(self) -> None:
        await self.there.world.declare(DECLARED)
        self.deploy, self.low = [await self.joins(WORKLOAD, name) for name in ("deploy", "deploy-low")]
        self.anna, self.emil, self.audrey = [await self.joins(PERSON, each) for each in ("anna", "emil", "audrey")]
        for name in (CHAT, TUNED):
            await self.there.create(name, by=self.there.train)
        await self.there.create(COPY)
        await self.there.write(DIGITS, {"train.csv": b"1,2,3", "metrics.json": b"{}"})

    async def joins(self, kind: PrincipalKind, name: str) -> Actor:
        return await self.there.world.joined(kind, name)

    async def lower(self, name: RepositoryName, commit: str, label: Label, by: Actor, reason: str = "reviewed") -> None:
        async with self.there.guard.admit(by.present(), LowerLabel(name, commit, label, reason)) as permit:
            await self.gateway.tracing.lower(permit)

    async def lineage(
        self, name: RepositoryName, revision: str = "", path: str = "", contributor: str = "", by: Actor | None = None
    ) -> Told:
        operation = ReadLineage(name, revision, path, contributor)
        async with self.there.guard.admit((by or self.audrey).present(), operation) as permit:
            return self.gateway.tracing.read(permit)

    async def report(self, name: RepositoryName, commit: str, by: Actor, **files: bytes) -> Load:
        told = tuple((path.replace("_", "."), digest_of(content)) for path, content in files.items())
        async with self.there.guard.admit(by.present(), ReportLoad(name, commit, told)) as permit:
            return await self.gateway.tracing.report(permit)

    def label(self, commit: str) -> Label:
        return self.there.catalog.lineage.label(commit)

    def readings(self) -> int:
        rows = self.there.catalog._state.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM reading").scalar())
        assert rows is not None
        return int(rows)


async def house(there: Yard) -> House:
    found = House(there)
    await found.furnish()
    return found


@in_yard
async def test_a_model_inherits_the_label_of_what_its_run_read(there: Yard) -> None:
    at = await house(there)
    clean = await there.write(CHAT, {"weights.txt": b"0"}, by=there.train)
    assert at.label(clean) == Label()
    assert await there.read(CHAT, "weights.txt", by=at.low) == b"0"
    await there.read(DIGITS, "train.csv", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    assert at.label(commit) == Label(CONFIDENTIAL)
    with pytest.raises(NotPermitted, match="nobody-reads-above-clearance"):
        await there.read(CHAT, "weights.txt", by=at.low)
    assert await there.read(CHAT, "weights.txt", by=at.deploy) == b"1"
    assert await there.read(CHAT, "weights.txt", by=at.low, revision=clean) == b"0"  # what was before is what it was


@in_yard
async def test_what_comes_after_in_a_branch_inherits_what_stays_in_it(there: Yard) -> None:
    at = await house(there)
    await there.read(DIGITS, "train.csv", by=there.train)
    await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    later = await there.write(CHAT, {"card.txt": b"read nothing"}, by=at.emil)
    assert at.label(later) == Label(CONFIDENTIAL)


@in_yard
async def test_who_keeps_a_dataset_makes_it_no_stricter_unless_they_copy_into_the_open(there: Yard) -> None:
    at = await house(there)
    await there.read(DIGITS, "train.csv")  # by the ingestion job, which writes it
    kept = await there.write(DIGITS, {"more.csv": b"4,5,6"})
    assert at.label(kept) == Label()
    assert await there.read(DIGITS, "metrics.json", by=there.scientist) == b"{}"
    copied = await there.write(DIGITS, {"open/copy.csv": b"1,2,3"})
    assert at.label(copied) == Label(CONFIDENTIAL)
    low = await there.low_ingestion()
    with pytest.raises(NotPermitted, match="nobody-reads-above-clearance"):
        await there.read(DIGITS, "open/copy.csv", by=low)


@in_yard
async def test_what_a_version_inherits_decides_who_is_told_what_it_holds(there: Yard) -> None:
    at = await house(there)
    await there.world.declare('[[person]]\nname = "paul"\ngroups = ["data-engineers"]\nclearance = "internal"\n')
    paul = await at.joins(PERSON, "paul")

    async def told(who: Actor, revision: str, base: str) -> tuple[set[str], int, set[str], int]:
        async with there.guard.admit(who.present(), ReadManifest(COPY, revision)) as permit:
            manifest = await at.gateway.comparing.read_manifest(permit)
        async with there.guard.admit(who.present(), DiffVersions(COPY, base, revision)) as permit:
            differ = await at.gateway.comparing.diff_versions(permit)
        return set(manifest.files), manifest.withheld, set(differ.found.added), differ.withheld

    before = await there.write(COPY, {"own.csv": b"4"})
    await there.read(DIGITS, "train.csv")
    after = await there.write(COPY, {"copied.csv": b"1,2,3"})
    both = {"own.csv", "copied.csv"}
    assert (await told(at.emil, after, before))[:2] == (both, 0)
    assert (await told(paul, before, before))[:2] == ({"own.csv"}, 0)
    assert await told(paul, after, before) == (set(), 2, set(), 2)
    # Whichever of the two is the newer one, as each of them.
    assert (await told(paul, before, after))[3] == 2


@in_yard
async def test_a_claimed_provenance_changes_nothing_and_the_statement_says_what_was_read(there: Yard) -> None:
    at = await house(there)
    await there.read(DIGITS, "train.csv", by=there.train)
    claimed = json.dumps({"predicateType": "https://slsa.dev/provenance/v1", "resolvedDependencies": []}).encode()
    files = {"weights.txt": b"1", "provenance.json": claimed, "README.md": b"---\ndatasets: [acme/open]\n---\n"}
    commit = await there.write(CHAT, files, by=there.train)
    assert at.label(commit) == Label(CONFIDENTIAL)
    bundle = (await at.lineage(CHAT)).statement
    trusted = there.world.gateway.lifecycle._signatures.signatory.trusted
    made = Manifest.of((path, sha256(content).hexdigest()) for path, content in files.items())
    signer, provenance = verify_provenance(bundle, trusted, made, int(there.world.clock()))
    assert signer.spiffe_id == gateway_signer("acme.example")
    _, statement = verify_signature(bundle, trusted, int(there.world.clock()))
    digits = await there.head(DIGITS)
    (dependency,) = provenance.dependencies
    assert dependency.uri == f"nomoat://acme.example/datasets/acme/digits@{digits}"
    assert provenance.invocation == f"urn:nomoat:session:{there.train.session}"
    assert provenance.parameters["subject"] == "workload:train"
    assert statement.only_subject().name == f"acme/chat@{commit}"


@in_yard
async def test_a_second_session_of_the_same_workload_launders_nothing(there: Yard) -> None:
    at = await house(there)
    await there.read(DIGITS, "train.csv", by=there.train)
    other = await at.joins(WORKLOAD, "train")
    assert other.session != there.train.session
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=other)
    assert at.label(commit) == Label(CONFIDENTIAL)
    (source,) = (await at.lineage(CHAT)).above
    assert source.relative.session == there.train.session


@in_yard
async def test_another_session_is_forgotten_after_a_month(there: Yard) -> None:
    at = await house(there)
    await there.read(DIGITS, "train.csv", by=there.train)
    there.world.clock.now += RUN_S - 60
    assert at.label(await there.write(TUNED, {"a.txt": b"1"}, by=await at.joins(WORKLOAD, "train"))) != Label()
    there.world.clock.now += 120 + DAY_S
    assert at.label(await there.write(CHAT, {"a.txt": b"1"}, by=await at.joins(WORKLOAD, "train"))) == Label()


@in_yard
async def test_what_was_read_again_on_the_same_day_is_remembered_from_then(there: Yard) -> None:
    at = await house(there)
    await there.read(DIGITS, "train.csv", by=there.train)
    there.world.clock.now += 600
    await there.read(DIGITS, "train.csv", by=there.train)
    there.world.clock.now += RUN_S - 60
    assert at.label(await there.write(TUNED, {"a.txt": b"1"}, by=await at.joins(WORKLOAD, "train"))) != Label()


@in_yard
async def test_the_same_session_is_never_forgotten(there: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("RUN_S", "DAY_S"):  # a session that lives for a month would be long to wait for
        monkeypatch.setattr(f"nomoat.stores.lineage.{bound}", 60)
    at = await house(there)
    await there.read(DIGITS, "train.csv", by=there.train)
    there.world.clock.now += 120
    assert at.label(await there.write(CHAT, {"a.txt": b"1"}, by=await at.joins(WORKLOAD, "train"))) == Label()
    assert at.label(await there.write(TUNED, {"a.txt": b"1"}, by=there.train)) == Label(CONFIDENTIAL)


@in_yard
async def test_a_copy_in_a_dataset_or_a_base_model_launders_nothing(there: Yard) -> None:
    at = await house(there)
    await there.world.apply_policies(EVERYTHING)
    await there.read(DIGITS, "train.csv", by=at.emil)
    copied = await there.write(COPY, {"rows.csv": b"1,2,3"}, by=at.emil)
    assert at.label(copied) == Label(CONFIDENTIAL)
    await there.read(COPY, "rows.csv", by=there.train)
    base = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    assert at.label(base) == Label(CONFIDENTIAL, frozenset({"copies"}))
    await there.read(CHAT, "weights.txt", by=at.deploy)
    tuned = await there.write(TUNED, {"weights.txt": b"2"}, by=at.deploy)
    assert at.label(tuned) == Label(CONFIDENTIAL, frozenset({"copies", "chat"}))
    above = (await at.lineage(TUNED)).above
    assert [(str(each.name), each.relative.direct) for each in above] == [
        ("acme/chat", True),
        ("acme/copy", False),
        ("acme/digits", False),
    ]


@in_yard
async def test_joined_labels_let_nobody_read_more(there: Yard) -> None:
    """The label `metrics` lets scientists read; a model does not get it for having read metrics."""
    at = await house(there)
    await there.read(DIGITS, "metrics.json", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    assert at.label(commit) == Label(INTERNAL, frozenset({"metrics"}))
    with pytest.raises(NotPermitted):
        await there.read(CHAT, "weights.txt", by=there.scientist)


@in_yard
async def test_a_policy_about_a_label_holds_for_what_was_made_of_it(there: Yard) -> None:
    at = await house(there)
    forbidding = '@id("no-copies") forbid (principal, action, resource) when { resource.labels.contains("copies") };'
    await there.world.apply_policies(EVERYTHING)
    await there.write(COPY, {"rows.csv": b"1"})
    await there.read(COPY, "rows.csv", by=there.train)
    await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    assert await there.read(CHAT, "weights.txt", by=at.low) == b"1"
    await there.world.apply_policies({**EVERYTHING, "copies.cedar": forbidding})
    with pytest.raises(Refused, match=r"not found|no-copies"):
        await there.read(CHAT, "weights.txt", by=at.low)


@in_yard
async def test_nobody_lowers_the_label_of_what_they_wrote_or_of_what_came_of_it(there: Yard) -> None:
    at = await house(there)
    await there.world.apply_policies(EVERYTHING)
    await there.read(DIGITS, "train.csv", by=at.emil)
    copied = await there.write(COPY, {"rows.csv": b"1,2,3"}, by=at.emil)
    await there.read(COPY, "rows.csv", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    for name, version in ((COPY, copied), (CHAT, commit)):
        with pytest.raises(NotPermitted, match="another person has to"):
            await at.lower(name, version, Label(), by=at.emil)
    with pytest.raises(NotPermitted, match="by a person"):
        await at.lower(CHAT, commit, Label(), by=at.deploy)
    assert at.label(commit).classification is CONFIDENTIAL


@in_yard
async def test_who_wrote_the_data_does_not_lower_the_label_of_what_read_it(there: Yard) -> None:
    at = await house(there)
    await there.world.apply_policies(EVERYTHING)
    await there.write(DIGITS, {"train.csv": b"4,5,6"}, by=at.emil)
    await there.read(DIGITS, "train.csv", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    with pytest.raises(NotPermitted, match="another person has to"):
        await at.lower(CHAT, commit, Label(), by=at.emil)
    await at.lower(CHAT, commit, Label(), by=at.anna)


@in_yard
async def test_who_deletes_what_a_version_came_of_does_not_lower_its_label_either(there: Yard) -> None:
    at = await house(there)
    await there.world.apply_policies(EVERYTHING)
    await there.read(DIGITS, "train.csv", by=at.emil)
    await there.write(COPY, {"rows.csv": b"1,2,3"}, by=at.emil)
    await there.write(COPY, {"more.csv": b"4,5,6"}, by=at.deploy)
    await there.read(COPY, "more.csv", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    async with there.guard.admit(at.emil.present(), DeleteRepository(COPY)) as permit:
        await there.references.delete_repository(permit)
    with pytest.raises(NotPermitted, match="another person has to"):
        await at.lower(CHAT, commit, Label(), by=at.emil)
    await at.lower(CHAT, commit, Label(), by=at.anna)


@in_yard
async def test_a_second_person_lowers_a_label_and_the_record_says_so(there: Yard) -> None:
    at = await house(there)
    await there.read(DIGITS, "train.csv", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    with pytest.raises(Conflict, match="say why"):
        await at.lower(CHAT, commit, Label(), by=at.anna, reason="")
    with pytest.raises(Conflict, match="no weaker"):
        await at.lower(CHAT, commit, Label(RESTRICTED), by=at.anna)
    with pytest.raises(NotFound):
        await at.lower(CHAT, "0" * 40, Label(), by=at.anna)
    await at.lower(CHAT, commit, Label(INTERNAL), by=at.anna, reason="digits cannot be got out of it")
    assert await there.read(CHAT, "weights.txt", by=at.low) == b"1"
    told = await at.lineage(CHAT)
    assert told.lowered
    assert (told.inherited, told.lowered.subject) == (Label(INTERNAL), "person:anna")
    outcomes = [each["outcome"] for each in await at.gateway.log.read("what LowerLabel") if "outcome" in each]
    facts = [each["facts"] for each in outcomes if isinstance(each, dict)]
    assert facts[-1] == {
        "before": "confidential",
        "after": "internal",
        "reason": "digits cannot be got out of it",
    }
    again = type(there.catalog)(there.catalog._state)
    assert again.lineage.label(commit) == Label(INTERNAL)


@in_yard
async def test_who_is_not_cleared_for_a_label_does_not_lower_it(there: Yard) -> None:
    at = await house(there)
    await there.world.declare('[[person]]\nname = "jo"\ngroups = ["approvers"]\nclearance = "internal"')
    jo = await at.joins(PERSON, "jo")
    await there.read(DIGITS, "train.csv", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    with pytest.raises(NotPermitted, match="nobody-lowers-above-clearance"):
        await at.lower(CHAT, commit, Label(), by=jo)


@in_yard
async def test_a_reading_is_stored_once_a_day_and_before_the_first_byte(there: Yard) -> None:
    at = await house(there)
    assert at.readings() == 0
    for first in (0, 1, 2):
        operation = ReadFile(DIGITS, "main", "train.csv", first, first)
        async with there.guard.admit(there.train.present(), operation) as permit, there.reading.read_file(permit):
            assert at.readings() == 1  # nothing was given out yet
    there.world.clock.now += 86_400
    train = await at.joins(WORKLOAD, "train")
    await there.read(DIGITS, "train.csv", by=train)
    assert at.readings() == 2


@in_yard
async def test_what_is_read_again_under_a_stricter_label_counts_as_that(there: Yard) -> None:
    at = await house(there)
    await there.write(COPY, {"rows.csv": b"1"})
    await there.read(COPY, "rows.csv", by=there.train)
    stricter = '[[dataset]]\nname = "acme/copy"\nclassification = "confidential"\nowner = "group:data-engineers"'
    await there.world.declare(stricter)
    await there.read(COPY, "rows.csv", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    assert at.label(commit) == Label(CONFIDENTIAL, frozenset({"copies"}))


@in_yard
async def test_what_many_read_at_once_is_stored_for_each_of_them(there: Yard) -> None:
    at = await house(there)
    await there.write(COPY, {f"{number}.csv": b"1" for number in range(20)})
    everybody = [there.train, *[await at.joins(WORKLOAD, "train") for _ in range(3)]]
    await asyncio.gather(*(there.read(COPY, f"{number}.csv", by=who) for who in everybody for number in range(20)))
    assert at.readings() == 80


@in_yard
async def test_who_leaves_while_it_is_stored_takes_nobody_elses_reading_along(there: Yard) -> None:
    """The same session asks twice for one file, and the first request ends: the second one went unrecorded."""
    at = await house(there)
    lineage = there.catalog.lineage
    async with lineage._turn:  # as while others are stored
        first, second = [asyncio.create_task(there.read(DIGITS, "train.csv", by=there.train)) for _ in range(2)]
        while len(lineage._turn._waiters or ()) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert await second == b"1,2,3"
    assert at.readings() == 1


@in_yard
async def test_the_many_files_of_a_view_are_stored_as_read_at_once(there: Yard) -> None:
    """One transaction for each, synced, kept everybody else's waiting for as long."""
    at = await house(there)
    await there.world.apply_policies(EVERYTHING)
    await there.world.declare(VIEWED)
    name = RepositoryName(RepositoryKind.DATASET, "acme", "viewed")
    await there.create(name)
    await there.write(name, {f"{number}.csv": b"n\n1\n" for number in range(40)})
    before, commits = at.readings(), list[object]()
    count = commits.append
    event.listen(Engine, "commit", count)
    try:
        asked = QueryView(name, "numbers", "main", "FROM numbers")
        async with (
            there.guard.admit(there.train.present(), asked) as permit,
            there.world.gateway.views.query(permit) as answer,
        ):
            assert answer.rows == 40
    finally:
        event.remove(Engine, "commit", count)
    assert at.readings() - before == 40
    assert len(commits) < 10


@in_yard
async def test_lineage_is_told_both_ways(there: Yard) -> None:
    at = await house(there)
    await there.write(COPY, {"a.csv": b"a"})
    old = await there.write(COPY, {"b.csv": b"b"}, by=at.emil)
    await there.read(COPY, "a.csv", by=there.train)
    await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    await there.write(COPY, {"c.csv": b"c"}, by=at.emil)
    await there.read(CHAT, "weights.txt", by=at.deploy)
    await there.world.apply_policies({**EVERYTHING})
    tuned = await there.write(TUNED, {"weights.txt": b"2"}, by=at.deploy)

    async def went(revision: str = "", path: str = "", contributor: str = "") -> list[tuple[str, bool]]:
        told = await at.lineage(COPY, revision, path, contributor)
        return [(str(each.name), each.relative.direct) for each in told.below]

    both = [("acme/chat", True), ("acme/tuned", False)]
    assert await went() == both
    assert await went(revision=old) == both
    assert await went(revision="main") == []
    assert await went(path="a.csv") == both
    assert await went(path="b.csv") == []
    assert await went(revision="main", path="a.csv") == both  # the same content, read as another version of it
    assert await went(contributor="workload:ingest") == both
    assert await went(contributor="person:emil") == []
    told = await at.lineage(TUNED)
    assert [(str(each.name), each.relative.commit) for each in told.above][1:] == [("acme/copy", old)]
    assert told.commit == tuned


@in_yard
async def test_of_what_one_may_not_know_only_the_number_is_told(there: Yard) -> None:
    at = await house(there)
    await there.world.declare('[[workload]]\nname = "secret-train"\nsegment = "training"\nclearance = "restricted"')
    secret_train = await at.joins(WORKLOAD, "secret-train")
    await there.write(SECRETS, {"patients.csv": b"1"})
    await there.read(SECRETS, "patients.csv", by=secret_train)
    await there.read(DIGITS, "train.csv", by=secret_train)
    await there.write(CHAT, {"weights.txt": b"1"}, by=secret_train)
    await there.world.declare('[[person]]\nname = "audra"\ngroups = ["auditors"]\nclearance = "restricted"')
    whole = await at.lineage(CHAT, by=await at.joins(PERSON, "audra"))
    assert [str(each.name) for each in whole.above] == ["acme/secrets", "acme/digits"]
    assert (whole.withheld, whole.statement != b"") == (0, True)
    with pytest.raises(NotPermitted, match="restricted-is-hidden"):
        await at.lineage(CHAT)
    partly = await at.lineage(DIGITS)
    assert partly.below[0].name == CHAT  # declared as internal: that it is there is no secret
    owner = await at.lineage(DIGITS, by=at.emil)
    assert [each.name for each in owner.below] == [CHAT]
    await there.world.declare('[[person]]\nname = "eva"\ngroups = ["approvers"]\nclearance = "restricted"')
    await there.world.apply_policies(
        {
            **EVERYTHING,
            "hide.cedar": '@id("hide") forbid (principal, action == NoMoat::Action::"Discover", resource)'
            ' when { resource == NoMoat::Dataset::"acme/secrets" };',
        }
    )
    hidden = await at.lineage(CHAT)
    assert [str(each.name) for each in hidden.above] == ["acme/digits"]
    assert (hidden.withheld, hidden.statement) == (1, b"")


@in_yard
async def test_lineage_outlasts_a_repository(there: Yard) -> None:
    at = await house(there)
    await there.read(DIGITS, "train.csv", by=there.train)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    async with there.guard.admit(at.emil.present(), DeleteRepository(DIGITS)) as permit:
        await there.references.delete_repository(permit)
    told = await at.lineage(CHAT)
    assert (told.above, told.withheld) == ([], 1)
    assert at.label(commit) == Label(CONFIDENTIAL)


@in_yard
async def test_what_a_contributor_wrote_is_traced_after_it_was_shredded(there: Yard) -> None:
    at = await house(there)
    commit = await there.write(COPY, {"rows.csv": b"1,2,3"}, by=at.emil)
    await there.read(COPY, "rows.csv", by=there.train)
    await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    await there.world.apply_policies(EVERYTHING)
    async with there.guard.admit(
        there.world.admin.present(), ShredVersion(COPY, commit, "asked for", (), keep_shared=False)
    ) as permit:
        await there.world.gateway.shredder.shred(permit)
    told = await at.lineage(COPY, contributor="person:emil")
    assert [each.name for each in told.below] == [CHAT]


@in_yard
async def test_a_file_above_ones_clearance_is_not_traced(there: Yard) -> None:
    await house(there)
    await there.world.declare('[[person]]\nname = "ida"\ngroups = ["auditors"]\nclearance = "internal"')
    ida = await there.world.joined(PERSON, "ida")
    at = House(there)
    with pytest.raises(NotPermitted, match="nobody-traces-files-above-clearance"):
        await at.lineage(DIGITS, by=ida, path="train.csv")
    assert (await at.lineage(DIGITS, by=ida, path="metrics.json")).below == []


@in_yard
async def test_a_load_is_verified_only_where_its_session_fetched_these_bytes(there: Yard) -> None:
    at = await house(there)
    commit = await there.write(CHAT, {"weights.txt": b"1", "config.json": b"{}"}, by=there.train)
    for by in (at.deploy, there.train):
        await there.read(CHAT, "weights.txt", by=by)
    assert [(each.subject, each.verified) for each in (await at.lineage(CHAT)).loads] == [("workload:deploy", False)]
    assert not (await at.report(CHAT, commit, at.deploy, weights_txt=b"2")).verified  # other bytes
    assert not (await at.report(CHAT, commit, at.deploy, weights_txt=b"1", config_json=b"{}")).verified  # not fetched
    again = await at.joins(WORKLOAD, "deploy")
    assert not (await at.report(CHAT, commit, again, weights_txt=b"1")).verified  # by another session
    assert (await at.report(CHAT, commit, at.deploy, weights_txt=b"1")).verified
    found = {each.session: each.verified for each in (await at.lineage(CHAT)).loads}
    assert found == {at.deploy.session: True, again.session: False}
    with pytest.raises(NotFound):
        await at.report(CHAT, "0" * 40, at.deploy, weights_txt=b"1")


@in_yard
async def test_labels_that_an_endpoint_has_of_its_weights_are_decided_beside_its_own(there: Yard) -> None:
    at = await house(there)
    await there.world.declare(SERVED)
    commit = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    anna = at.gateway.identity.authenticator.authenticate(at.anna.present())
    asked = InvokeModel("acme/chat", Call.CHAT, "0" * 64, stream=False, body={})

    def targets() -> list[tuple[Classification, set[str]]]:
        resolved = at.gateway.inference.resolve_invoke(anna, asked)
        return [(each.classification, set(each.labels)) for each in resolved.targets]

    assert targets() == [(PUBLIC, {"public-words"})]
    await there.read(CHAT, "weights.txt", by=at.deploy)
    await at.report(CHAT, commit, at.deploy, weights_txt=b"1")
    assert targets() == [(INTERNAL, {"public-words", "chat"}), (INTERNAL, {"public-words"})]
    listed = at.gateway.inference.resolve_list(anna, ListEndpoints())
    assert [set(part.labels) for part in listed.parts] == [{"public-words", "chat"}, {"public-words"}]


@in_yard
async def test_the_newest_word_on_what_is_loaded_outlasts_a_restart(there: Yard) -> None:
    at = await house(there)
    first = await there.write(CHAT, {"weights.txt": b"1"}, by=there.train)
    second = await there.write(CHAT, {"weights.txt": b"2"}, by=there.train)
    for commit, content in ((first, b"1"), (second, b"2"), (first, b"1")):
        await there.read(CHAT, "weights.txt", by=at.deploy, revision=commit)
        assert (await at.report(CHAT, commit, at.deploy, weights_txt=content)).verified
    of = there.catalog.find(CHAT)
    assert of is not None
    for loads in (there.catalog.lineage.loads, Loads(there.catalog._state)):
        said = loads.newest(of.id, "deploy")
        assert said is not None
        assert (said.commit, said.verified) == (first, True)
        assert loads.newest(of.id, "train") is None
    assert not (await at.report(CHAT, second, at.deploy, weights_txt=b"1")).verified
    for loads in (there.catalog.lineage.loads, Loads(there.catalog._state)):
        assert loads.newest(of.id, "deploy") == Loaded(
            second, Manifest.of([("weights.txt", digest_of(b"1"))]).root, False
        )


@dataclass
class Known:
    """A version, as the model of the test has it."""

    name: RepositoryName
    commit: str
    inherited: Label
    writers: frozenset[str]
    marked: bool  # it once inherited something


@dataclass
class Reader:
    """A subject: its sessions, and all that it has read."""

    sessions: list[Actor]
    read: list[tuple[Known, Label]] = field(default_factory=list)


DECLARATION = {
    DIGITS: Label(CONFIDENTIAL),
    SECRETS: Label(RESTRICTED),
    COPY: Label(INTERNAL, frozenset({"copies"})),
    CHAT: Label(INTERNAL, frozenset({"chat"})),
    TUNED: Label(INTERNAL),
}


class Histories(RuleBasedStateMachine):
    """Reading, publishing, lowering and new sessions in any order, beside a model that knows no tables."""

    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.count = 0

    @initialize()
    def begin(self) -> None:
        self.context = yard(Path(tempfile.mkdtemp(dir=self.root)))
        there = self.loop.run_until_complete(self.context.__aenter__())
        self.at = self.loop.run_until_complete(house(there))
        self.loop.run_until_complete(there.world.apply_policies(EVERYTHING))
        self.readers = {
            "workload:train": Reader([there.train]),
            "person:emil": Reader([self.at.emil]),
            "person:anna": Reader([self.at.anna]),
        }
        self.versions: list[Known] = []
        self.heads: dict[RepositoryName, Known] = {}
        for name in DECLARATION:
            commit = self.loop.run_until_complete(there.write(name, {"f.txt": b"0"}, by=there.ingest))
            self.learn(Known(name, commit, Label(), frozenset({"workload:ingest", *self.creator(name)}), marked=False))

    def creator(self, name: RepositoryName) -> list[str]:
        return ["workload:train"] if name in {CHAT, TUNED} else []

    def learn(self, version: Known) -> None:
        self.versions.append(version)
        self.heads[version.name] = version

    @rule(who=st.sampled_from(["workload:train", "person:emil", "person:anna"]))
    def another_session(self, who: str) -> None:
        kind, _, name = who.partition(":")
        self.readers[who].sessions.append(self.loop.run_until_complete(self.at.joins(PrincipalKind(kind), name)))

    @rule(
        who=st.sampled_from(["workload:train", "person:emil", "person:anna"]),
        session=st.integers(0, 9),
        which=st.integers(0, 99),
    )
    def read(self, who: str, session: int, which: int) -> None:
        version, reader = self.versions[which % len(self.versions)], self.readers[who]
        by = reader.sessions[session % len(reader.sessions)]
        self.loop.run_until_complete(self.at.there.read(version.name, "f.txt", by=by, revision=version.commit))
        reader.read.append((version, DECLARATION[version.name].join(version.inherited)))

    @rule(
        who=st.sampled_from(["workload:train", "person:emil", "person:anna"]),
        session=st.integers(0, 9),
        name=st.sampled_from([CHAT, TUNED, COPY]),
    )
    def publish(self, who: str, session: int, name: RepositoryName) -> None:
        self.count += 1
        reader, parent = self.readers[who], self.heads[name]
        by = reader.sessions[session % len(reader.sessions)]
        content = str(self.count).encode()
        commit = self.loop.run_until_complete(self.at.there.write(name, {"f.txt": content}, by=by))
        read = [label for version, label in reader.read if version.name != name or not DECLARATION[name].covers(label)]
        inherited = Label.of([parent.inherited, *read])
        writers = parent.writers.union({who}, *(each.writers for each, _ in reader.read if each.marked))
        self.learn(Known(name, commit, inherited, writers, marked=inherited != Label()))

    @rule(
        who=st.sampled_from(["workload:train", "person:emil", "person:anna"]),
        which=st.integers(0, 99),
        level=st.sampled_from([PUBLIC, INTERNAL, CONFIDENTIAL]),
    )
    def lower(self, who: str, which: int, level: Classification) -> None:
        version, wanted = self.versions[which % len(self.versions)], Label(level)
        weaker = wanted != version.inherited and version.inherited.covers(wanted)
        allowed = who.startswith("person:") and who not in version.writers and weaker
        by = self.readers[who].sessions[0]
        try:
            self.loop.run_until_complete(self.at.lower(version.name, version.commit, wanted, by=by))
        except Refused:
            assert not allowed
        else:
            assert allowed
            version.inherited = wanted

    @invariant()
    def no_version_is_weaker_than_what_its_run_read(self) -> None:
        if hasattr(self, "versions"):
            assert [self.at.label(each.commit) for each in self.versions] == [each.inherited for each in self.versions]

    def teardown(self) -> None:
        if hasattr(self, "context"):
            self.loop.run_until_complete(self.context.__aexit__(None, None, None))
        self.loop.close()


def test_no_order_of_things_weakens_a_label_without_a_second_person(tmp_path: Path) -> None:
    Histories.root = tmp_path
    run_state_machine_as_test(Histories, settings=settings(max_examples=12, stateful_step_count=25, deadline=None))
