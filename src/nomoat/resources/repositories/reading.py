"""Reading datasets and models: descriptions, listings and contents, each for a permit.

Rules: what is read is the blob that the decision was about, whatever its name means by now. Every
byte was authenticated before it is given out, and the permit is asked before each part. That a session reads a file is
stored before its first byte: what is published later inherits its label. Who is
allowed to read a path hears whether it is there; nobody else does.
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, final

from nomoat.core.decision import Withhold
from nomoat.core.errors import Misuse, NotFound
from nomoat.core.lineage import Label, Read
from nomoat.core.names import RepositoryName
from nomoat.core.operation import DescribeFile, DescribeRepository, ListFiles, Operation, ReadFile, Resolved
from nomoat.core.permit import Permit
from nomoat.resources.repositories.alike import shown
from nomoat.resources.repositories.listing import Listing, below
from nomoat.resources.repositories.resolution import FilePlace, RepositoryPlace, place_in, require_kept
from nomoat.resources.repositories.signatures import Signatures, is_signed
from nomoat.stores.blob import Blob
from nomoat.stores.catalog import Catalog
from nomoat.stores.objects import Objects
from nomoat.stores.revisions import Revision, Snapshot, StoredFile


@dataclass(frozen=True, slots=True)
class Description:
    """A repository at a revision.

    `branches` (to what is served of them) and `tags` map names to commit ids. `paths` are those of its files that
    may be told of, sorted; `files` has others, too.
    """

    id: str
    name: RepositoryName
    created_at: float
    branches: Mapping[str, str]
    tags: Mapping[str, str]
    revision: Revision
    paths: Sequence[str]
    files: Mapping[str, StoredFile]


class FoundFile(NamedTuple):
    """One file of the revision `commit`."""

    path: str
    commit: str
    file: StoredFile


class Content(NamedTuple):
    """The bytes of a file that were asked for.

    `first` and `last` are inclusive; an empty file has `last` -1. `partial` tells that a range was asked
    for; one that the file does not have leaves `parts` None (RFC 9110, section 14.1.1).
    """

    found: FoundFile
    first: int
    last: int
    partial: bool
    parts: Iterator[bytes] | None

    @property
    def length(self) -> int:
        """How many bytes `parts` gives."""
        return self.last - self.first + 1


@final
class Reading:
    """What may be read of datasets and models."""

    def __init__(self, catalog: Catalog, objects: Objects, signatures: Signatures, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._objects = objects
        self._signatures = signatures
        self._clock = clock

    def describe_repository(self, permit: Permit[DescribeRepository]) -> Description:
        """Describe a repository at a revision. Raises `NotFound` when it has no such revision."""
        place = place_in(permit.claim(DescribeRepository, Withhold), RepositoryPlace)
        snapshot, created = _snapshot(place), place.created
        return Description(
            id=created.id,
            name=created.name,
            created_at=created.created_at,
            branches=created.served,
            tags=created.tags,
            revision=snapshot.revision,
            paths=_shown(permit, place),
            files=snapshot.files,
        )

    def list_files(self, permit: Permit[ListFiles]) -> Listing:
        """List what lies under a path. Raises `NotFound` when there is no such revision or folder."""
        resolved = permit.claim(ListFiles, Withhold)
        place, under = place_in(resolved, RepositoryPlace), resolved.operation.under
        snapshot = _snapshot(place)
        paths, commit = below(_shown(permit, place), under), snapshot.revision.id
        if under and not paths:
            raise _no_entry(under, commit)
        return Listing(commit, under, snapshot.files, paths, partial(self._catalog.last_changes, commit))

    def describe_file(self, permit: Permit[DescribeFile]) -> FoundFile:
        """Describe one file. Raises `NotFound` when there is no such revision or file."""
        return _file(place_in(permit.claim(DescribeFile), FilePlace))[1]

    def read_file(self, permit: Permit[ReadFile]) -> "Opening":
        """Open a file's content for the time of an `async with`.

        Of a model, the version's signature and all of the file are verified first, unless they were and have not
        changed. Raises `NotFound` when there is no such revision or file, `NotPermitted` for a model that is not signed,
        `Corrupt` when what is stored does not verify: here, or at the first part that does not; `Unavailable` when it
        cannot be stored who reads it.
        """
        return Opening(self._open(permit, permit.claim(ReadFile)))

    async def _open(self, permit: Permit[ReadFile], resolved: Resolved[ReadFile]) -> tuple[Content, Blob | None]:
        place, operation = place_in(resolved, FilePlace), resolved.operation
        snapshot, found = _file(place)
        if is_signed(place.name):
            await self._signatures.require(place.name, snapshot, found.file)
            permit.check()
        size = found.file.size
        ranged = operation.first is not None and operation.of in {"", tag_of(found.file)}
        span = _span(operation.first, operation.last, size) if ranged else (0, size - 1)
        if span is None:
            permit.note(range="not satisfiable")
            return Content(found, 0, -1, ranged, None), None
        if ranged:
            permit.note(range=f"{span[0]}-{span[1]}")
        repository = snapshot.revision.repository
        await self._catalog.lineage.note(_noted(permit, repository, found, place.label, self._clock()))
        if is_signed(place.name):  # once more: that took a while, and what did not change meanwhile costs nothing
            await self._signatures.require(place.name, snapshot, found.file)
            permit.check()
        blob = self._objects.open(found.file.blob, repository, found.file.digest)
        return Content(found, *span, ranged, _checked(permit, blob, *span)), blob


@final
class Opening:
    """A file's content, open for the time of an `async with`. Every download makes one, so it is no generator."""

    __slots__ = ("_blob", "_opening")

    def __init__(self, opening: Coroutine[Any, Any, tuple[Content, Blob | None]]) -> None:
        self._opening = opening
        self._blob: Blob | None = None

    async def __aenter__(self) -> Content:
        content, self._blob = await self._opening
        return content

    async def __aexit__(self, *_: object) -> None:
        if self._blob is not None:
            self._blob.close()


