"""Metrics through the guard: who may ask, what it costs, and that nothing makes it cost less."""

import asyncio

import pytest

from nomoat.core.errors import Conflict, NotFound, NotPermitted, Refused, Unavailable
from nomoat.core.metrics import MILLION
from nomoat.core.operation import DeleteRepository, ListMetrics, ReadMetric, ReopenBudget, ShredVersion
from nomoat.core.principal import PrincipalKind
from tests.resources.metered import COUNT, FILES, MEAN, VISITS, Failing, Metered, in_metered
from tests.resources.world import SECRETS


@in_metered
async def test_an_answer_is_near_the_truth_and_small_groups_are_withheld(there: Metered) -> None:
    told = await there.ask()
    east, north, west = told.answer.cells
    # Laplace noise of scale 1: further off than 40 in one of 10^17 answers.
    assert (east.group, north.group, west.group) == ("east", "north", "west")
    assert east.count is not None
    assert abs(east.count - 500) <= 40
    assert north.count is not None
    assert abs(north.count - 400) <= 40
    assert west.value is None or (west.count or 0) >= 10
    stay = (await there.ask("stay")).answer
    (cell,) = stay.cells
    assert cell.value is not None
    assert abs(cell.value - (500 * 3 + 400 * 5 + 50) / 950) < 2
    assert cell.accuracy is not None
    assert 0 < cell.accuracy < 1
    assert stay.value_scale == pytest.approx(15 / 0.5)
    assert told.answer.scale == pytest.approx(1.0)


@in_metered
async def test_what_was_told_of_a_version_is_told_again_as_it_was_and_costs_each_person_once(there: Metered) -> None:
    first = await there.ask()
    again = await there.ask()
    assert first.answer == again.answer
    assert (first.charged, again.charged) == (MILLION, 0)
    assert there.spent() == (MILLION, MILLION)

    other = await there.ask(by=there.second)
    assert other.answer == first.answer
    assert other.charged == MILLION  # of their own budget
    assert there.spent(there.second) == (MILLION, MILLION)


@in_metered
async def test_many_who_ask_at_once_have_one_draw(there: Metered) -> None:
    told = await asyncio.gather(*(there.ask(by=who) for who in [there.scientist, there.second] * 4))
    assert len({each.answer for each in told}) == 1
    assert there.spent()[0] == MILLION


