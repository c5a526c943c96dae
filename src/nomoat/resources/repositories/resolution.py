"""Names of repositories, revisions and files → what they mean now, for the guard to decide on.

Rules: one look at one directory and one catalogue, without waiting. A repository is there when it is
declared and was created; otherwise the answer is the one for a repository that may not be discovered.
Of a file or revision that is missing, nothing is said here: the path's own rules decide first, and
only who is allowed to read it hears from the resource that there is none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, final

from nomoat.core.directory import Directory, Repository
from nomoat.core.errors import Malformed, Misuse, NotFound
from nomoat.core.lifecycle import Stage
from nomoat.core.lineage import NOTHING, Label
from nomoat.core.names import RepositoryName
from nomoat.core.operation import (
    Change,
    CreateBranch,
    CreateRepository,
    CreateTag,
    DeleteBranch,
    DeleteRepository,
    DeleteTag,
    DescribeFile,
    DescribeRepository,
    GrantUpload,
    ListCommits,
    ListFiles,
    Operation,
    OpT,
    PlanUpload,
    ReadFile,
    Resolved,
    Target,
    UploadBlob,
    WriteFile,
)
from nomoat.core.principal import Principal
from nomoat.core.verdict import Verdict
from nomoat.resources.repositories.alike import Alike, Groupings, group_alike, named_in
from nomoat.resources.repositories.labels import Version, as_inherited, file_target, repository_target, version_of
from nomoat.resources.repositories.listing import at, below
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import CreatedRepository, commit_named
from nomoat.stores.revisions import Revision, Snapshot, StoredFile
from nomoat.stores.rounds import Limits

MISSING: Final = "Repository not found"
MOST_CHANGES: Final = 2_000  # files in one commit
KEPT_FILES: Final = 8_192  # files whose targets are kept, about 1 KiB each
MOST_COMMITS: Final = 50  # in one page of a history, as the Hub has it

Place = TypeVar("Place")
_Asked: TypeAlias = tuple[RepositoryName, str, Version | None, Verdict | None]
Resolver: TypeAlias = Callable[[Principal, Any], Resolved[Any]]


class RepositoryPlace(NamedTuple):
    """A repository, and the revision that was asked for (None: it has no such revision).

    Where its files are told of, `alike` has them in the groups that were decided on.
    """

    created: CreatedRepository
    snapshot: Snapshot | None = None
    alike: Alike | None = None


class NamePlace(NamedTuple):
    """A branch or tag `name` of a repository, and the commit that it has or is to have ('' for none)."""

    created: CreatedRepository
    name: str
    commit: str


class HistoryPlace(NamedTuple):
    """Commits, newest first, each with the paths it changes; none: no such revision.

    `alike` has all of these paths in groups; `following` is the commit after the last one ('' for none).
    """

    commits: tuple[tuple[Revision, tuple[str, ...]], ...]
    alike: Alike
    following: str


class FilePlace(NamedTuple):
    """A file at a revision, and its label. No `snapshot`: no such revision; no `file`: it does not have the file."""

    name: RepositoryName
    path: str
    snapshot: Snapshot | None
    file: StoredFile | None
    label: Label = NOTHING


@dataclass(frozen=True, slots=True)
class CommitPlace:
    """Where a commit goes, and the files that it sets and removes, folders taken apart.

    `missing` are paths that it removes and that are not there. Without `head` there is no such branch.
    An `excessive` commit touches more files than may be decided on at once. A `reviewed` one has to be approved.
    `limits` are what its dataset's declaration says of it.
    """

    created: CreatedRepository
    head: Snapshot | None
    files: Mapping[str, Change]
    removed: frozenset[str]
    folders: frozenset[str]
    missing: frozenset[str]
    excessive: bool = False
    reviewed: bool = True
    limits: Limits = Limits()  # noqa: RUF009 - immutable


@dataclass(frozen=True, slots=True)
class CreationPlace:
    """A declared repository; `exists` tells whether it was created already."""

    name: RepositoryName
    exists: bool


def place_in(resolved: Resolved[Operation], kind: type[Place]) -> Place:
    """The coordinates of a claimed permit. Raises `Misuse` when they are of another kind."""
    place = resolved.coordinates.get("place")
    if not isinstance(place, kind):
        raise Misuse(f"{resolved.operation.action} resolved to something else than {kind.__name__}")
    return place


def existing(
    directory: Callable[[], Directory], catalog: Catalog, name: RepositoryName
) -> tuple[Repository, CreatedRepository]:
    """A repository as it is declared and as it was created. Raises `NotFound` when it is not both."""
    declared, created = directory().repositories.get(name), catalog.find(name)
    if declared is None or created is None:
        raise NotFound(MISSING, kind="repository", detail="not created" if declared else "not declared")
    return declared, created


def require_kept(snapshot: Snapshot | None) -> Snapshot:
    """The revision that was asked for. Raises `NotFound` when there is none, or its contents were destroyed."""
    if snapshot is None:
        raise NotFound("Revision not found", kind="revision")
    if snapshot.stage is Stage.SHREDDED:
        raise NotFound(
            "This version was shredded: its contents are gone for good; ask for another one", kind="revision"
        )
    return snapshot


@final
class Resolution:
    """The resolvers of everything that is about datasets and models.

    `named` returns the ids of the files that a policy in force names.
    """

    def __init__(
        self, directory: Callable[[], Directory], catalog: Catalog, named: Callable[[], frozenset[str]]
    ) -> None:
        self._directory = directory
        self._catalog = catalog
        self._repository = partial(existing, directory, catalog)
        self._named = named
        self._group = Groupings(named)
        self._discoveries: dict[RepositoryName, tuple[Repository, Target]] = {}
        self._files: dict[_Asked, tuple[Repository, tuple[Target, ...], Label]] = {}

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {
            DescribeRepository: self.describe_repository,
            ListFiles: self.list_files,
            DescribeFile: self.describe_file,
            ReadFile: self.read_file,
            CreateRepository: self.create_repository,
            PlanUpload: self.plan_upload,
            GrantUpload: self.grant_upload,
            UploadBlob: self.upload_blob,
            WriteFile: self.write_file,
            ListCommits: self.list_commits,
            CreateBranch: self.create_branch,
            DeleteBranch: self.delete_branch,
            CreateTag: self.create_tag,
            DeleteTag: self.delete_tag,
            DeleteRepository: self.delete_repository,
        }

    def describe_repository(self, who: Principal, operation: DescribeRepository) -> Resolved[DescribeRepository]:
        """Resolve a repository's revision. Raises `NotFound` when there is no such repository."""
        return self._whole(who, operation, operation.repository, operation.revision)

    def list_files(self, who: Principal, operation: ListFiles) -> Resolved[ListFiles]:
        """Resolve a revision whose files are listed. Raises `NotFound` when there is no such repository."""
        return self._whole(who, operation, operation.repository, operation.revision)

    def describe_file(self, who: Principal, operation: DescribeFile) -> Resolved[DescribeFile]:
        """Resolve one file of a revision. Raises `NotFound` when there is no such repository."""
        return self._file(who, operation, operation.repository, operation.revision, operation.path)

    def read_file(self, who: Principal, operation: ReadFile) -> Resolved[ReadFile]:
        """Resolve one file of a revision. Raises `NotFound` when there is no such repository."""
        return self._file(who, operation, operation.repository, operation.revision, operation.path)

    def create_repository(self, _: Principal, operation: CreateRepository) -> Resolved[CreateRepository]:
        """Resolve a repository to be created. Raises `NotFound` when it is not declared."""
        declared = self._directory().repositories.get(operation.repository)
        if declared is None:
            raise NotFound(MISSING, kind="repository", detail="not declared")
        place = CreationPlace(declared.name, self._catalog.find(declared.name) is not None)
        return self._resolved(operation, (repository_target(declared),), place, declared)

    def plan_upload(self, _: Principal, operation: PlanUpload) -> Resolved[PlanUpload]:
        """Resolve files that are to be uploaded: each is decided now, before anything was sent."""
        declared, created = self._repository(operation.repository)
        targets = tuple(file_target(declared, path) for path, _ in operation.files)
        place = RepositoryPlace(created, self._head(created, operation.revision))
        return self._resolved(operation, targets or (repository_target(declared),), place, declared)

    def grant_upload(self, _: Principal, operation: GrantUpload) -> Resolved[GrantUpload]:
        """Resolve the repository that contents go to. Raises `NotFound` when there is no such repository."""
        return self._destination(operation, operation.repository)

    def upload_blob(self, _: Principal, operation: UploadBlob) -> Resolved[UploadBlob]:
        """Resolve the repository that a content goes to. Raises `NotFound` when there is no such repository."""
        return self._destination(operation, operation.repository)

    def write_file(self, _: Principal, operation: WriteFile) -> Resolved[WriteFile]:
        """Resolve a commit to every file that it changes; a removed folder is the files that it has.

        Raises `NotFound` when there is no such repository, `Malformed` for a commit that contradicts
        itself or changes nothing, or too much.
        """
        _require_consistent(operation.changes)  # before anything of the repository can be told from it
        declared, created = self._repository(operation.repository)
        place = _commit_place(created, self._head(created, operation.revision), operation.changes)
        paths = sorted({*place.files, *place.removed, *place.missing})
        # Of more files than can be decided nothing is written; the resource says so to who may write.
        whole = len(paths) > MOST_CHANGES
        targets = [repository_target(declared)] if whole else [file_target(declared, path) for path in paths]
        place = replace(place, excessive=whole, reviewed=declared.reviewed)
        place = replace(place, limits=Limits(declared.append_only, declared.cap))
        resolved = self._resolved(operation, tuple(targets), place, declared)
        return resolved._replace(found=any(change.removal and change.folder for change in operation.changes))

    def list_commits(self, who: Principal, operation: ListCommits) -> Resolved[ListCommits]:
        """Resolve one page of a history, with the files that it is about. Raises `NotFound`."""
        declared, created = self._repository(operation.repository)
        start = commit_named(created, operation.revision)
        found = self._catalog.history(created, start, MOST_COMMITS + 1) if start else []
        page, newest = found[:MOST_COMMITS], found[0][0] if found else None
        stage = self._catalog.stage(newest.id) if newest else None
        inherited = self._catalog.lineage.label(newest.id) if newest else NOTHING
        version = Version(newest.id, stage, newest.author == who.subject, inherited) if newest else None
        paths = sorted({path for _, changed in page for path in changed})
        alike = group_alike(declared, paths, named_in(declared, self._named()), version, {})
        following = found[MOST_COMMITS][0].id if len(found) > MOST_COMMITS else ""
        place = HistoryPlace(tuple((made, tuple(changed)) for made, changed in page), alike, following)
        targets = as_inherited(repository_target(declared, version), version)
        return self._resolved(operation, targets, place, declared)._replace(parts=alike.targets)

    def create_branch(self, who: Principal, operation: CreateBranch) -> Resolved[CreateBranch]:
        """Resolve where a new branch begins. Raises `NotFound` when there is no such repository."""
        return self._name(who, operation, operation.repository, operation.branch, operation.start)

    def delete_branch(self, _: Principal, operation: DeleteBranch) -> Resolved[DeleteBranch]:
        """Resolve a branch to its head. Raises `NotFound` when there is no such repository."""
        declared, created = self._repository(operation.repository)
        place = NamePlace(created, operation.branch, created.branches.get(operation.branch, ""))
        return self._named_place(operation, place, declared)

    def create_tag(self, who: Principal, operation: CreateTag) -> Resolved[CreateTag]:
        """Resolve what a new tag names. Raises `NotFound` when there is no such repository."""
        return self._name(who, operation, operation.repository, operation.tag, operation.revision)

    def delete_tag(self, _: Principal, operation: DeleteTag) -> Resolved[DeleteTag]:
        """Resolve a tag to its commit. Raises `NotFound` when there is no such repository."""
        declared, created = self._repository(operation.repository)
        place = NamePlace(created, operation.tag, created.tags.get(operation.tag, ""))
        return self._named_place(operation, place, declared)

    def delete_repository(self, _: Principal, operation: DeleteRepository) -> Resolved[DeleteRepository]:
        """Resolve a repository that is to go. Raises `NotFound` when there is none."""
        return self._destination(operation, operation.repository)

    def _name(
        self, who: Principal, operation: OpT, repository: RepositoryName, name: str, revision: str
    ) -> Resolved[OpT]:
        declared, created = self._repository(repository)
        snapshot = self._catalog.snapshot(created, revision)
        place = NamePlace(created, name, snapshot.revision.id if snapshot else "")
        version = self._version(snapshot, who)
        return self._resolved(operation, as_inherited(repository_target(declared, version), version), place, declared)

    def _named_place(self, operation: OpT, place: NamePlace, declared: Repository) -> Resolved[OpT]:
        version = Version(place.commit, None, authored=False) if place.commit else None
        return self._resolved(operation, (repository_target(declared, version),), place, declared)

    def _whole(self, who: Principal, operation: OpT, name: RepositoryName, revision: str) -> Resolved[OpT]:
        declared, created = self._repository(name)
        snapshot = self._catalog.snapshot(created, revision)
        version = self._version(snapshot, who)
        targets = as_inherited(repository_target(declared, version), version)
        alike = self._group(declared, snapshot, version) if snapshot and version else None
        resolved = self._resolved(operation, targets, RepositoryPlace(created, snapshot, alike), declared)
        return resolved._replace(parts=alike.targets) if alike else resolved

    def _file(self, who: Principal, operation: OpT, name: RepositoryName, revision: str, path: str) -> Resolved[OpT]:
        declared, created = self._repository(name)
        snapshot = self._catalog.snapshot(created, revision)
        file = snapshot.files.get(path) if snapshot else None
        version = self._version(snapshot, who)
        targets, label = self._file_targets(declared, path, version, file.verdict if file else None)
        return self._resolved(operation, targets, FilePlace(name, path, snapshot, file, label), declared)

    def _file_targets(
        self, declared: Repository, path: str, version: Version | None, verdict: Verdict | None
    ) -> tuple[tuple[Target, ...], Label]:
        """The targets of a file and its label; kept, because files are read again and again."""
        asked = (declared.name, path, version, verdict)
        kept = self._files.get(asked)
        # INVARIANT (same): what is kept was made of this very declaration, and of all else that it is made of.
        if kept is None or kept[0] is not declared:
            targets = as_inherited(file_target(declared, path, version, verdict), version)
            kept = declared, targets, Label(targets[0].classification, targets[0].labels)
            if len(self._files) >= KEPT_FILES:
                self._files.clear()
            self._files[asked] = kept
        return kept[1], kept[2]

    def _destination(self, operation: OpT, name: RepositoryName) -> Resolved[OpT]:
        declared, created = self._repository(name)
        return self._resolved(operation, (repository_target(declared),), RepositoryPlace(created), declared)

    def _head(self, created: CreatedRepository, branch: str) -> Snapshot | None:
        """The head of a branch; a commit id names no branch."""
        return self._catalog.head(created, branch)

    def _resolved(
        self, operation: OpT, targets: tuple[Target, ...], place: object, declared: Repository
    ) -> Resolved[OpT]:
        return Resolved(operation, targets, {"place": place}, self._discovery(declared), MISSING)

    def _discovery(self, declared: Repository) -> Target:
        """The target of asking whether a repository may be known at all; made once for a declaration."""
        kept = self._discoveries.get(declared.name)
        if kept is None or kept[0] is not declared:
            self._discoveries[declared.name] = kept = declared, repository_target(declared)
        return kept[1]

    def _version(self, snapshot: Snapshot | None, who: Principal) -> Version | None:
        """What a target says of a revision; `who` is the caller, who may have written it."""
        if snapshot is None:
            return None
        return version_of(snapshot, who, self._catalog.lineage.label(snapshot.revision.id))


def _require_consistent(changes: tuple[Change, ...]) -> None:
    if not 0 < len(changes) <= MOST_CHANGES:
        raise Malformed(f"a commit changes from 1 to {MOST_CHANGES} files")
    if len({change.path for change in changes if not change.removal}) != sum(not change.removal for change in changes):
        raise Malformed("a commit sets each file once")


def _commit_place(created: CreatedRepository, head: Snapshot | None, changes: tuple[Change, ...]) -> CommitPlace:
    """Take a commit's changes apart. What it sets wins over what it removes, as in git."""
    paths = head.paths if head else ()
    files = {change.path: change for change in changes if not change.removal}
    removed, missing = set[str](), set[str]()
    for change in changes:
        if change.removal:
            found = below(paths, change.path) if change.folder else at(paths, change.path)
            removed.update(found)
            missing.update([] if found else [change.path])
    folders = frozenset(change.path for change in changes if change.removal and change.folder)
    return CommitPlace(created, head, files, frozenset(removed - files.keys()), folders, frozenset(missing))
