"""Explanations and simulations tell nobody what they may not know, and a set on trial changes no answer."""

import pytest
from sqlalchemy import delete, func, select

from nomoat.core.connection import Presented
from nomoat.core.errors import NotFound, NotPermitted, Refused, Revoked
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import (
    Change,
    CreateRepository,
    ExplainRecord,
    FindUnused,
    Operation,
    ReadDifferences,
    ReadFile,
    SimulatePolicy,
    TryPolicy,
    WriteFile,
)
from nomoat.core.principal import PrincipalKind
from nomoat.policy import starter_policies
from nomoat.policy.engine import compile_policies
from nomoat.stores.state.schema import policy_version
from tests.guard.world import World, in_world

SECRET = RepositoryName(RepositoryKind.DATASET, "acme", "secret")
PLAIN = RepositoryName(RepositoryKind.DATASET, "acme", "plain")
ABSENT = RepositoryName(RepositoryKind.DATASET, "acme", "absent")
DECLARED = """
[[group]]
name = "data-scientists"
[[person]]
name = "sue"
groups = ["data-scientists"]
clearance = "internal"
[[person]]
name = "olaf"
clearance = "internal"
[[workload]]
name = "ingest"
segment = "ingestion"
clearance = "restricted"
[[dataset]]
name = "acme/secret"
classification = "restricted"
labels = ["codename-heron"]
[[dataset]]
name = "acme/plain"
classification = "confidential"
owner = "person:olaf"
"""

WITHHOLDING = """
[[dataset]]
name = "acme/plain"
classification = "confidential"
owner = "person:olaf"
files = [
  {path = "*/metrics.json", labels = ["metrics"], classification = "internal"},
  {path = "*/heron.csv", labels = ["pii"]},
]
"""


async def prepared(there: World) -> tuple[Presented, Presented]:
    """Sue and Olaf; two repositories that exist."""
    await there.declare(DECLARED)
    ingest = (await there.joined(PrincipalKind.WORKLOAD, "ingest")).present()
    for name in (SECRET, PLAIN):
        async with there.gateway.guard.admit(ingest, CreateRepository(name)) as permit:
            await there.gateway.writing.create_repository(permit)
    people = [(await there.joined(PrincipalKind.PERSON, name)).present() for name in ("sue", "olaf")]
    return people[0], people[1]


async def refusal(there: World, who: Presented, operation: Operation) -> int:
    with pytest.raises(Refused) as caught:
        async with there.gateway.guard.admit(who, operation):
            pass
    assert caught.value.record is not None
    return caught.value.record


async def explained(there: World, who: Presented, number: int, *, own: bool = True) -> dict[str, object]:
    async with there.gateway.guard.admit(who, ExplainRecord(number, own)) as permit:
        return await there.gateway.history.explain(permit)


@in_world
async def test_attack_explaining_tells_a_hidden_repository_from_a_missing_one(there: World) -> None:
    sue, _ = await prepared(there)
    hidden = await explained(there, sue, await refusal(there, sue, ReadFile(SECRET, "main", "a")))
    missing = await explained(there, sue, await refusal(there, sue, ReadFile(ABSENT, "main", "a")))
    for answer in (hidden, missing):
        del answer["record"], answer["at"]
    assert hidden == missing
    assert "heron" not in str(hidden)


@in_world
async def test_attack_explaining_after_the_policies_are_lost_tells_a_hidden_repository_from_a_missing_one(
    there: World,
) -> None:
    sue, _ = await prepared(there)
    numbers = [await refusal(there, sue, ReadFile(name, "main", "a")) for name in (SECRET, ABSENT)]
    await there.apply_policies(
        {**starter_policies(), "x.cedar": '@id("x") forbid (principal, action == NoMoat::Action::"Enroll", resource);'}
    )
    state = there.gateway.writing._catalog._state
    newest = select(func.max(policy_version.c.number)).scalar_subquery()
    await state.write(
        lambda connection: connection.execute(delete(policy_version).where(policy_version.c.number < newest))
    )
    told = [await explained(there, sue, number) for number in numbers]
    for answer in told:
        del answer["record"], answer["at"]
    assert told[0] == told[1]


@in_world
async def test_attack_explaining_a_repository_that_was_hidden_since(there: World) -> None:
    sue, _ = await prepared(there)
    number = await refusal(there, sue, ReadFile(PLAIN, "main", "a"))
    assert "ways" in await explained(there, sue, number)
    files = {
        **starter_policies(),
        "x.cedar": '@id("x") forbid (principal, action == NoMoat::Action::"Discover", resource);',
    }
    await there.apply_policies(files)
    assert "ways" not in await explained(there, sue, number)


@in_world
async def test_attack_an_explanation_names_another_person_or_a_policy_s_text(there: World) -> None:
    sue, _ = await prepared(there)
    answer = await explained(there, sue, await refusal(there, sue, ReadFile(PLAIN, "main", "a")))
    assert "olaf" not in str(answer)
    assert "permit (" not in str(answer)
    assert answer["policies"] == ["nobody-reads-above-clearance"]
    assert "considered" not in answer


async def stocked(there: World) -> Presented:
    """Sue, who may browse a repository; the folder `raw` of it is withheld from her, `open` is not."""
    sue, _ = await prepared(there)
    await there.declare(WITHHOLDING)
    ingest = (await there.joined(PrincipalKind.WORKLOAD, "ingest")).present()
    paths = ("raw/heron.csv", "mixed/heron.csv", "mixed/metrics.json", "open/metrics.json")
    commit = WriteFile(PLAIN, "main", tuple(Change(path, content=b"x") for path in paths), "t")
    async with there.gateway.guard.admit(ingest, commit) as permit:
        await there.gateway.writing.write_file(permit)
    return sue


