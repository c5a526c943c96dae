"""What a dataset's versions hold, who contributed it, and how two of them differ, each for a permit.

Rules: of a file that the caller may not describe nothing is told: no path, no contributor, no figure; in the chain a
hash stands for it. Figures are worked out when somebody asks, in bounded time; what there was no time for is said.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from nomoat.core.chain import Held, Link, files_of
from nomoat.core.decision import Withhold
from nomoat.core.directory import Directory
from nomoat.core.errors import NotFound
from nomoat.core.names import RepositoryName
from nomoat.core.operation import DiffVersions, Operation, OpT, ReadManifest, Resolved
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.core.profile import Profile
from nomoat.resources.repositories.alike import Alike, group_alike, named_in, shown
from nomoat.resources.repositories.drift import Differences, compared
from nomoat.resources.repositories.labels import Version, as_inherited, repository_target
from nomoat.resources.repositories.resolution import MISSING, Resolver, existing, place_in
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import CreatedRepository
from nomoat.stores.profiles import Profiles
from nomoat.stores.revisions import Snapshot
from nomoat.stores.rounds import Rounds

LONGEST_S: Final = 60.0  # of profiling for one answer


@dataclass(frozen=True, slots=True)
class ComparedPlace:
    """Two versions of a repository (None: there is no such one), and the paths of both in groups that were decided on."""

    created: CreatedRepository
    before: Snapshot | None
    after: Snapshot | None
    alike: Alike


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version's manifest: its chain, oldest first, the files that may be told of, and their rows where known.

    `withheld` counts the changes that a hash alone stands for.
    """

    links: Sequence[Link]
    files: Mapping[str, Held]
    rows: Mapping[str, int]
    withheld: int


@dataclass(frozen=True, slots=True)
class Compared:
    """How the version `after` differs from `before` (commit ids); `withheld` files are in no figure."""

    before: str
    after: str
    found: Differences
    withheld: int


