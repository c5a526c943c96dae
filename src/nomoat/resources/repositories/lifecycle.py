"""Where versions stand, and who may change that, each for a permit.

Rules: a version is approved by a person who wrote nothing of it, whatever the policies say. What is withdrawn is
served no more before the one who withdrew it is answered: running downloads are cut.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from nomoat.core.decision import Withhold, withheld_parts
from nomoat.core.directory import Directory
from nomoat.core.errors import Conflict, NotFound, NotPermitted
from nomoat.core.lifecycle import Stage, Standing
from nomoat.core.names import RepositoryName, is_commit_id
from nomoat.core.operation import ApproveVersion, ListVersions, Operation, OpT, Resolved, WithdrawVersion
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.resources.repositories.examining import Judge
from nomoat.resources.repositories.labels import as_inherited, repository_target, version_of
from nomoat.resources.repositories.quarantine import Held, Quarantine, quarantine, told
from nomoat.resources.repositories.resolution import MISSING, Resolver, existing, place_in
from nomoat.resources.repositories.signatures import Signatures, is_signed, sign_approval
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import MAIN, CreatedRepository
from nomoat.stores.revisions import Revision, Snapshot
from nomoat.stores.stages import require_kept

MOST_VERSIONS: Final = 200
MOST_HELD: Final = 50
"""Files that are held back and told of in one listing, those that were set last."""


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """A version of a repository; no `snapshot`: there is no such commit. `standing` is asked for to change it."""

    created: CreatedRepository
    commit: str
    standing: Standing | None
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version in a listing; `served` tells whether it is what the main branch means now.

    Of one in quarantine, `held` are the files that are held back and may be told of.
    """

    revision: Revision
    standing: Standing
    served: bool
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class ListingPlace:
    """The versions of a repository, newest first, and why some of them are in quarantine."""

    created: CreatedRepository
    versions: Sequence[tuple[Revision, Standing]]
    quarantine: Quarantine


