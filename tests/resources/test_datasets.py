"""Versions of a dataset: who contributed what, what one contributor may set, and what a reviewer is shown of a version."""

import csv
import io
import json
import random
import string
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.chain import Changed, Held, Link, faults, files_of, hashes_of, manifest_digest
from nomoat.core.errors import Conflict, Malformed, NotFound, NotPermitted, TooLarge
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import (
    ApproveVersion,
    Change,
    CreateBranch,
    DiffVersions,
    ReadManifest,
    ShredVersion,
    WithdrawVersion,
    WriteFile,
)
from nomoat.core.principal import PrincipalKind
from nomoat.core.profile import Column, Profile
from nomoat.resources.repositories import comparing
from nomoat.resources.repositories.comparing import Compared, Manifest
from nomoat.resources.repositories.drift import compared
from tests.guard.world import Actor
from tests.resources.world import Yard, in_yard

REVIEWS = RepositoryName(RepositoryKind.DATASET, "acme", "reviews")
DECLARED = """
[[group]]
name = "approvers"
[[group]]
name = "data-engineers"
[[person]]
name = "anna"
groups = ["approvers"]
clearance = "internal"
[[person]]
name = "eve"
groups = ["data-engineers"]
clearance = "internal"
[[person]]
name = "stranger"
[[dataset]]
name = "acme/reviews"
classification = "internal"
owner = "group:data-engineers"
review = "required"
files = [{ path = "private/**", classification = "restricted" }]
"""


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same rows every time


WORDS = ["".join(seeded(n).choices(string.ascii_lowercase, k=7)) for n in range(500)]


def texts(count: int, seed: int, label: Sequence[int] = (0, 1)) -> bytes:
    """Rows of a text that is like no other, and a label, as CSV."""
    chance = seeded(seed)
    return rows([(" ".join(chance.choices(WORDS, k=20)), chance.choice(label)) for _ in range(count)])


def rows(these: Sequence[tuple[str, int]]) -> bytes:
    made = io.StringIO()
    csv.writer(made).writerows([("text", "label"), *these])
    return made.getvalue().encode()


def flood(count: int, seed: int = 7) -> bytes:
    """Rows that are one text but for a word."""
    chance = seeded(seed)
    text = chance.choices(WORDS, k=40)
    return rows([(" ".join([*text[:20], chance.choice(WORDS), *text[21:]]), 1) for _ in range(count)])


class Reviews:
    """A dataset that is reviewed, and who has to do with it."""

    def __init__(self, there: Yard, anna: Actor, eve: Actor) -> None:
        self.there, self.anna, self.eve = there, anna, eve

    async def publish(self, files: dict[str, bytes], by: Actor | None = None) -> str:
        return await self.there.write(REVIEWS, files, by=by)

    async def approve(self, commit: str) -> None:
        async with self.there.guard.admit(self.anna.present(), ApproveVersion(REVIEWS, commit, (), "")) as permit:
            await self.there.world.gateway.lifecycle.approve(permit)

    async def withdraw(self, commit: str) -> None:
        async with self.there.guard.admit(self.anna.present(), WithdrawVersion(REVIEWS, commit, "bad")) as permit:
            await self.there.world.gateway.lifecycle.withdraw(permit)

    async def diff(self, by: Actor | None = None, base: str = "", revision: str = "candidate") -> Compared:
        asked = DiffVersions(REVIEWS, base, revision)
        async with self.there.guard.admit((by or self.anna).present(), asked) as permit:
            return await self.there.world.gateway.comparing.diff_versions(permit)

    async def manifest(self, by: Actor | None = None, revision: str = "candidate") -> Manifest:
        asked = ReadManifest(REVIEWS, revision)
        async with self.there.guard.admit((by or self.anna).present(), asked) as permit:
            return await self.there.world.gateway.comparing.read_manifest(permit)


async def reviews_of(there: Yard, more: str = "") -> Reviews:
    await there.world.declare(DECLARED.replace('review = "required"', f'review = "required"\n{more}'))
    anna, eve = [await there.world.joined(PrincipalKind.PERSON, name) for name in ("anna", "eve")]
    await there.create(REVIEWS)
    return Reviews(there, anna, eve)