def removal(*folders: str) -> WriteFile:
    return WriteFile(PLAIN, "main", tuple(Change(path, removal=True, folder=True) for path in folders), "t")


@in_world
async def test_attack_removing_a_folder_to_be_explained_which_withheld_files_it_has(there: World) -> None:
    sue = await stocked(there)
    told = [await explained(there, sue, await refusal(there, sue, removal(each))) for each in ("raw", "nope")]
    for answer in told:
        del answer["record"], answer["at"]
    assert "heron" not in str(told)
    assert "pii" not in str(told), "how a file is labelled that may not be there"
    assert told[0] == told[1]
    assert told[0]["partial"] is True

    mixed = await explained(there, sue, await refusal(there, sue, removal("mixed", "raw")))
    assert mixed["on"] == ["dataset:acme/plain:mixed/metrics.json"]
    assert "heron" not in str(mixed)
    assert "ways" not in mixed


@in_world
async def test_attack_removing_a_folder_to_be_refused_by_the_name_of_a_withheld_file(there: World) -> None:
    sue = await stocked(there)
    said: set[str] = set()
    for folder in ("raw", "mixed", "nope"):
        with pytest.raises(NotPermitted) as caught:
            async with there.gateway.guard.admit(sue, removal(folder)):
                pass
        said.add(caught.value.reason)
    assert said == {"sue may not WriteFile acme/plain: refused by nobody-writes-above-clearance"}


@in_world
async def test_a_refused_removal_of_what_one_may_see_is_explained_as_ever(there: World) -> None:
    sue = await stocked(there)
    number = await refusal(there, sue, removal("open"))
    told = await explained(there, sue, number)
    assert told["on"] == ["acme/plain:open/metrics.json"]
    assert "ways" in told
    everything = await explained(there, there.admin.present(), number, own=False)
    assert everything["considered"]

    named = await refusal(there, sue, WriteFile(PLAIN, "main", (Change("raw/heron.csv", removal=True),), "t"))
    assert (await explained(there, sue, named))["on"] == ["acme/plain:raw/heron.csv"], "she named it herself"


@in_world
async def test_attack_the_refusals_of_others_are_as_if_there_were_none(there: World) -> None:
    sue, olaf = await prepared(there)
    number = await refusal(there, sue, ReadFile(PLAIN, "main", "a"))
    for asked in (number, 10**9):
        with pytest.raises(NotFound, match=f"there is no record {asked} that you may explain"):
            await explained(there, olaf, asked)
    with pytest.raises(NotPermitted):
        await explained(there, olaf, number, own=False)
    assert (await explained(there, there.admin.present(), number, own=False))["confirmed"] is True


@in_world
async def test_attack_a_stolen_bearer_learns_why(there: World) -> None:
    """What is known of policies helps a thief: explaining needs a credential that cannot be copied."""
    await there.declare(DECLARED)
    actor = await there.joined(PrincipalKind.PERSON, "sue")
    stolen = actor.present(await there.bearer(actor), bound=False)
    number = await refusal(there, stolen, CreateRepository(PLAIN))
    with pytest.raises(NotPermitted):
        await explained(there, stolen, number)


@pytest.mark.parametrize(
    "operation",
    [SimulatePolicy((), (), ""), ReadDifferences(""), FindUnused(1), TryPolicy(()), ExplainRecord(1, own=False)],
    ids=lambda each: type(each).__name__,
)
@in_world
async def test_attack_working_on_policies_without_the_role(there: World, operation: Operation) -> None:
    sue, _ = await prepared(there)
    await refusal(there, sue, operation)


@in_world
async def test_attack_a_set_on_trial_that_allows_everything_allows_nothing(there: World) -> None:
    sue, _ = await prepared(there)
    everything = {"all.cedar": '@id("all") permit (principal, action, resource);'}
    async with there.gateway.guard.admit(there.admin.present(), TryPolicy(tuple(everything.items()))) as permit:
        await there.gateway.trial.begin(permit)
    number = await refusal(there, sue, ReadFile(PLAIN, "main", "a"))
    (record,) = await there.gateway.log.read(f"record {number}")
    digest = compile_policies(everything).digest
    assert record["candidate"] == {"snapshot": digest, "decision": "allow", "policies": ["all"]}


@in_world
async def test_attack_a_huge_set_on_trial_makes_records_too_large(there: World) -> None:
    """A candidate whose every policy forbids is named in part: the access is recorded and served all the same."""
    many = "\n".join(f'@id("{"n" * 55}-{number}") forbid (principal, action, resource);' for number in range(2000))
    async with there.gateway.guard.admit(there.admin.present(), TryPolicy((("many.cedar", many),))) as permit:
        await there.gateway.trial.begin(permit)
    async with there.gateway.guard.admit(there.admin.present(), ReadDifferences("")) as reading:
        receipt = reading.receipt
        answer = await there.gateway.history.differences(reading)
    assert answer["newly_refused"] == 1
    (record,) = await there.gateway.log.read(f"record {receipt.index}")
    assert isinstance(record["candidate"], dict)
    assert len(record["candidate"]["policies"]) == 16


@in_world
async def test_attack_a_replay_goes_on_after_its_session_was_revoked(there: World) -> None:
    auditor = there.admin.present()

    async def replay() -> None:
        async with there.gateway.guard.admit(auditor, FindUnused(1)) as permit:
            there.gateway.guard.end_sessions(frozenset({there.admin.session}), "test")
            await there.gateway.history.unused(permit)

    with pytest.raises(Revoked):
        await replay()