@final
class Lifecycle:
    """What may be seen and changed of where versions stand.

    `judge` says what the report of a content becomes under a path.
    """

    def __init__(
        self,
        directory: Callable[[], Directory],
        catalog: Catalog,
        signatures: Signatures,
        clock: Callable[[], float],
        judge: Judge,
    ) -> None:
        self._directory = directory
        self._catalog = catalog
        self._signatures = signatures
        self._clock = clock
        self._judge = judge
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

    def glance(self, _: Principal, operation: ListVersions) -> Resolved[ListVersions]:
        """Resolve a repository whose versions are listed, and nothing of them. Raises `NotFound`."""
        return self._resolved(operation, operation.repository, "", None)

    def resolve_list(self, who: Principal, operation: ListVersions) -> Resolved[ListVersions]:
        """Resolve the versions of a repository; the parts are files that keep some in quarantine. Raises `NotFound`."""
        resolved = self.glance(who, operation)
        declared, created = existing(self._directory, self._catalog, operation.repository)
        versions = self._catalog.versions(created, created.branches.get(MAIN, ""), MOST_VERSIONS)
        held = any(standing.stage is Stage.QUARANTINED for _, standing in versions)
        files = self._catalog.held_files([made.id for made, _ in versions] if held else [], MOST_HELD)
        found = quarantine(declared, versions, files, who, self._judge, self._catalog.lineage.label)
        return resolved._replace(coordinates={"place": ListingPlace(created, versions, found)}, parts=found.parts)

    def resolve_approve(self, who: Principal, operation: ApproveVersion) -> Resolved[ApproveVersion]:
        """Resolve a version, and whether the caller had a part in it. Raises `NotFound`."""
        return self._resolved(operation, operation.repository, operation.commit, who)

    def resolve_withdraw(self, who: Principal, operation: WithdrawVersion) -> Resolved[WithdrawVersion]:
        """Resolve a version, and whether the caller had a part in it. Raises `NotFound`."""
        return self._resolved(operation, operation.repository, operation.commit, who)

    def _resolved(self, operation: OpT, name: RepositoryName, commit: str, who: Principal | None) -> Resolved[OpT]:
        declared, created = existing(self._directory, self._catalog, name)
        snapshot = self._catalog.snapshot(created, commit) if is_commit_id(commit) else None
        version, standing = None, None
        if snapshot is not None and who is not None:
            standing, authors = self._catalog.standing(commit), self._catalog.authors(commit)
            seen = version_of(snapshot, who, self._catalog.lineage.label(commit))
            version = seen._replace(stage=standing.stage, authored=who.subject in authors)
        place = VersionPlace(created, commit, standing, snapshot)
        targets = as_inherited(repository_target(declared, version), version)
        return Resolved(operation, targets, {"place": place}, repository_target(declared), MISSING)

    # -- Serving ------------------------------------------------------------------------------------

    def list_versions(self, permit: Permit[ListVersions]) -> list[VersionLine]:
        """The versions of the main branch, newest first."""
        place = place_in(permit.claim(ListVersions, Withhold), ListingPlace)
        now, withheld = place.created.served.get(MAIN), withheld_parts(permit.allow.obligations)
        return [
            VersionLine(made, standing, made.id == now, told(place.quarantine, made.id, withheld))
            for made, standing in place.versions
        ]

    async def approve(self, permit: Permit[ApproveVersion]) -> Standing:
        """Approve a version, and sign that it was: a model whose signature holds.

        Raises `NotFound` when there is none, `NotPermitted` when the caller is no person or wrote some of it, or it is
        not signed, `Conflict` when it is approved, empty, in quarantine without a reason given, or stands elsewhere by
        now than when this was decided, `Corrupt` when its signature does not verify.
        """
        resolved = permit.claim(ApproveVersion)
        operation, place = resolved.operation, place_in(resolved, VersionPlace)
        standing, snapshot = _existing(place)
        if permit.principal.kind is not PrincipalKind.PERSON:
            raise NotPermitted("a version is approved by a person")
        if permit.principal.subject in self._catalog.authors(place.commit):
            raise NotPermitted("who wrote a version does not approve it; another person has to")
        if standing.stage is Stage.QUARANTINED and not operation.reason:
            raise Conflict("this version is in quarantine: say why it may be had all the same (--reason)")
        require_kept(standing.stage)
        if not snapshot.files:
            raise Conflict("this version has no files: there is nothing to approve")
        if is_signed(place.created.name):
            await self._signatures.require_version(place.created.name, snapshot)
        now = Standing(Stage.APPROVED, permit.principal.subject, self._clock(), operation.reason)
        by, policies = self._signatures.signatory, permit.allow.snapshot
        statement = await asyncio.to_thread(
            sign_approval, by, place.created.name, snapshot, now, operation.checks, policies
        )
        now = now._replace(statement=statement)
        record, before = permit.receipt.index, standing.stage
        await self._catalog.promote(place.created, place.commit, before, now, record, permit.check)
        permit.note(
            before=before,
            manifest=snapshot.revision.manifest,
            checks=", ".join(operation.checks),
            reason=operation.reason,
        )
        return now

    async def withdraw(self, permit: Permit[WithdrawVersion]) -> Standing:
        """Withdraw a version. Raises `NotFound` when there is none, `Conflict` when it is withdrawn."""
        resolved = permit.claim(WithdrawVersion)
        operation, place = resolved.operation, place_in(resolved, VersionPlace)
        before, _ = _existing(place)
        now = Standing(Stage.WITHDRAWN, permit.principal.subject, self._clock(), operation.reason)

        def cut() -> None:
            for end in self._ends:
                end(place.commit, "the version was withdrawn")

        await self._catalog.withdraw(place.created, place.commit, now, permit.receipt.index, permit.check, cut)
        permit.note(before=before.stage, reason=operation.reason)
        return now


def _existing(place: VersionPlace) -> tuple[Standing, Snapshot]:
    if place.standing is None or place.snapshot is None:
        raise NotFound("Revision not found", kind="revision")
    return place.standing, place.snapshot