@in_metered
async def test_the_budget_of_the_dataset_runs_out_for_all_versions_and_says_what_is_left(there: Metered) -> None:
    await there.declare(COUNT, MEAN, budget=2.5, person=2.5)
    first = (await there.ask()).commit
    await there.yard.write(VISITS, {"data/b.csv": b"ward,days\neast,1\n"})
    assert (await there.ask()).commit != first
    with pytest.raises(Conflict, match=r"has 0\.5 of 2\.5 left, and this costs 1"):
        await there.ask("stay")
    assert (await there.ask(revision=first)).charged == 0
    listing = await there.listing()
    assert (listing.left.total, listing.left.person, listing.left.closed) == (MILLION // 2, MILLION // 2, "")
    assert [metric.name for metric in listing.metrics] == ["by-ward", "stay"]


@in_metered
async def test_a_persons_budget_runs_out_before_that_of_all(there: Metered) -> None:
    await there.declare(COUNT, MEAN, budget=9.0, person=1.5)
    await there.ask()
    with pytest.raises(Conflict, match=r"your own privacy budget .* has 0\.5 of 1\.5 left"):
        await there.ask("stay")
    await there.ask("stay", by=there.second)
    with pytest.raises(Conflict, match="your own"):  # not what others had drawn, either
        await there.ask("stay")
    assert there.spent() == (2 * MILLION, MILLION)


@in_metered
async def test_nothing_refunds_a_charge(there: Metered) -> None:
    """Not declaring it anew or under another name, not a removed declaration, not a repository that is made anew."""
    await there.declare(COUNT, budget=2.0, person=2.0)
    await there.ask()
    await there.yard.world.declare('[[dataset]]\nname = "acme/visits"\nremove = true\n')
    renamed = COUNT.replace('"by-ward"', '"wards"')
    await there.declare(renamed, COUNT.replace("1.0", "1.5"), budget=2.0, person=2.0)
    assert (await there.ask("wards")).charged == 0  # the same question, whatever it is called
    with pytest.raises(Conflict, match=r"has 1 of 2 left, and this costs 1\.5"):
        await there.ask()
    await there.yard.world.declare(
        '[[group]]\nname = "data-engineers"\n[[person]]\nname = "keeper"\ngroups = ["data-engineers"]\n'
        'clearance = "confidential"\n'
    )
    keeper = await there.yard.world.joined(PrincipalKind.PERSON, "keeper")
    async with there.yard.guard.admit(keeper.present(), DeleteRepository(VISITS)) as permit:
        await there.yard.references.delete_repository(permit)
    await there.yard.create(VISITS)
    await there.yard.write(VISITS, FILES)
    assert (await there.ask("wards")).charged == MILLION
    with pytest.raises(Conflict, match="has 0 of 2 left"):
        await there.ask()
    assert there.spent()[0] == 2 * MILLION


@in_metered
async def test_a_crash_between_charge_and_noise_costs_the_budget(there: Metered) -> None:
    failing = Failing(there.metrics._noise)
    there.metrics._noise = failing
    failing.failing = True
    with pytest.raises(ConnectionError):
        await there.ask()
    assert there.spent() == (MILLION, MILLION)
    failing.failing = False
    assert (await there.ask()).charged == MILLION
    assert there.spent() == (2 * MILLION, 2 * MILLION)


@in_metered
async def test_a_restore_closes_the_budget_until_an_administrator_opens_it(there: Metered) -> None:
    await there.ask()
    await there.budgets.hold("it was restored from a backup", 0.0)
    for metric in ("by-ward", "stay"):  # also what was told before: who knows of what else
        with pytest.raises(
            Conflict, match=r"closed: it was restored from a backup; .*nomoat reopen-budget acme/visits"
        ):
            await there.ask(metric)
    assert (await there.listing()).left.closed
    with pytest.raises(NotPermitted):
        await there.reopen(there.scientist)
    left = await there.reopen(there.yard.world.admin)
    assert (left.total, left.closed) == (9 * MILLION, "")
    assert (await there.ask("stay")).charged == MILLION
    with pytest.raises(Conflict, match="is open"):
        await there.reopen(there.yard.world.admin)


@in_metered
async def test_what_was_shredded_is_not_measured_any_more(there: Metered) -> None:
    yard = there.yard
    commit = await yard.head(VISITS)
    await there.ask()
    await yard.write(VISITS, {"data/a.csv": b"ward,days\neast,1\n"})
    await yard.world.apply_policies({"all.cedar": '@id("everything") permit (principal, action, resource);'})
    shred = ShredVersion(VISITS, commit, "asked for", (), keep_shared=False)
    async with yard.guard.admit(yard.world.admin.present(), shred) as permit:
        await yard.world.gateway.shredder.shred(permit)
    with pytest.raises(NotFound, match="was shredded"):
        await there.ask(revision=commit)


@in_metered
async def test_who_may_not(there: Metered) -> None:
    """Reading rows is no right to metrics, nor administering; who may not know of the dataset hears of none."""
    for who in (there.yard.train, there.yard.ingest, there.yard.world.admin, there.yard.visitor):
        for operation in (ReadMetric(VISITS, "by-ward", "main"), ListMetrics(VISITS)):
            with pytest.raises(Refused) as refused:
                await there.yard.permitted(operation, who)
            # Administrators know of what they could shred.
            assert type(refused.value) is (NotFound if who is there.yard.visitor else NotPermitted)
    with pytest.raises(Refused):
        await there.yard.permitted(ReopenBudget(VISITS, "x"), there.yard.ingest)
    assert there.spent()[0] == 0


@in_metered
async def test_what_is_not_there_costs_nothing(there: Metered) -> None:
    with pytest.raises(NotFound, match="has no metric of that name"):
        await there.ask("salaries")
    with pytest.raises(NotFound, match="Revision not found"):
        await there.ask(revision="nowhere")
    await there.declare(COUNT.replace("data/*.csv", "none/*.csv"), MEAN.replace('"days"', '"nights"'))
    with pytest.raises(Conflict, match="this version has 0 of them"):
        await there.ask()
    with pytest.raises(Conflict, match="lacks a column"):
        await there.ask("stay")
    await there.yard.write(VISITS, {"data/c.md": b"# no table"})
    await there.declare(COUNT.replace("data/*.csv", "data/*"))
    with pytest.raises(Conflict, match="is no table"):
        await there.ask()
    await there.yard.write(VISITS, {"bad.parquet": b"PAR1 not PAR1"})
    await there.declare(COUNT.replace("data/*.csv", "bad.parquet"))
    with pytest.raises((Conflict, Unavailable)):
        await there.ask()
    assert there.spent()[0] == 0


@in_metered
async def test_what_a_version_inherits_decides_who_measures_it(there: Metered) -> None:
    open_to_all = (await there.ask()).commit
    await there.yard.write(SECRETS, {"rows.csv": b"1"})
    await there.yard.read(SECRETS, "rows.csv")
    await there.yard.write(VISITS, {"data/b.csv": b"ward,days\neast,1\n"})
    with pytest.raises(NotPermitted, match="restricted-is-hidden-above-clearance"):
        await there.ask()
    assert (await there.ask(revision=open_to_all)).charged == 0
