"""Privacy budgets in the state: what was released of which dataset, who was told of it, and whether that is all.

Rules: a row is never changed to cost less and never removed, not with the repository, its declaration or its versions:
a dataset is its name. What is charged is durable before noise is drawn. INVARIANT (budget): a charge is inserted in the
transaction that found the sum of all charges, this one included, within the budget.
After a restore it is not known what was charged since the backup: nothing is told until somebody opens the dataset again.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, final

from sqlalchemy import Connection, func, insert, select, update

from nomoat.core.errors import Conflict
from nomoat.core.metrics import MILLION, Budget
from nomoat.stores.state import State
from nomoat.stores.state.metrics_schema import budget_hold, metric_release, metric_share

EVERY: Final = ""
"""The dataset of a hold that is for all of them."""


class Asked(NamedTuple):
    """A metric of a version: the dataset's name, the commit and the digest of what is asked."""

    dataset: str
    revision: str
    metric: str


class Asker(NamedTuple):
    """Who asks, when (Unix seconds), and by which record of the log."""

    subject: str
    at: float
    record: int


class Spending(NamedTuple):
    """What was spent of a dataset's budget by all and by one subject, in millionths; `held` says why it is closed."""

    total: int
    person: int
    held: str


class Released(NamedTuple):
    """A release that was told: its number, what it cost, the answer."""

    number: int
    epsilon: int
    answer: str


@final
class Budgets:
    """The budgets of one state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def spending(self, dataset: str, subject: str) -> Spending:
        """What was spent. Raises `Unavailable` when the state fails."""
        return self._state.read(lambda connection: _spending(connection, dataset, subject))

    def find(self, asked: Asked) -> Released | None:
        """The release that was told of this already, or None. Raises `Unavailable`."""
        same = (metric_release.c[name] == value for name, value in asked._asdict().items())
        newest = (
            select(metric_release)
            .where(*same, metric_release.c.answer != "")
            .order_by(metric_release.c.number.desc())
            .limit(1)
        )
        row = self._state.read(lambda connection: connection.execute(newest).one_or_none())
        return None if row is None else Released(row.number, row.epsilon, row.answer)

    async def charge(self, asked: Asked, epsilon: int, budget: Budget, asker: Asker, still: Callable[[], None]) -> int:
        """Charge a release to the dataset and to who asks; return its number once that is durable.

        Raises `Conflict` when the budget does not have it, what `still` raises, or `Unavailable`: nothing was charged.
        """

        def change(connection: Connection) -> int:
            still()
            require_left(_spending(connection, asked.dataset, asker.subject), asked.dataset, epsilon, budget)
            row = {**asked._asdict(), "epsilon": epsilon, "answer": "", **asker._asdict()}
            made = insert(metric_release).values(row).returning(metric_release.c.number)
            number: int = connection.scalars(made).one()
            connection.execute(insert(metric_share).values(release=number, **asker._asdict()))
            return number

        return await self._state.write(change)

    async def share(
        self, released: Released, dataset: str, budget: Budget, asker: Asker, still: Callable[[], None]
    ) -> bool:
        """Charge a release that was told to others to who asks, unless they know it; return whether it was charged.

        Raises as `charge`.
        """

        def change(connection: Connection) -> bool:
            still()
            spending = _spending(connection, dataset, asker.subject)
            require_open(spending, dataset)
            known = select(metric_share.c.release).where(
                metric_share.c.release == released.number, metric_share.c.subject == asker.subject
            )
            if connection.scalar(known) is not None:
                return False
            _require_personal(spending, dataset, released.epsilon, budget)
            connection.execute(insert(metric_share).values(release=released.number, **asker._asdict()))
            return True

        return await self._state.write(change)

    async def conclude(self, number: int, answer: str) -> None:
        """Keep what a release tells, before anybody is told. Raises `Unavailable`."""
        kept = update(metric_release).where(metric_release.c.number == number).values(answer=answer)
        # Not followed: without it the metric is drawn, and charged, once more; the charge was.
        await self._state.write(lambda connection: connection.execute(kept).close(), followed=False)

    async def hold(self, reason: str, at: float) -> None:
        """Close the budgets of all datasets: what was spent is not known any more. Raises `Unavailable`."""
        await self._state.write(lambda connection: close_budgets(connection, reason, at))

    async def reopen(self, dataset: str, reason: str, asker: Asker, still: Callable[[], None]) -> None:
        """Open a dataset's budget again, as far as it is known. Raises `Conflict` when it is open, `Unavailable`."""

        def change(connection: Connection) -> None:
            still()
            if not _held(connection, dataset):
                raise Conflict(f"the privacy budget of {dataset} is open")
            connection.execute(insert(budget_hold).values(dataset=dataset, reason=reason, **asker._asdict()))

        await self._state.write(change)


def close_budgets(connection: Connection, reason: str, at: float) -> None:
    """Close the budgets of all datasets, in a transaction of the caller's."""
    row = {"dataset": EVERY, "subject": "", "reason": reason, "at": at, "record": 0}
    connection.execute(insert(budget_hold).values(row))


def require_open(spending: Spending, dataset: str) -> None:
    """Raise `Conflict` when a restore closed the budget."""
    if spending.held:
        raise Conflict(
            f"the privacy budget of {dataset} is closed: {spending.held}; an administrator can open it again "
            f"(nomoat reopen-budget {dataset})"
        )


def require_left(spending: Spending, dataset: str, epsilon: int, budget: Budget) -> None:
    """Raise `Conflict`, which says what is left, when a release of `epsilon` is more than that."""
    require_open(spending, dataset)
    left = max(0, budget.total - spending.total)
    if epsilon > left:
        raise Conflict(
            f"the privacy budget of {dataset} has {shown(left)} of {shown(budget.total)} left, and this costs "
            f"{shown(epsilon)}: what was told before is still told, nothing new"
        )
    _require_personal(spending, dataset, epsilon, budget)


def _require_personal(spending: Spending, dataset: str, epsilon: int, budget: Budget) -> None:
    left = max(0, budget.person - spending.person)
    if epsilon > left:
        raise Conflict(
            f"your own privacy budget for {dataset} has {shown(left)} of {shown(budget.person)} left, and this costs "
            f"{shown(epsilon)}: what you were told before you are still told, nothing new"
        )


def shown(epsilon: int) -> str:
    """Millionths of epsilon as people write it."""
    return f"{epsilon / MILLION:g}"


def _spending(connection: Connection, dataset: str, subject: str) -> Spending:
    mine = metric_release.c.dataset == dataset
    total = connection.scalar(select(func.coalesce(func.sum(metric_release.c.epsilon), 0)).where(mine))
    told = select(func.coalesce(func.sum(metric_release.c.epsilon), 0)).join(
        metric_share, metric_share.c.release == metric_release.c.number
    )
    person = connection.scalar(told.where(mine, metric_share.c.subject == subject))
    return Spending(total or 0, person or 0, _held(connection, dataset))


def _held(connection: Connection, dataset: str) -> str:
    """Why the budget is closed; '' when it is open: the newest row that is about the dataset says so."""
    newest = (
        select(budget_hold.c.dataset, budget_hold.c.reason)
        .where(budget_hold.c.dataset.in_([EVERY, dataset]))
        .order_by(budget_hold.c.number.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    return row.reason if row is not None and row.dataset == EVERY else ""