def _noted(permit: Permit[Operation], repository: str, found: FoundFile, label: Label, at: float) -> Read:
    who, record = permit.principal, permit.receipt.index
    digest = found.file.digest
    return Read(who.session, who.subject, repository, found.commit, found.path, digest, label, at, record)


def _checked(permit: Permit[Operation], blob: Blob, first: int, last: int) -> Iterator[bytes]:
    segments = blob.segments(first, last)
    while True:
        permit.check()
        part = next(segments, None)
        if part is None:
            return
        permit.note(bytes=len(part))
        yield part


def _span(first: int | None, last: int | None, size: int) -> tuple[int, int] | None:
    """The bytes, inclusive, that a range means in a content of `size` bytes; None when it has none of them."""
    if first is None or first >= size:
        return None
    if first < 0:
        return (max(0, size + first), size - 1) if size else None
    return first, size - 1 if last is None else min(last, size - 1)


def tag_of(file: StoredFile) -> str:
    """The entity tag of a content, without quotes: what a client may hold against it later."""
    return file.git_oid or file.digest


def _shown(permit: Permit[Operation], place: RepositoryPlace) -> Sequence[str]:
    """The paths that the permit lets its holder be told of."""
    if place.alike is None:
        raise Misuse("files are to be told of that were not decided on")
    left = shown(place.alike, permit.allow.obligations)
    if len(left) < len(place.alike.paths):
        permit.note(withheld=str(len(place.alike.paths) - len(left)))
    return left


def _snapshot(place: RepositoryPlace) -> Snapshot:
    return require_kept(place.snapshot)


def _file(place: FilePlace) -> tuple[Snapshot, FoundFile]:
    snapshot = require_kept(place.snapshot)
    commit = snapshot.revision.id
    if place.file is None:
        raise _no_entry(place.path, commit)
    return snapshot, FoundFile(place.path, commit, place.file)


def _no_entry(path: str, commit: str) -> NotFound:
    return NotFound(f"Entry not found: {path}", kind="entry", version=commit)
