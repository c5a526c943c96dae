"""A permit is for one kind of operation, and nothing else stands in for it."""

from typing import assert_type

from nomoat.core.operation import ApplyDirectory, Operation, ReadFile, Resolved, Revoke, WriteFile
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.resources.policies import Policies


async def a_resource_demands_its_own_permit(
    policies: Policies, operation: ApplyDirectory, principal: Principal, other: Permit[ApplyDirectory]
) -> None:
    await policies.apply(other)  # E: arg-type
    await policies.apply(operation)  # E: arg-type
    await policies.apply(principal)  # E: arg-type
    await policies.apply()  # E: call-arg


async def a_permit_for_anything_is_a_permit_for_nothing(policies: Policies, permit: Permit[Operation]) -> None:
    await policies.apply(permit)  # E: arg-type


def a_claim_is_of_the_kind_that_was_claimed(permit: Permit[ReadFile]) -> None:
    assert_type(permit.claim(ReadFile), Resolved[ReadFile])
    permit.claim(ReadFile).operation.changes  # E: attr-defined
    permit.claim("ReadFile")  # E: arg-type
    permit.claim(str)  # E: type-var


def a_claim_of_one_kind_is_not_another(permit: Permit[Revoke]) -> Resolved[ReadFile]:
    write: Resolved[WriteFile] = permit.claim(Revoke)  # E: arg-type
    del write
    return permit.claim(Revoke)  # E: arg-type


def a_permit_is_about_operations(permit: Permit[str]) -> None:  # E: type-var
    del permit


def a_permit_cannot_be_made_from_what_a_client_says(operation: ReadFile) -> Permit[ReadFile]:
    return Permit(operation)  # E: call-arg


class Wider(Permit[ReadFile]):  # E: misc
    """Nobody widens a permit by inheriting from it."""
