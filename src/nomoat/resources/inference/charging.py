"""What an answer is charged: expected before anything is sent, more while it goes on, what it took at the end.

Rules: nothing is sent of what a quota has no room for, and of what goes on beyond it nothing is passed on. Where nobody can
say what was taken, what was expected is.
"""

from collections.abc import Sequence
from typing import Final, final

from nomoat.content.estimates import Passing, expected
from nomoat.content.usage import Usage, UsageReader
from nomoat.core.directory import Directory
from nomoat.core.errors import OverQuota, UsedUp
from nomoat.core.inference import FREE, Call, Served
from nomoat.core.operation import InvokeModel
from nomoat.core.permit import Permit
from nomoat.core.quotas import Amounts, Measure, meters_of, written
from nomoat.stores.quotas import Charge, Quotas
from nomoat.stores.upstreams import Unsent

STEP: Final = 1_024  # tokens that a stream takes more at a time


@final
class Account:
    """An answer that quotas count, and what it is charged."""

    def __init__(self, permit: Permit[InvokeModel], call: Call, may: Usage, charge: Charge) -> None:
        self._permit = permit
        self._charge = charge
        self._call = call
        self._expected = may
        self._room = may.output
        self._price = FREE
        self._streamed = False
        self._passing: Passing | None = None

    def answered(self, served: Served, status: int, *, streamed: bool) -> None:
        """An upstream began to answer."""
        self._price = served.price or FREE
        self._streamed = streamed
        self._passing = Passing(self._call, self._expected, status=status, streamed=streamed)

    def feed(self, part: bytes) -> None:
        """Take a part of the answer before it is passed on. Raises `UsedUp` when no quota has room for it any more."""
        passing = self._passing
        if passing is None:
            return
        passing.feed(part)
        while self._streamed and passing.most_written > self._room and passing.written > self._room:
            try:
                self._charge.more(Amounts(0, STEP, self._price.of(0, STEP)))
            except OverQuota as over:
                raise UsedUp(over.reason, quota=over.quota, retry_after=over.retry_after) from None
            self._room += STEP

    def settle(self, usage: UsageReader, *, complete: bool) -> None:
        """Charge what it took, and note it for the record."""
        if self._passing is None:
            return
        self._passing.complete = complete
        took, estimated = self._passing.total(usage)
        cost = self._price.of(took.input, took.output)
        self._charge.settle(Amounts(1, took.input + took.output, cost))
        self._permit.note(input_tokens=str(took.input), output_tokens=str(took.output))
        if estimated:
            self._permit.note(estimated="true")
        if self._price is not FREE:
            self._permit.note(cost=written(Measure.COST, cost))

    def refuse(self) -> None:
        """No server took it: nothing is charged."""
        self._charge.settle(Amounts())

    def lose(self, failure: BaseException) -> None:
        """No answer began: unless nothing was sent, nobody can tell what was taken, and what was charged stays."""
        if isinstance(failure, Unsent):
            self.refuse()
        else:
            self._charge.keep()


async def charged(
    quotas: Quotas, directory: Directory, permit: Permit[InvokeModel], operation: InvokeModel, offers: Sequence[Served]
) -> Account | None:
    """Charge an answer that one of `offers` may give, until the account is settled; None where no quota counts it.

    Raises `OverQuota` when a quota has no room for what it may take, `Unavailable` when that cannot be kept.
    """
    if not directory.quotas:
        return None
    meters = meters_of(directory.quotas.values(), permit.principal, operation.endpoint)
    if not meters:
        return None
    may = expected(operation.call, operation.body, operation.size)
    dearest = max((each.price or FREE).of(may.input, may.output) for each in offers)
    try:
        charge = await quotas.charge(meters, Amounts(1, may.input + may.output, dearest))
    except OverQuota as over:
        permit.note(quota=over.quota)
        raise
    return Account(permit, operation.call, may, charge)
