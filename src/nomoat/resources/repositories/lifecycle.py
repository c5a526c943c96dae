"""Where versions stand, and who may change that, each for a permit.

Rules: a version is approved by a person who wrote nothing of it, whatever the policies say. What is withdrawn is
served no more before the one who withdrew it is answered: running downloads are cut.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

from nomoat.core.directory import Directory
from nomoat.core.errors import Conflict, NotFound, NotPermitted
from nomoat.core.lifecycle import Stage, Standing
from nomoat.core.names import RepositoryName, is_commit_id
from nomoat.core.operation import ApproveVersion, ListVersions, Operation, OpT, Resolved, WithdrawVersion
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.resources.repositories.labels import Version, repository_target
from nomoat.resources.repositories.resolution import MISSING, Resolver, place_in
from nomoat.stores.catalog import MAIN, Catalog, CreatedRepository
from nomoat.stores.revisions import Revision

MOST_VERSIONS: Final = 200


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """A version of a repository: `standing` is None when there is no such commit, `manifest` its manifest's digest."""

    created: CreatedRepository
    commit: str
    standing: Standing | None
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version in a listing; `served` tells whether it is what the main branch means now."""

    revision: Revision
    standing: Standing
    served: bool


@final
class Lifecycle:
    """What may be seen and changed of where versions stand.

    `end` cuts every access to a version: its commit id, and why.
    """

    def __init__(self, directory: Callable[[], Directory], catalog: Catalog, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._catalog = catalog
        self._clock = clock
        self._ends: list[Callable[[str, str], None]] = []

    def listen(self, end: Callable[[str, str], None]) -> None:
        """Have accesses to a version cut: `end` takes its commit id and why."""
        self._ends.append(end)

    # -- Resolving ----------------------------------------------------------------------------------

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {
            ListVersions: self.resolve_list,
            ApproveVersion: self.resolve_approve,
            WithdrawVersion: self.resolve_withdraw,
        }

    def resolve_list(self, _: Principal, operation: ListVersions) -> Resolved[ListVersions]:
        """Resolve a repository. Raises `NotFound`."""
        return self._resolved(operation, operation.repository, "", None)

    def resolve_approve(self, who: Principal, operation: ApproveVersion) -> Resolved[ApproveVersion]:
        """Resolve a version, and whether the caller had a part in it. Raises `NotFound`."""
        return self._resolved(operation, operation.repository, operation.commit, who)

    def resolve_withdraw(self, who: Principal, operation: WithdrawVersion) -> Resolved[WithdrawVersion]:
        """Resolve a version, and whether the caller had a part in it. Raises `NotFound`."""
        return self._resolved(operation, operation.repository, operation.commit, who)

    def _resolved(self, operation: OpT, name: RepositoryName, commit: str, who: Principal | None) -> Resolved[OpT]:
        declared, created = self._directory().repositories.get(name), self._catalog.find(name)
        if declared is None or created is None:
            raise NotFound(MISSING, kind="repository", detail="not created" if declared else "not declared")
        snapshot = self._catalog.snapshot(created, commit) if is_commit_id(commit) else None
        version, standing = None, None
        if snapshot is not None and who is not None:
            standing, authors = self._catalog.standing(commit), self._catalog.authors(commit)
            version = Version(commit, standing.stage, who.subject in authors)
        place = VersionPlace(created, commit, standing, snapshot.revision.manifest if snapshot else "")
        target = repository_target(declared, version)
        return Resolved(operation, (target,), {"place": place}, repository_target(declared), MISSING)

    # -- Serving ------------------------------------------------------------------------------------

    def list_versions(self, permit: Permit[ListVersions]) -> list[VersionLine]:
        """The versions of the main branch, newest first."""
        created = place_in(permit.claim(ListVersions), VersionPlace).created
        head, now = created.branches.get(MAIN, ""), created.served.get(MAIN)
        found = self._catalog.versions(created, head, MOST_VERSIONS)
        return [VersionLine(made, standing, made.id == now) for made, standing in found]

    async def approve(self, permit: Permit[ApproveVersion]) -> Standing:
        """Approve a version.

        Raises `NotFound` when there is none, `NotPermitted` when the caller is no person or wrote some of it,
        `Conflict` when it is approved, or in quarantine and no reason is given.
        """
        resolved = permit.claim(ApproveVersion)
        operation, place = resolved.operation, place_in(resolved, VersionPlace)
        standing = _existing(place)
        if permit.principal.kind is not PrincipalKind.PERSON:
            raise NotPermitted("a version is approved by a person")
        if permit.principal.subject in self._catalog.authors(place.commit):
            raise NotPermitted("who wrote a version does not approve it; another person has to")
        if standing.stage is Stage.QUARANTINED and not operation.reason:
            raise Conflict("this version is in quarantine: say why it may be had all the same (--reason)")
        now = Standing(Stage.APPROVED, permit.principal.subject, self._clock(), operation.reason)
        await self._catalog.promote(place.created, place.commit, now, permit.receipt.index, permit.check)
        permit.note(
            before=standing.stage, manifest=place.manifest, checks=", ".join(operation.checks), reason=operation.reason
        )
        return now

    async def withdraw(self, permit: Permit[WithdrawVersion]) -> Standing:
        """Withdraw a version. Raises `NotFound` when there is none, `Conflict` when it is withdrawn."""
        resolved = permit.claim(WithdrawVersion)
        operation, place = resolved.operation, place_in(resolved, VersionPlace)
        before = _existing(place)
        now = Standing(Stage.WITHDRAWN, permit.principal.subject, self._clock(), operation.reason)
        await self._catalog.withdraw(place.created, place.commit, now, permit.receipt.index, permit.check)
        for end in self._ends:
            end(place.commit, "the version was withdrawn")
        permit.note(before=before.stage, reason=operation.reason)
        return now


def _existing(place: VersionPlace) -> Standing:
    if place.standing is None:
        raise NotFound("Revision not found", kind="revision")
    return place.standing
