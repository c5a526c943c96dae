"""Budgets against a model: no sequence of asks, crashes, restarts, restores or declarations spends more than there is."""

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from nomoat.core.errors import Conflict, Revoked
from nomoat.core.metrics import Budget
from nomoat.stores.budgets import Asked, Asker, Budgets
from nomoat.stores.state import State

T = TypeVar("T")
KEY = bytes(32)
PEOPLE = ["person:a", "person:b", "workload:c"]
DATASETS = ["acme/one", "acme/two"]
ASKED = [Asked(dataset, revision, metric) for dataset in DATASETS for revision in ("r1", "r2") for metric in ("m", "n")]
COSTS = {asked: 300_000 if asked.metric == "m" else 500_000 for asked in ASKED}


def never() -> None:
    """Nobody takes it back."""


class Model(RuleBasedStateMachine):
    """The budgets, and what must be true of them, kept by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "state.db"
        self.state = State.create(self.path, KEY)
        self.loop = asyncio.new_event_loop()
        self.budget = dict.fromkeys(DATASETS, Budget(1_000_000, 800_000))
        self.charged: list[tuple[str, int]] = []
        self.known: dict[tuple[str, Asked], int] = {}
        self.told: dict[tuple[str, int], tuple[str, int]] = {}
        self.released: dict[Asked, int] = {}
        self.held = dict.fromkeys(DATASETS, False)
        self.most = {dataset: budget.total for dataset, budget in self.budget.items()}

    @property
    def budgets(self) -> Budgets:
        return Budgets(self.state)

    def run(self, coroutine: Awaitable[T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def total(self, dataset: str) -> int:
        return sum(cost for of, cost in self.charged if of == dataset)

    def person(self, who: str, dataset: str) -> int:
        return sum(cost for (whom, _), (of, cost) in self.told.items() if (whom, of) == (who, dataset))

    @rule(asked=st.sampled_from(ASKED), who=st.sampled_from(PEOPLE), crash=st.booleans())
    def ask(self, asked: Asked, who: str, crash: bool) -> None:
        """As the resource does; a crash comes after the charge and before the answer."""
        budget, cost, asker = self.budget[asked.dataset], COSTS[asked], Asker(who, 1.0, 7)
        found = self.budgets.find(asked)
        assert (found is not None) == (asked in self.released)
        try:
            if found is not None:
                assert found.answer == "told"
                new = (who, found.number) not in self.told
                allowed = not new or self.person(who, asked.dataset) + cost <= budget.person
                charged = self.run(self.budgets.share(found, asked.dataset, budget, asker, never))
                assert charged == new
                assert allowed
                assert not self.held[asked.dataset]
                self.told[who, found.number] = (asked.dataset, cost)
                return
            number = self.run(self.budgets.charge(asked, cost, budget, asker, never))
        except Conflict:
            spent = self.total(asked.dataset) + (0 if found else cost) > budget.total
            assert self.held[asked.dataset] or spent or self.person(who, asked.dataset) + cost > budget.person
            return
        assert not self.held[asked.dataset]
        self.charged.append((asked.dataset, cost))
        self.told[who, number] = (asked.dataset, cost)
        assert self.total(asked.dataset) <= budget.total
        assert self.person(who, asked.dataset) <= budget.person
        if not crash:
            self.run(self.budgets.conclude(number, "told"))
            self.released[asked] = number

    @rule(dataset=st.sampled_from(DATASETS), total=st.integers(1, 3), person=st.integers(1, 3))
    def declare(self, dataset: str, total: int, person: int) -> None:
        """Budgets may be declared larger and smaller."""
        self.budget[dataset] = Budget(total * 700_000, min(total, person) * 700_000)
        self.most[dataset] = max(self.most[dataset], self.budget[dataset].total)

    @rule()
    def restart(self) -> None:
        self.state.close()
        self.state = State.open(self.path, KEY)

    @rule()
    def restore(self) -> None:
        self.run(self.budgets.hold("restored", 2.0))
        self.held = dict.fromkeys(DATASETS, True)

    @rule(dataset=st.sampled_from(DATASETS))
    def reopen(self, dataset: str) -> None:
        opening = self.budgets.reopen(dataset, "looked", Asker("person:admin", 3.0, 8), never)
        if self.held[dataset]:
            self.run(opening)
            self.held[dataset] = False
        else:
            with pytest.raises(Conflict):
                self.run(opening)

    @precondition(lambda self: self.charged)
    @rule(asked=st.sampled_from(ASKED))
    def revoked(self, asked: Asked) -> None:
        """Who is revoked while they wait for the database is charged nothing."""

        def gone() -> None:
            raise Revoked("the session was revoked")

        with pytest.raises(Revoked):
            self.run(self.budgets.charge(asked, 1, Budget(1 << 60, 1 << 60), Asker(PEOPLE[0], 1.0, 7), gone))

    @invariant()
    def what_was_spent_is_known_and_within_what_was_declared(self) -> None:
        for dataset in DATASETS:
            assert self.total(dataset) <= self.most[dataset]
            for who in PEOPLE:
                spending = self.budgets.spending(dataset, who)
                assert (spending.total, spending.person) == (self.total(dataset), self.person(who, dataset))
                assert bool(spending.held) == self.held[dataset]

    def teardown(self) -> None:
        self.state.close()
        self.loop.close()
        self.folder.cleanup()


def test_no_sequence_spends_more_than_there_is() -> None:
    run_state_machine_as_test(Model, settings=settings(max_examples=15, stateful_step_count=25, deadline=None))


def test_a_refusal_says_what_is_left(tmp_path: Path) -> None:
    async def inside() -> None:
        state = State.create(tmp_path / "state.db", KEY)
        budgets, asker = Budgets(state), Asker("person:a", 1.0, 7)
        try:
            await budgets.charge(ASKED[0], 300_000, Budget(400_000, 400_000), asker, never)
            with pytest.raises(Conflict, match=r"has 0\.1 of 0\.4 left, and this costs 0\.5"):
                await budgets.charge(ASKED[1], 500_000, Budget(400_000, 400_000), asker, never)
            with pytest.raises(Conflict, match=r"has 0 of 0\.2 left"):  # declared smaller meanwhile
                await budgets.charge(ASKED[1], 1_000, Budget(200_000, 200_000), asker, never)
        finally:
            state.close()

    asyncio.run(inside())
