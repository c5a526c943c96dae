"""No sequence of operations lets one person both write and approve.

Rules: what is done is done through the guard, with policies that permit everything, so that nothing but the code keeps
the two apart. Beside it stands a small model that knows no tables: who wrote what after what, and who stood up for it.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from nomoat.core.errors import Refused
from nomoat.core.lifecycle import Stage
from nomoat.core.operation import Change, CreateBranch, CreateTag, DeleteBranch, DeleteTag, OpT, WriteFile
from nomoat.core.permit import Permit
from nomoat.core.principal import PrincipalKind
from nomoat.policy import starter_policies
from tests.guard.world import Actor
from tests.resources.test_lifecycle import WEIGHTS, Parts, parts_of
from tests.resources.world import yard

EVERYTHING = {"all.cedar": '@id("everything") permit (principal, action, resource);'}
READING = {"versions.cedar": starter_policies()["versions.cedar"]}  # what of a version may be had, where it stands
PEOPLE = ("emil", "anna")
WRITERS = ("train", *PEOPLE)
PATH = "weights.txt"

writers = st.sampled_from(WRITERS)
people = st.sampled_from(PEOPLE)
branches = st.sampled_from(["main", "main", "next"])
places = st.integers(0, 4)  # of a commit: how many there are after it
devices = st.integers(0, 1)
# One rule takes all of them: hypothesis leaves rules out of an example at random, and few examples would ever do both.
steps = st.one_of(
    st.tuples(st.just("write"), writers, devices, branches, st.none() | places),
    st.tuples(st.just("approve"), people, devices, places),
    st.tuples(st.just("approve"), writers, devices, st.integers(0, 1)),
    st.tuples(st.just("withdraw"), people, devices, places),
    st.tuples(st.just("judge_at_the_same_time"), people, places, st.tuples(st.booleans(), people, places)),
    st.tuples(st.just("name"), writers, st.sampled_from(["branch", "tag"]), st.none() | places),
    st.tuples(st.just("read_by_tag_and_by_commit"), places),
)


class Made(NamedTuple):
    """A commit: who wrote it, after which one, and what the file is in it."""

    author: str
    parent: str
    content: bytes


class Judgement(NamedTuple):
    """Somebody approves a commit, or withdraws it."""

    approves: bool
    who: str
    commit: str


@dataclass
class Model:
    """What everybody did. The first commit is empty, by who made the repository; the gateway approved it."""

    made: dict[str, Made]
    approved: set[str]
    withdrawn: set[str] = field(default_factory=set[str])
    vouched: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    heads: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])

    def line(self, commit: str) -> list[str]:
        """A commit and those before it, newest first."""
        found = [commit]
        while parent := self.made[found[-1]].parent:
            found.append(parent)
        return found

    def served(self, branch: str) -> str | None:
        return next((each for each in self.line(self.heads[branch]) if each in self.approved), None)

    def judge(self, said: Judgement) -> bool:
        """Follow a judgement; whether it may be made."""
        if not said.approves:
            done = said.commit not in self.withdrawn
            self.withdrawn.add(said.commit)
            self.approved.discard(said.commit)
            return done
        fresh = [said.commit]
        for each in self.line(said.commit)[1:]:
            if each in self.approved:
                break
            fresh.append(each)
        wrote = {self.made[each].author for each in fresh}
        stands = said.commit in self.approved or not self.made[said.commit].content
        if said.who not in PEOPLE or said.who in wrote or stands:
            return False
        for each in fresh:
            self.vouched.setdefault(each, set()).add(said.who)
        self.approved.add(said.commit)
        self.withdrawn.discard(said.commit)
        return True


class Repository(RuleBasedStateMachine):
    """A model with branches and tags, written to, approved, withdrawn and rolled back by three, each from two devices."""

    root: Path
    policies: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.running = AsyncExitStack()
        self.count = 0

    @initialize()
    def begin(self) -> None:
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        there = await self.running.enter_async_context(yard(Path(tempfile.mkdtemp(dir=self.root))))
        self.parts: Parts = await parts_of(there)
        await there.world.apply_policies(self.policies)
        self.actors = {name: [self.known(name), await self.another(name)] for name in WRITERS}
        (first,) = await self.parts.stages()
        self.model = Model({first: Made("train", "", b"")}, {first}, heads={"main": first})

    def known(self, name: str) -> Actor:
        return {"train": self.parts.there.train, "emil": self.parts.emil, "anna": self.parts.anna}[name]

    async def another(self, name: str) -> Actor:
        kind = PrincipalKind.PERSON if name in PEOPLE else PrincipalKind.WORKLOAD
        return await self.parts.there.world.joined(kind, name)

    def commit_at(self, place: int) -> str:
        return list(self.model.made)[::-1][place % len(self.model.made)]

    @rule(step=steps)
    def step(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        getattr(self, name)(*arguments)

    # -- Writing ------------------------------------------------------------------------------------

    async def _write(self, branch: str, by: Actor, content: bytes) -> str:
        operation = WriteFile(WEIGHTS, branch, (Change(PATH, content=content),), "test", "")
        async with self.parts.there.guard.admit(by.present(), operation) as permit:
            return await self.parts.there.writing.write_file(permit)

    def write(self, who: str, device: int, branch: str, older: int | None) -> None:
        """Commit something new, or what an older version has, whoever wrote that one."""
        self.count += 1
        content = self.model.made[self.commit_at(older)].content if older is not None else b""
        content = content or b"%d" % self.count
        writing = self._write(branch, self.actors[who][device], content)
        if branch not in self.model.heads:
            with pytest.raises(Refused):
                self.loop.run_until_complete(writing)
            return
        commit, before = self.loop.run_until_complete(writing), self.model.heads[branch]
        if content == self.model.made[before].content:
            assert commit == before, "it changes nothing, so there is no commit"
            return
        self.model.made[commit] = Made(who, before, content)
        self.model.heads[branch] = commit

    # -- Judging ------------------------------------------------------------------------------------

    async def _judge(self, said: Judgement, device: int) -> bool:
        judge = self.parts.approve if said.approves else self.parts.withdraw
        try:
            await judge(said.commit, self.actors[said.who][device])
        except Refused:
            return False
        return True

    def approve(self, who: str, device: int, place: int) -> None:
        said = Judgement(approves=True, who=who, commit=self.commit_at(place))
        assert self.loop.run_until_complete(self._judge(said, device)) == self.model.judge(said)

    def withdraw(self, who: str, device: int, place: int) -> None:
        said = Judgement(approves=False, who=who, commit=self.commit_at(place))
        assert self.loop.run_until_complete(self._judge(said, device)) == self.model.judge(said)

    def judge_at_the_same_time(self, approver: str, place: int, other: tuple[bool, str, int]) -> None:
        """Two judgements at once come out as one after the other, in one of the two orders.

        A withdrawal ends all that is being done with the version: an approval of it that lost is told so.
        """
        first = (True, approver, place)
        both = [Judgement(approves, who, self.commit_at(place)) for approves, who, place in (first, other)]

        async def together() -> list[bool]:
            return await asyncio.gather(*(self._judge(said, 0) for said in both))

        came = self.loop.run_until_complete(together())
        if not other[0] and both[0].commit == both[1].commit and came == [False, True]:
            assert self.model.judge(both[1])
            assert self.approved() == self.model.approved
            return
        for order in ((0, 1), (1, 0)):
            after, expected = deepcopy(self.model), [False, False]
            for number in order:
                expected[number] = after.judge(both[number])
            if expected == came and self.approved() == after.approved:
                self.model = after
                return
        raise AssertionError((both, came))

    def approved(self) -> set[str]:
        stage = self.parts.there.catalog.stage
        return {commit for commit in self.model.made if stage(commit) is Stage.APPROVED}

    # -- Naming -------------------------------------------------------------------------------------

    def name(self, who: str, kind: str, place: int | None) -> None:
        """Make a branch or a tag at a commit, or remove it."""
        references, commit = self.parts.there.references, self.commit_at(place or 0)
        named = self.model.heads if kind == "branch" else self.model.tags
        if kind == "branch" and place is None:
            done = self._done(who, DeleteBranch(WEIGHTS, "next"), references.delete_branch)
        elif kind == "branch":
            done = self._done(who, CreateBranch(WEIGHTS, "next", commit), references.create_branch)
        elif place is None:
            done = self._done(who, DeleteTag(WEIGHTS, "v1"), references.delete_tag)
        else:
            done = self._done(who, CreateTag(WEIGHTS, "v1", commit, "m"), references.create_tag)
        name = "next" if kind == "branch" else "v1"
        assert done == ((name in named) == (place is None))
        if place is None:
            named.pop(name, None)
        else:
            named.setdefault(name, commit)

    def _done(self, who: str, operation: OpT, serve: Callable[[Permit[OpT]], Awaitable[None]]) -> bool:
        async def run() -> bool:
            try:
                async with self.parts.there.guard.admit(self.actors[who][0].present(), operation) as permit:
                    await serve(permit)
            except Refused:
                return False
            return True

        return self.loop.run_until_complete(run())

    # -- What must never be otherwise ---------------------------------------------------------------

    def read(self, revision: str) -> bytes | None:
        return self.loop.run_until_complete(self.parts.served(PATH, revision))

    def read_by_tag_and_by_commit(self, place: int) -> None:
        named = {commit: commit for commit in [self.commit_at(place)]} | self.model.tags
        for revision, commit in named.items():
            found = self.model.made[commit].content if self._readable(commit) else b""
            assert self.read(revision) == (found or None)

    def _readable(self, commit: str) -> bool:
        return commit in self.model.approved or self.policies is EVERYTHING

    @invariant()
    def a_branch_means_the_newest_that_was_approved(self) -> None:
        if hasattr(self, "model"):
            for branch in self.model.heads:
                served = self.model.served(branch)
                assert self.read(branch) == (self.model.made[served].content or None if served else None)

    @invariant()
    def somebody_else_stood_up_for_every_commit_of_what_is_served(self) -> None:
        if not hasattr(self, "model"):
            return
        for served in filter(None, map(self.model.served, self.model.heads)):
            for commit in self.model.line(served):
                author, _, content = self.model.made[commit]
                assert self.model.vouched.get(commit, set[str]()) - {author} or not content

    def teardown(self) -> None:
        self.loop.run_until_complete(self.running.aclose())
        self.loop.close()


@pytest.mark.parametrize("policies", [EVERYTHING, EVERYTHING | READING], ids=["the code alone", "and who may read"])
def test_no_sequence_lets_one_person_both_write_and_approve(tmp_path: Path, policies: dict[str, str]) -> None:
    """Whatever is done: of what is served, each commit was approved by somebody who did not write it."""
    Repository.root, Repository.policies = tmp_path, policies
    run_state_machine_as_test(Repository, settings=settings(max_examples=12, stateful_step_count=30, deadline=None))
