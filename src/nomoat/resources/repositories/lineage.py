"""What went into a version and what came of it; a person's word on the label that it inherits; who loaded it.

Rules: an answer tells of the repositories that its reader may discover, and of the others how many versions there are.
What a version inherits is lowered by a person who wrote neither it nor what it came of, whatever the policies say. A
load is verified only where the very session that reports it fetched these bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from sqlalchemy import Connection

from nomoat.attestation.manifest import Manifest
from nomoat.core.decision import Withhold, withheld_parts
from nomoat.core.directory import Directory
from nomoat.core.errors import Conflict, NotFound, NotPermitted
from nomoat.core.lineage import Label, Load, Lowered, Relative
from nomoat.core.names import RepositoryName, is_commit_id
from nomoat.core.operation import LowerLabel, Operation, ReadLineage, ReportLoad, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.resources.repositories.labels import Version, as_inherited, file_target, repository_target, version_of
from nomoat.resources.repositories.resolution import MISSING, Resolver, existing, place_in
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import MAIN, CreatedRepository
from nomoat.stores.lineage import lowered, named, statement_of, writers
from nomoat.stores.relatives import Found, Sought, ancestors, descendants, fetched, keep_load, loads
from nomoat.stores.revisions import Snapshot
from nomoat.stores.state import State

DEPLOYED: Final = frozenset({"deployment", "serving"})
"""Segments whose workloads run what they fetch."""
NONE: Final = Found((), more=False)


class Family(NamedTuple):
    """What was found of a version, before anybody is told: `parts` has the number of each repository that is in it."""

    created: CreatedRepository
    snapshot: Snapshot | None
    above: Found = NONE
    below: Found = NONE
    parts: tuple[tuple[RepositoryName, int], ...] = ()
    names: tuple[tuple[str, RepositoryName], ...] = ()


class Named(NamedTuple):
    """A relative, by the name of its repository."""

    name: RepositoryName
    relative: Relative


@dataclass(frozen=True, slots=True)
class Told:
    """A lineage, as far as its reader may know. `commit` is '' where the repository has no such version.

    `declared` is the label by declaration, `inherited` what comes on top of it, `lowered` by whose word. `withheld` are how
    many versions are not told of, `more` whether there are more than an answer has. `statement` is the provenance as it was
    kept (b"": none, or it would tell of something withheld).
    """

    name: RepositoryName
    commit: str
    declared: Label
    inherited: Label
    lowered: Lowered | None
    above: Sequence[Named]
    below: Sequence[Named]
    withheld: int
    more: bool
    loads: Sequence[Load]
    statement: bytes


class LabelPlace(NamedTuple):
    """A version of a repository (None: there is no such commit), and whether it is the caller's in any part."""

    snapshot: Snapshot | None
    inherited: Label


class LoadPlace(NamedTuple):
    """A version of a repository (None: there is no such commit)."""

    snapshot: Snapshot | None