@final
class Comparing:
    """What may be seen of what versions hold. `named` returns the ids of the files that a policy in force names."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        catalog: Catalog,
        rounds: Rounds,
        profiles: Profiles,
        named: Callable[[], frozenset[str]],
    ) -> None:
        self._directory = directory
        self._catalog = catalog
        self._rounds = rounds
        self._profiles = profiles
        self._named = named

    # -- Resolving ----------------------------------------------------------------------------------

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {ReadManifest: self.resolve_manifest, DiffVersions: self.resolve_diff}

    def resolve_manifest(self, who: Principal, operation: ReadManifest) -> Resolved[ReadManifest]:
        """Resolve a version with its files, and those that versions before it had. Raises `NotFound`."""
        return self._resolved(who, operation, operation.repository, None, operation.revision, past=True)

    def resolve_diff(self, who: Principal, operation: DiffVersions) -> Resolved[DiffVersions]:
        """Resolve two versions with the files of both. Raises `NotFound`."""
        return self._resolved(who, operation, operation.repository, operation.base, operation.revision)

    def _resolved(
        self,
        who: Principal,
        operation: OpT,
        name: RepositoryName,
        base: str | None,
        revision: str,
        *,
        past: bool = False,
    ) -> Resolved[OpT]:
        declared, created = existing(self._directory, self._catalog, name)
        after = self._catalog.snapshot(created, revision)
        if after is None:
            return Resolved(
                operation,
                (repository_target(declared),),
                {"place": ComparedPlace(created, None, None, Alike((), (), ()))},
                repository_target(declared),
                MISSING,
            )
        version = self._version(after, who)
        before = self._before(created, after, base)
        paths = {*after.files, *(before.files if before else ())}
        if past:
            links = self._rounds.links(after.revision.id)
            paths.update(path for link in links for path in (*(each.path for each in link.changes), *link.destroyed))
        targets = as_inherited(repository_target(declared, version), version)
        other = self._version(before, who) if before else version
        if base and before is not None:
            targets += as_inherited(repository_target(declared, other), other)
        # Every path is decided as one of the newer version: what an approver judges they may also compare. It is as
        # confidential as what either version inherits.
        both = version._replace(inherited=version.inherited.join(other.inherited))
        alike = group_alike(declared, sorted(paths), named_in(declared, self._named()), both, after.files)
        place = {"place": ComparedPlace(created, before, after, alike)}
        return Resolved(operation, targets, place, repository_target(declared), MISSING, alike.targets)

    def _version(self, snapshot: Snapshot, who: Principal) -> Version:
        made = snapshot.revision
        return Version(made.id, snapshot.stage, made.author == who.subject, self._catalog.lineage.label(made.id))

    def _before(self, created: CreatedRepository, after: Snapshot, base: str | None) -> Snapshot | None:
        if base is None:
            return None
        found = base or self._rounds.approved_before(after.revision.id)
        return self._catalog.snapshot(created, found) if found else None

    # -- Serving ------------------------------------------------------------------------------------

    async def read_manifest(self, permit: Permit[ReadManifest]) -> Manifest:
        """The manifest of a version. Raises `NotFound` when there is none."""
        place = place_in(permit.claim(ReadManifest, Withhold), ComparedPlace)
        after = _existing(place.after)
        visible = frozenset(shown(place.alike, permit.allow.obligations))
        links = [
            replace(
                link,
                changes=tuple(change for change in link.changes if change.path in visible),
                destroyed=tuple(path for path in link.destroyed if path in visible),
            )
            for link in self._rounds.links(after.revision.id)
        ]
        files = files_of(links)
        stored = {path: after.files[path] for path in files}
        profiles = await self._profiles.of(place.created.id, stored.values(), lambda: False)
        rows = {
            path: profiles[held.digest].rows
            for path, held in files.items()
            if held.digest in profiles and not profiles[held.digest].why
        }
        withheld = sum(len(link.hashes) - len(link.changes) - len(link.destroyed) for link in links)
        permit.note(manifest=after.revision.manifest, files=str(len(files)))
        return Manifest(links, files, rows, withheld)

    async def diff_versions(self, permit: Permit[DiffVersions]) -> Compared:
        """Compare two versions, of the files that the caller may describe. Raises `NotFound` when one is not there."""
        place = place_in(permit.claim(DiffVersions, Withhold), ComparedPlace)
        before, after = _existing(place.before), _existing(place.after)
        visible = frozenset(shown(place.alike, permit.allow.obligations))
        was, now = self._held(before, visible), self._held(after, visible)
        profiles = await self._profiled(permit, place, was, now)
        known = frozenset(link.author for link in self._rounds.links(before.revision.id) if link.hashes)
        found = await asyncio.to_thread(compared, was, now, profiles, known)
        permit.note(base=before.revision.id, flags=str(len(found.flags)))
        return Compared(before.revision.id, after.revision.id, found, len(place.alike.paths) - len(visible))

    def _held(self, of: Snapshot, visible: frozenset[str]) -> dict[str, Held]:
        files = files_of(self._rounds.links(of.revision.id))
        return {path: held for path, held in files.items() if path in visible}

    async def _profiled(
        self, permit: Permit[DiffVersions], place: ComparedPlace, was: Mapping[str, Held], now: Mapping[str, Held]
    ) -> Mapping[str, Profile]:
        """The profiles of the files; those that are new come first."""
        end = time.monotonic() + LONGEST_S

        def go_on() -> bool:
            permit.check()
            return time.monotonic() < end

        before, after = _existing(place.before).files, _existing(place.after).files
        new = [path for path in now if path not in was or was[path].digest != now[path].digest]
        stored = [*(after[path] for path in new), *(before[path] for path in was), *(after[path] for path in now)]
        return await self._profiles.of(place.created.id, stored, go_on)


def _existing(snapshot: Snapshot | None) -> Snapshot:
    if snapshot is None:
        raise NotFound("Revision not found", kind="revision")
    return snapshot
