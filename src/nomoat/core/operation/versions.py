"""The life of what was published: seeing where versions stand, approving and withdrawing them."""

from dataclasses import dataclass

from nomoat.core.names import RepositoryName
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ListVersions(Operation):
    """See where the versions of the main branch stand, newest first, those included that are not served."""

    repository: RepositoryName

    @property
    def requested(self) -> str:
        return str(self.repository)


@dataclass(frozen=True, slots=True)
class ApproveVersion(Operation):
    """Let a version (by its commit id) be served. `checks` are what the approver says was checked, `reason` why.

    A version in quarantine is approved only with a reason: what was found there stays as it is.
    """

    repository: RepositoryName
    commit: str
    checks: tuple[str, ...]
    reason: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.commit}"


@dataclass(frozen=True, slots=True)
class ShredVersion(Operation):
    """Destroy the keys of a version's contents for good, so that no copy of them is of use to anybody.

    `also` are the versions that may go with it, because they share contents with it; what further versions share
    is a refusal, unless `keep_shared`: then these contents stay.
    """

    repository: RepositoryName
    commit: str
    reason: str
    also: tuple[str, ...] = ()
    keep_shared: bool = False

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.commit}"


@dataclass(frozen=True, slots=True)
class WithdrawVersion(Operation):
    """Serve a version (by its commit id) no more, running downloads included."""

    repository: RepositoryName
    commit: str
    reason: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.commit}"
