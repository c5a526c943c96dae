"""What a caller may not describe is in no listing: decided for each file, and applied before anything is made of it."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.core.decision import Allow, Withhold
from nomoat.core.directory import FileRule, Repository
from nomoat.core.errors import Misuse, NotFound, Refused
from nomoat.core.lifecycle import Stage
from nomoat.core.names import Classification, RepositoryKind, RepositoryName
from nomoat.core.operation import DescribeFile, DescribeRepository, ListCommits, ListFiles
from nomoat.core.verdict import Verdict
from nomoat.policy import starter_policies
from nomoat.resources.repositories.alike import group_alike, shown
from nomoat.resources.repositories.labels import Version, file_target
from nomoat.resources.repositories.references import WITHHELD
from nomoat.stores.blob import StoredBlob
from nomoat.stores.revisions import StoredFile
from tests.guard.world import Actor
from tests.resources.world import DIGITS, Yard, in_yard

FILES = {"metrics.json": b"{}", "open/a.txt": b"a", "open/b.txt": b"b", "raw/rows.csv": b"1,2", "raw/deep/x": b"x"}


async def listed(there: Yard, by: Actor, under: str = "") -> list[str]:
    async with there.guard.admit(by.present(), ListFiles(DIGITS, "main", under)) as permit:
        return list(there.reading.list_files(permit).paths)


async def described(there: Yard, by: Actor) -> list[str]:
    async with there.guard.admit(by.present(), DescribeRepository(DIGITS, "main")) as permit:
        return list(there.reading.describe_repository(permit).paths)


async def may_describe(there: Yard, by: Actor, path: str) -> bool:
    try:
        await there.permitted(DescribeFile(DIGITS, "main", path), by)
    except Refused:
        return False
    return True


@in_yard
async def test_a_listing_has_exactly_the_files_that_its_reader_may_describe(there: Yard) -> None:
    await there.write(DIGITS, FILES)
    low = await there.low_ingestion()
    for who in (there.ingest, there.train, there.scientist, low):
        expected = [path for path in sorted(FILES) if await may_describe(there, who, path)]
        assert await listed(there, who) == await described(there, who) == expected
    assert await listed(there, there.scientist) == ["metrics.json"]
    assert await listed(there, low) == ["metrics.json", "open/a.txt", "open/b.txt"]
    with pytest.raises(NotFound, match="Entry not found: raw"):
        await listed(there, low, "raw")
    assert await listed(there, low, "open") == ["open/a.txt", "open/b.txt"]


@in_yard
async def test_a_file_that_a_policy_names_is_decided_alone(there: Yard) -> None:
    await there.write(DIGITS, FILES)
    low = await there.low_ingestion()
    named = """
@id("not-this-one")
forbid (principal, action, resource == NoMoat::File::"dataset:acme/digits:open/b.txt");
@id("but-this-one")
permit (principal in NoMoat::Group::"data-scientists", action == NoMoat::Action::"DescribeFile", resource)
when { resource == NoMoat::File::"dataset:acme/digits:open/a.txt" };
"""
    await there.world.apply_policies({**starter_policies(), "named.cedar": named})
    assert await listed(there, low) == ["metrics.json", "open/a.txt"]
    assert await listed(there, there.scientist) == ["metrics.json", "open/a.txt"]
    await there.world.apply_policies(dict(starter_policies()))
    assert await listed(there, low) == ["metrics.json", "open/a.txt", "open/b.txt"]


@in_yard
async def test_a_label_that_changes_changes_the_next_listing(there: Yard) -> None:
    await there.write(DIGITS, FILES)
    assert await listed(there, there.scientist) == ["metrics.json"]
    await there.world.declare(
        """
