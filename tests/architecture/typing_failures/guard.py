"""The guard's door yields a permit for what was asked, inside `async with` only."""

from typing import assert_type

from nomoat.core.connection import Presented
from nomoat.core.operation import ApplyDirectory, ApplyPolicy
from nomoat.core.permit import Permit
from nomoat.guard.guard import Guard
from nomoat.resources.policies import Policies


async def a_permit_is_for_what_was_asked(
    guard: Guard, presented: Presented, policies: Policies, directory: ApplyDirectory, policy: ApplyPolicy
) -> None:
    async with guard.admit(presented, directory) as permit:
        assert_type(permit, Permit[ApplyDirectory])
        await policies.apply(permit)  # E: arg-type
    async with guard.admit(presented, policy) as other:
        await policies.apply(other)


async def there_is_no_permit_without_its_block(guard: Guard, presented: Presented, policy: ApplyPolicy) -> None:
    guard.admit(presented, policy).claim(ApplyPolicy)  # E: attr-defined
    await guard.admit(presented, policy)  # E: misc
    with guard.admit(presented, policy):  # E: attr-defined
        pass


async def what_a_client_sent_is_not_an_operation(guard: Guard, presented: Presented) -> None:
    async with guard.admit(presented, {"path": "train.parquet"}):  # E: arg-type
        pass
    async with guard.admit({"authorization": "Bearer token"}, ApplyPolicy((), dry_run=True)):  # E: arg-type
        pass