@in_yard
async def test_a_manifest_names_every_file_with_who_contributed_it_and_when(there: Yard) -> None:
    reviews = await reviews_of(there)
    first = await reviews.publish({"a.csv": b"one", "b.csv": b"two"})
    second = await reviews.publish({"b.csv": b"three"}, by=reviews.eve)
    found = await reviews.manifest()
    assert {path: (held.contributor, held.since, held.size) for path, held in found.files.items()} == {
        "a.csv": ("workload:ingest", first, 3),
        "b.csv": ("person:eve", second, 5),
    }
    assert faults(found.links) == []
    older = await reviews.manifest(revision=first)
    assert found.links[: len(older.links)] == older.links  # what was there stays there
    log = await there.world.gateway.log.read("what WriteFile")
    assert found.links[-1].manifest in json.dumps(log)


@in_yard
async def test_files_above_the_reviewers_clearance_are_hashes_and_in_no_figure(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.publish({"a.csv": texts(30, 1), "private/names.csv": texts(30, 2)})
    found = await reviews.manifest()
    assert list(found.files) == ["a.csv"]
    assert found.withheld == 1
    assert faults(found.links) == []  # the chain holds all the same
    compared = await reviews.diff()
    assert compared.withheld == 1
    assert compared.found.rows == (0, 30)
    assert "private" not in repr(compared)


@in_yard
async def test_who_may_not_know_of_the_dataset_sees_no_manifest_and_no_figure(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.publish({"a.csv": b"one"})
    stranger = await there.world.joined(PrincipalKind.PERSON, "stranger")
    for asked in (reviews.manifest, reviews.diff):
        with pytest.raises(NotFound, match="Repository not found"):
            await asked(by=stranger)
    with pytest.raises(NotPermitted):
        await reviews.diff(by=there.scientist)
    with pytest.raises(NotFound, match="Revision not found"):
        await reviews.diff(base="0" * 40)


@in_yard
async def test_a_reviewer_sees_what_is_new_and_no_row(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.approve(await reviews.publish({"a.csv": texts(200, 1), "b.csv": texts(50, 2)}))
    quiet = await reviews.publish({"c.csv": texts(40, 3)})
    compared = await reviews.diff()
    assert list(compared.found.flags) == []
    assert compared.after == quiet
    assert (compared.found.added, compared.found.rows) == (["c.csv"], (250, 290))
    await there.commit(REVIEWS, Change("b.csv", removal=True))
    await reviews.publish({"a.csv": texts(10, 4)}, by=reviews.eve)
    found = (await reviews.diff()).found
    assert found.flags[:3] == [
        "new contributor: person:eve",
        "1 files that were there are gone",
        "1 files that were there are other ones now",
    ]
    assert "the number of rows changed from 250 to 50" in found.flags
    assert not any(word in repr(found) for word in WORDS)


# -- Attacks ------------------------------------------------------------------------------------------


@in_yard
async def test_a_flood_of_near_duplicates_under_another_contributor_stands_out(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.approve(await reviews.publish({"a.csv": texts(300, 1)}))
    await reviews.publish({"b.csv": flood(60)}, by=reviews.eve)
    found = (await reviews.diff()).found
    assert "new contributor: person:eve" in found.flags
    assert any("new rows that were compared are near duplicates of each other" in flag for flag in found.flags)
    assert found.alike.path == "b.csv"
    assert found.alike.largest >= 50
    assert found.alike.known == 0


@in_yard
async def test_copies_of_what_was_there_with_other_labels_stand_out(there: Yard) -> None:
    reviews = await reviews_of(there)
    chance = seeded(1)
    there_before = [(" ".join(chance.choices(WORDS, k=20)), number % 2) for number in range(200)]
    await reviews.approve(await reviews.publish({"a.csv": rows(there_before)}))
    await reviews.publish({"b.csv": rows([(text, 1 - label) for text, label in there_before[:50]])})
    found = (await reviews.diff()).found
    assert found.alike.known >= 48
    assert any("near duplicates of rows that were there" in flag for flag in found.flags)


@in_yard
async def test_flipped_labels_move_the_distribution(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.approve(await reviews.publish({"a.csv": texts(200, 1)}))
    await reviews.publish({"b.csv": texts(200, 2, label=(1,))})
    (drift,) = (await reviews.diff()).found.values
    assert drift.column == "label"
    assert 0.2 < drift.distance < 0.3
    assert set(drift.values) == {"0", "1"}


@in_yard
async def test_labels_that_are_flipped_beside_many_others_are_not_lost(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.approve(await reviews.publish({"a.csv": texts(200, 1)}))
    await reviews.publish({"b.csv": texts(200, 2, label=(1,)), "c.csv": texts(200, 3, label=range(1000, 1100))})
    found = (await reviews.diff()).found
    assert found.uncounted == ["label"]
    assert "the values of label are too many to compare: they were few" in found.flags


@pytest.mark.parametrize("column", [b"text,label", b"text,note"])
@in_yard
async def test_labels_that_are_gone_move_the_distribution(there: Yard, column: bytes) -> None:
    reviews = await reviews_of(there)
    await reviews.approve(await reviews.publish({"a.csv": texts(200, 1)}))
    unlabelled = texts(200, 2).replace(b",0", b",").replace(b"text,label", column)
    await reviews.publish({"b.csv": unlabelled})
    (drift,) = [each for each in (await reviews.diff()).found.values if each.column == "label"]
    assert drift.distance > 0.2
    assert drift.values[""][0] == 0
    assert drift.values[""][1] > 0.2


def test_a_part_that_was_examined_stands_for_the_whole_file() -> None:
    def profile(rows: int, looked: int, ones: int) -> Profile:
        label = Column("number", 0, {"0": looked - ones, "1": ones}, {})
        return Profile("parquet", rows, looked, {"label": label})

    old, new = Held("a", 1, "person:anna", "v", 0.0), Held("b", 1, "person:eve", "v", 0.0)
    profiles = {"a": profile(1000, 1000, 500), "b": profile(99_000, 100, 100)}
    found = compared({"a": old}, {"a": old, "b": new}, profiles, frozenset())
    assert found.values[0].values["1"] == pytest.approx((0.5, 0.995))


@in_yard
async def test_another_schema_and_longer_texts_stand_out(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.approve(await reviews.publish({"a.jsonl": b'{"text": "short one", "n": 1}\n' * 20}))
    await reviews.publish({"b.jsonl": b'{"text": "%s", "n": "1", "more": true}\n' % (b"long " * 50) * 20})
    found = (await reviews.diff()).found
    assert found.schema == {"more": ("", "boolean"), "n": ("number", "number/text")}
    assert found.lengths[0].column == "text"
    assert found.lengths[0].distance == pytest.approx(0.5)


@in_yard
async def test_what_says_nothing_of_its_rows_is_named_not_left_out(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.publish(
        {"a.bin": seeded(1).randbytes(3000), "b.csv": b"a,b\n" + b"1,2\n" * 30 + b"3\n", "c.txt": b"x\n"}
    )
    found = (await reviews.diff()).found
    assert sorted(found.unprofiled) == ["a.bin", "b.csv"]
    assert "a row of 1 cells under 2 columns" in found.unprofiled["b.csv"]
    assert "2 files say nothing of their rows" in found.flags


@in_yard
async def test_a_cap_counts_what_the_version_holds_of_one_contributor_however_it_came(there: Yard) -> None:
    reviews = await reviews_of(there, "contributor_cap = { files = 3, megabytes = 1 }")
    for number in range(3):  # many small commits
        await reviews.publish({f"{number}.txt": b"a"})
    with pytest.raises(TooLarge, match=r"4 files of 4 bytes were yours.*may set 3 files of 1000000 bytes"):
        await reviews.publish({"3.txt": b"a"})
    second = await there.world.joined(PrincipalKind.WORKLOAD, "ingest")  # the same one from another machine
    with pytest.raises(TooLarge):
        await reviews.publish({"3.txt": b"a"}, by=second)
    assert len((await reviews.manifest()).files) == 3
    await reviews.publish({"3.txt": b"b"}, by=reviews.eve)  # somebody else's
    head = await reviews.publish({"2.txt": b"other"})  # still three
    await reviews.approve(head)
    await reviews.publish({"4.txt": b"a"})  # a new round
    with pytest.raises(TooLarge, match="bytes"):
        await reviews.publish({"5.txt": b"a" * 1_000_000})


@in_yard
async def test_a_withdrawn_version_does_not_begin_a_round(there: Yard) -> None:
    reviews = await reviews_of(there, "contributor_cap = { files = 2, megabytes = 1 }")
    first = await reviews.publish({"1.txt": b"a", "2.txt": b"a"})
    await reviews.approve(first)
    await reviews.withdraw(first)
    with pytest.raises(TooLarge, match="3 files"):
        await reviews.publish({"3.txt": b"a"})


@in_yard
async def test_an_append_only_dataset_keeps_what_was_approved(there: Yard) -> None:
    reviews = await reviews_of(there, "append_only = true")
    approved = await reviews.publish({"a.txt": b"one", "b.txt": b"one"})
    await reviews.publish({"a.txt": b"two"})  # nobody approved it yet
    await reviews.approve(await reviews.publish({"a.txt": b"one"}))
    for change in (Change("a.txt", content=b"two"), Change("b.txt", removal=True)):
        with pytest.raises(Conflict, match=rf"{change.path}: version \w{{12}} is approved and has it.*append-only"):
            await there.commit(REVIEWS, change)
    with pytest.raises(Conflict, match=r"a\.txt and 1 more"):
        await reviews.publish({"a.txt": b"two", "b.txt": b"two", "c.txt": b"new"})
    third = await reviews.publish({"c.txt": b"new"})
    await reviews.approve(third)
    await reviews.withdraw(third)  # what was wrong in it can go
    await there.commit(REVIEWS, Change("c.txt", removal=True))
    assert approved in {link.commit for link in (await reviews.manifest()).links}


@in_yard
async def test_a_branch_from_before_does_not_rewrite_what_was_approved_since(there: Yard) -> None:
    reviews = await reviews_of(there, "append_only = true")
    start = await there.head(REVIEWS)
    await reviews.approve(await reviews.publish({"a.txt": b"one"}))
    async with there.guard.admit(there.ingest.present(), CreateBranch(REVIEWS, "aside", start)) as permit:
        await there.references.create_branch(permit)

    async def publish(path: str, content: bytes) -> str:
        operation = WriteFile(REVIEWS, "aside", (Change(path, content=content),), "aside", "")
        async with there.guard.admit(there.ingest.present(), operation) as permit:
            return await there.writing.write_file(permit)

    with pytest.raises(Conflict, match=r"a\.txt: version \w{12} is approved and has it.*append-only"):
        await publish("a.txt", b"two")
    await publish("a.txt", b"one")  # what it is
    await publish("b.txt", b"new")


@pytest.mark.parametrize(
    "cap",
    [
        "5",
        "{ files = 0, megabytes = 1 }",
        "{ files = 1 }",
        "{ files = 1, megabytes = true }",
        "{ files = 1, size = 2 }",
    ],
)
@in_yard
async def test_a_cap_is_written_in_one_way(there: Yard, cap: str) -> None:
    with pytest.raises(Malformed, match="contributor_cap is written"):
        await there.world.declare(f'[[dataset]]\nname = "a/b"\nreview = "required"\ncontributor_cap = {cap}\n')


@in_yard
async def test_a_cap_needs_rounds_to_count_in(there: Yard) -> None:
    with pytest.raises(Malformed, match='add review = "required"'):
        await there.world.declare('[[dataset]]\nname = "a/b"\ncontributor_cap = { files = 1, megabytes = 1 }\n')


@in_yard
async def test_figures_are_kept_by_content(there: Yard) -> None:
    reviews = await reviews_of(there)
    await reviews.publish({"a.csv": texts(30, 1)})
    first = (await reviews.diff()).found
    profiles = there.world.gateway.comparing._profiles
    profiles._make = None  # type: ignore[assignment]  # nobody is asked again
    assert (await reviews.diff()).found == first
    assert (await reviews.manifest()).rows == {"a.csv": 30}


# -- The chain ----------------------------------------------------------------------------------------

PATHS = st.sampled_from(["a", "b", "c/d"])
CHANGES = st.dictionaries(PATHS, st.one_of(st.none(), st.binary(min_size=1, max_size=2)), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["person:a", "workload:b"]), CHANGES), max_size=8), st.data())
def test_a_chain_holds_what_a_small_model_says_and_no_edit_of_it_stays_unseen(
    commits: list[tuple[str, dict[str, bytes | None]]], data: st.DataObject
) -> None:
    model: dict[str, Held] = {}
    links: list[Link] = []
    for number, (author, changes) in enumerate(commits):
        changed = tuple(
            Changed(path, content.hex() if content else "", len(content or b"")) for path, content in changes.items()
        )
        before = links[-1].manifest if links else ""
        hashes = hashes_of(changed)
        links.append(
            Link(
                str(number),
                author,
                float(number),
                changed,
                hashes,
                manifest_digest(before, str(number), author, number, hashes),
            )
        )
        for path, content in changes.items():
            model.pop(path, None)
            if content:
                model[path] = Held(content.hex(), len(content), author, str(number), float(number))
    assert files_of(links) == model
    assert faults(links) == []
    if not links:
        return
    place = data.draw(st.integers(0, len(links) - 1))
    link = links[place]
    edited = data.draw(
        st.sampled_from(
            [
                replace(link, author="person:eve"),
                replace(link, at=link.at + 1),
                replace(link, commit="other"),
                replace(link, hashes=link.hashes[1:]),
                replace(link, changes=(link.changes[0]._replace(digest="ff" * 32), *link.changes[1:])),
                replace(link, manifest="00" * 32),
            ]
        )
    )
    assert faults([*links[:place], edited, *links[place + 1 :]]) != []
    if place < len(links) - 1:
        assert faults([*links[:place], *links[place + 1 :]]) != []


@in_yard
async def test_what_there_was_no_time_for_is_named_and_done_the_next_time(
    there: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews = await reviews_of(there)
    await reviews.publish({"a.csv": texts(30, 1)})
    monkeypatch.setattr(comparing, "LONGEST_S", -1.0)
    found = (await reviews.diff()).found
    assert "no time left; ask again" in found.unprofiled["a.csv"]
    assert "1 files say nothing of their rows" in found.flags
    monkeypatch.undo()
    assert (await reviews.diff()).found.unprofiled == {}


@in_yard
async def test_a_chain_holds_after_a_version_was_shredded_and_no_figure_of_it_stays(there: Yard) -> None:
    reviews = await reviews_of(there)
    await there.world.apply_policies({"all.cedar": '@id("all") permit (principal, action, resource);'})
    first = await reviews.publish({"a.csv": texts(30, 1), "b.csv": texts(30, 2)})
    second = await reviews.publish({"a.csv": texts(30, 3)})
    before = await reviews.manifest(revision=second)
    await reviews.diff(base=first, revision=second)  # which keeps figures of both
    shred = ShredVersion(REVIEWS, first, "asked for", (), keep_shared=True)
    async with there.guard.admit(there.world.admin.present(), shred) as permit:
        await there.world.gateway.shredder.shred(permit)
    after = await reviews.manifest(revision=second)
    assert faults(after.links) == []
    assert after.links == before.links
    shredded = await reviews.manifest(revision=first)
    assert shredded.files["a.csv"].contributor == "workload:ingest"
    assert "a.csv" not in shredded.rows
    compared = await reviews.diff(base=first, revision=second)
    assert (compared.found.added, compared.found.changed) == (["a.csv"], [])