[[dataset]]
name = "acme/digits"
classification = "confidential"
files = [{ path = "raw/**", labels = ["metrics"], classification = "public" }]
"""
    )
    assert await listed(there, there.scientist) == ["raw/deep/x", "raw/rows.csv"]


@in_yard
async def test_a_label_changed_while_a_listing_is_recorded_is_obeyed(there: Yard) -> None:
    await there.write(DIGITS, FILES)
    low = await there.low_ingestion()
    there.world.disk.hold()
    task = asyncio.create_task(listed(there, low))
    await there.world.disk.reached()
    declarations = there.world.gateway.declarations
    stricter = replace(declarations.current.repositories[DIGITS], files=())
    repositories = {**declarations.current.repositories, DIGITS: stricter}
    # As if it had been applied; a real one would wait for the same disk.
    declarations._swap(
        replace(declarations.current, generation=declarations.current.generation + 1, repositories=repositories)
    )
    there.world.disk.release()
    assert await task == []


@in_yard
async def test_the_record_says_what_kinds_were_withheld_and_no_name(there: Yard) -> None:
    await there.write(DIGITS, FILES)
    await listed(there, there.scientist)
    records = await there.world.gateway.log.read("what ListFiles by scientist")
    (opening,) = [record for record in records if record["kind"] == "opening"]
    assert opening["obligations"] == [
        {
            "withhold": [{"classification": "confidential", "labels": []}, {"classification": "public", "labels": []}],
            "kinds": 2,
        }
    ]
    assert "raw" not in str(opening)
    await listed(there, there.ingest)
    (unhindered,) = await there.world.gateway.log.read("what ListFiles by ingest allowed")
    assert "obligations" not in unhindered


@in_yard
async def test_a_resource_that_does_not_apply_an_obligation_refuses_the_permit(there: Yard) -> None:
    await there.write(DIGITS, FILES)
    async with there.guard.admit(there.scientist.present(), ListFiles(DIGITS, "main", "")) as permit:
        assert isinstance(permit.allow, Allow)
        assert [type(each) for each in permit.allow.obligations] == [Withhold]
        with pytest.raises(Misuse, match="does not apply an obligation"):
            permit.claim(ListFiles)
        assert list(there.reading.list_files(permit).paths) == ["metrics.json"]


@in_yard
async def test_titles_of_commits_to_withheld_files_are_not_told(there: Yard) -> None:
    await there.write(DIGITS, {"open/a.txt": b"a"})
    await there.write(DIGITS, {"raw/rows.csv": b"1"})
    low = await there.low_ingestion()
    told: dict[str, list[str]] = {}
    for name, who in (("all", there.ingest), ("low", low)):
        async with there.guard.admit(who.present(), ListCommits(DIGITS, "main")) as permit:
            told[name] = [made.title for made in there.references.list_commits(permit).commits]
    assert told == {
        "all": ["test", "test", "Create the repository"],
        "low": [WITHHELD, "test", "Create the repository"],
    }


# -- the groups -------------------------------------------------------------------------------------------

segments = st.sampled_from(["a", "b", "ab", "a.b", "x"])
globs = st.lists(st.sampled_from(["a", "*", "**", "a*", "?b", "*.b", "[ab]"]), min_size=1, max_size=4).map("/".join)
rules = st.builds(
    FileRule,
    globs,
    st.frozensets(st.sampled_from(["m", "n"])),
    st.none() | st.sampled_from(list(Classification)),
)
repositories = st.builds(
    lambda files: Repository(
        RepositoryName(RepositoryKind.DATASET, "acme", "digits"), Classification.INTERNAL, files=tuple(files)
    ),
    st.lists(rules, max_size=4),
)
paths = st.lists(st.lists(segments, min_size=1, max_size=4).map("/".join), unique=True, max_size=12).map(sorted)


@given(repositories, paths, st.data())
def test_the_target_of_a_group_is_that_of_each_of_its_files_but_for_the_name(
    declared: Repository, paths: list[str], data: st.DataObject
) -> None:
    named = data.draw(st.frozensets(st.sampled_from([*paths, "elsewhere"])))
    verdicts = {path: data.draw(st.sampled_from(Verdict)) for path in paths}
    files = {path: StoredFile("", 1, "", StoredBlob("", 1, b""), verdict) for path, verdict in verdicts.items()}
    version = Version("c", Stage.APPROVED, authored=False)
    alike = group_alike(declared, paths, named, version, files)
    for path, number in zip(paths, alike.group, strict=True):
        own, stands = file_target(declared, path, version, verdicts[path]), alike.targets[number]
        assert own._replace(id="", name="") == stands._replace(id="", name="")
        if path in named:
            assert own == stands
            assert list(alike.group).count(number) == 1
    withheld = data.draw(st.frozensets(st.sampled_from(range(len(alike.targets))))) if alike.targets else frozenset()
    left = shown(alike, (Withhold(withheld),))
    assert list(left) == [path for path, number in zip(paths, alike.group, strict=True) if number not in withheld]