@final
class Tracing:
    """What may be known of what went into what, and changed of what follows from that."""

    def __init__(
        self, state: State, directory: Callable[[], Directory], catalog: Catalog, clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._directory = directory
        self._catalog = catalog
        self._clock = clock

    # -- Resolving ----------------------------------------------------------------------------------

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {ReadLineage: self.resolve_read, LowerLabel: self.resolve_lower, ReportLoad: self.resolve_load}

    def glance(self, who: Principal, operation: ReadLineage) -> Resolved[ReadLineage]:
        """Resolve the version alone, without its family. Raises `NotFound`."""
        created, snapshot = self._find(operation.repository, operation.revision or MAIN)
        place, targets = Family(created, snapshot), self._targets(who, operation, snapshot)
        return Resolved(operation, targets, {"place": place}, self._discovery(operation.repository), MISSING)

    def resolve_read(self, who: Principal, operation: ReadLineage) -> Resolved[ReadLineage]:
        """Resolve a version with its family; the parts are the other repositories in it. Raises `NotFound`."""
        created, snapshot = self._find(operation.repository, operation.revision or MAIN)
        commit = snapshot.revision.id if snapshot else ""
        file = snapshot.files.get(operation.path) if snapshot and operation.revision else None
        sought = Sought(
            created.id,
            commit if operation.revision else "",
            operation.path,
            file.digest if file else "",
            operation.contributor,
        )

        def read(connection: Connection) -> tuple[Found, Found, dict[str, RepositoryName]]:
            above = ancestors(connection, commit) if commit else NONE
            below = NONE if operation.revision and not commit else descendants(connection, sought)
            ids = {each.repository for each in (*above.relatives, *below.relatives)}
            return above, below, named(connection, sorted(ids))

        above, below, names = self._state.read(read)
        declared = self._directory().repositories
        others = sorted({name for name in names.values() if name in declared and name != created.name})
        parts = tuple(repository_target(declared[name]) for name in others)
        numbers = tuple((name, number) for number, name in enumerate(others))
        place = Family(created, snapshot, above, below, numbers, tuple(sorted(names.items())))
        targets = self._targets(who, operation, snapshot)
        discovery = self._discovery(operation.repository)
        return Resolved(operation, targets, {"place": place}, discovery, MISSING, parts=parts)

    def glance_lower(self, who: Principal, operation: LowerLabel) -> Resolved[LowerLabel]:
        """Resolve the version without looking who had a part in it. Raises `NotFound`."""
        return self._lowering(who, operation, lambda _: False)

    def resolve_lower(self, who: Principal, operation: LowerLabel) -> Resolved[LowerLabel]:
        """Resolve a version, and whether the caller had a part in it. Raises `NotFound`."""
        return self._lowering(
            who,
            operation,
            lambda commit: who.subject in self._state.read(lambda connection: writers(connection, commit)),
        )

    def _lowering(self, who: Principal, operation: LowerLabel, authored: Callable[[str], bool]) -> Resolved[LowerLabel]:
        _, snapshot = self._find(operation.repository, operation.commit if is_commit_id(operation.commit) else "")
        inherited = self._catalog.lineage.label(operation.commit)
        version = self._version(snapshot, who)
        version = version and version._replace(authored=authored(operation.commit))
        declared = self._directory().repositories[operation.repository]
        targets = as_inherited(repository_target(declared, version), version)
        place = LabelPlace(snapshot, inherited)
        return Resolved(operation, targets, {"place": place}, self._discovery(operation.repository), MISSING)

    def resolve_load(self, who: Principal, operation: ReportLoad) -> Resolved[ReportLoad]:
        """Resolve the version that was loaded. Raises `NotFound`."""
        _, snapshot = self._find(operation.repository, operation.commit if is_commit_id(operation.commit) else "")
        version = self._version(snapshot, who)
        declared = self._directory().repositories[operation.repository]
        targets = as_inherited(repository_target(declared, version), version)
        place = LoadPlace(snapshot)
        return Resolved(operation, targets, {"place": place}, self._discovery(operation.repository), MISSING)

    def _find(self, name: RepositoryName, revision: str) -> tuple[CreatedRepository, Snapshot | None]:
        _, created = existing(self._directory, self._catalog, name)
        return created, self._catalog.snapshot(created, revision)

    def _version(self, snapshot: Snapshot | None, who: Principal) -> Version | None:
        if snapshot is None:
            return None
        return version_of(snapshot, who, self._catalog.lineage.label(snapshot.revision.id))

    def _targets(self, who: Principal, operation: ReadLineage, snapshot: Snapshot | None) -> tuple[Target, ...]:
        """The version, and the file that is asked for: whether it is there is told by what came of it."""
        declared = self._directory().repositories[operation.repository]
        version = self._version(snapshot, who)
        targets = as_inherited(repository_target(declared, version), version)
        if not operation.path:
            return targets
        return *targets, *as_inherited(file_target(declared, operation.path, version), version)

    def _discovery(self, name: RepositoryName) -> Target:
        return repository_target(self._directory().repositories[name])

    # -- Serving ------------------------------------------------------------------------------------

    def read(self, permit: Permit[ReadLineage]) -> Told:
        """Tell a version's lineage. Raises `NotFound` when there is no such revision."""
        resolved = permit.claim(ReadLineage, Withhold)
        place = place_in(resolved, Family)
        if place.snapshot is None and resolved.operation.revision:
            raise NotFound("Revision not found", kind="revision")
        withheld = withheld_parts(permit.allow.obligations)
        told = {name for name, number in place.parts if number not in withheld} | {place.created.name}
        names = {identifier: name for identifier, name in place.names if name in told}

        def shown(found: Found) -> list[Named]:
            return [Named(names[each.repository], each) for each in found.relatives if each.repository in names]

        above, below = shown(place.above), shown(place.below)
        hidden = len(place.above.relatives) - len(above) + len(place.below.relatives) - len(below)
        permit.note(above=str(len(above)), below=str(len(below)), withheld=str(hidden))
        commit = place.snapshot.revision.id if place.snapshot else ""
        word, loaded, statement = self._state.read(
            lambda connection: (
                lowered(connection, commit),
                loads(connection, commit),
                statement_of(connection, commit),
            )
        )
        target = resolved.discovery
        return Told(
            name=place.created.name,
            commit=commit,
            declared=Label(target.classification, target.labels) if target else Label(),
            inherited=self._catalog.lineage.label(commit),
            lowered=word,
            above=above,
            below=below,
            withheld=hidden,
            more=place.above.more or place.below.more,
            loads=[each for each in loaded if self._deploys(each)],
            statement=b"" if len(above) < len(place.above.relatives) else statement,
        )

    async def lower(self, permit: Permit[LowerLabel]) -> Lowered:
        """Let a version inherit a weaker label.

        Raises `NotFound` when there is no such version, `NotPermitted` when the caller is no person, or wrote it or what
        it came of, `Conflict` when the label is no weaker one or no reason is given.
        """
        resolved = permit.claim(LowerLabel)
        operation, place = resolved.operation, place_in(resolved, LabelPlace)
        if place.snapshot is None:
            raise NotFound("Revision not found", kind="revision")
        if permit.principal.kind is not PrincipalKind.PERSON:
            raise NotPermitted("a label is lowered by a person")
        if not operation.reason:
            raise Conflict("say why this version may have a weaker label than what its run read (--reason)")
        word = Lowered(operation.label, permit.principal.subject, self._clock(), operation.reason)
        await self._catalog.lineage.lower(place.snapshot.revision, word, permit.receipt.index, permit.check)
        permit.note(before=written(place.inherited), after=written(operation.label), reason=operation.reason)
        return word

    async def report(self, permit: Permit[ReportLoad]) -> Load:
        """Note which files of a version a session says it loaded, and whether it fetched them.

        Raises `NotFound` when there is no such version, `Malformed` for files that are none.
        """
        resolved = permit.claim(ReportLoad)
        operation, snapshot = resolved.operation, place_in(resolved, LoadPlace).snapshot
        if snapshot is None:
            raise NotFound("Revision not found", kind="revision")
        who, at, files = permit.principal, self._clock(), snapshot.files
        digest = Manifest.of(operation.files).root
        same = all(path in files and files[path].digest == digest_ for path, digest_ in operation.files)

        def change(connection: Connection) -> Load:
            permit.check()
            verified = same and fetched(connection, who.session, operation.commit).issuperset(operation.files)
            load = Load(who.subject, who.session, at, len(operation.files), digest, verified)
            keep_load(connection, operation.commit, load, permit.receipt.index)
            return load

        def follow(load: Load) -> None:
            self._catalog.lineage.learn_load(operation.commit, snapshot.revision.repository, load)

        load = await self._state.write(change, follow)
        permit.note(sha256=digest, load="verified" if load.verified else "unverified")
        return load

    def _deploys(self, load: Load) -> bool:
        """Whether a session that fetched a version is one that runs it: a deployment's or a server's, or one that says so."""
        workload = self._directory().workloads.get(load.subject.partition(":")[2])
        return bool(load.digest) or (workload is not None and workload.segment in DEPLOYED)


def written(label: Label) -> str:
    """A label as a person writes it."""
    return " ".join([label.classification.name.lower(), *sorted(label.labels)])
