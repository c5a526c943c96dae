"""Writing datasets and models: creation, uploads and commits, each for a permit.

Rules: a content belongs to the repository it was sent to, and gets a path only from who sent all of
it there. Whether somebody else has sent it is told to nobody. A commit is one transaction, and every
file of it was decided on its own labels before.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar, final

from nomoat.attestation.model_signature import FILE_NAME
from nomoat.core.errors import Conflict, Corrupt, NotFound, Refused, TooLarge, Unavailable
from nomoat.core.lineage import Label
from nomoat.core.names import RepositoryName
from nomoat.core.operation import CreateRepository, GrantUpload, PlanUpload, UploadBlob, WriteFile
from nomoat.core.permit import Permit
from nomoat.core.verdict import Report, Verdict
from nomoat.identity.capabilities import Capabilities
from nomoat.resources.repositories.examining import Judge, Scan, in_memory, require_acceptable
from nomoat.resources.repositories.listing import at, below
from nomoat.resources.repositories.provenance import Describe
from nomoat.resources.repositories.resolution import (
    MOST_CHANGES,
    CommitPlace,
    CreationPlace,
    RepositoryPlace,
    place_in,
)
from nomoat.resources.repositories.signatures import Signatory, digests_of, is_signed, sign_version
from nomoat.stores.catalog import Catalog
from nomoat.stores.objects import Objects
from nomoat.stores.revisions import Committed, Draft, Moved, SignatureDraft, Snapshot, StoredFile
from nomoat.stores.rounds import Limits

T = TypeVar("T")

INLINE_LIMIT: Final = 1 << 20  # bytes of a file that is to come with the commit
_TEXTS: Final = frozenset(
    [
        ".bib",
        ".c",
        ".cfg",
        ".conf",
        ".cpp",
        ".css",
        ".csv",
        ".gitattributes",
        ".gitignore",
        ".go",
        ".h",
        ".html",
        ".ini",
        ".ipynb",
        ".java",
        ".jinja",
        ".js",
        ".json",
        ".jsonl",
        ".lock",
        ".md",
        ".mdx",
        ".py",
        ".r",
        ".rs",
        ".rst",
        ".sh",
        ".sql",
        ".svg",
        ".tex",
        ".toml",
        ".ts",
        ".tsv",
        ".txt",
        ".xml",
        ".yaml",
        ".yml",
    ]
)
_ATTEMPTS: Final = 8  # at signing what others change at the same time
_SYNCED_AT_ONCE: Final = 8  # inline contents of one commit whose files are being synced


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """How one file is to be sent: with the commit (`inline`), or to an upload URL before it."""

    path: str
    inline: bool


@dataclass(frozen=True, slots=True)
class GrantedUpload:
    """One content that may be sent; without a `secret` the caller has sent it before."""

    digest: str
    size: int
    secret: str = field(repr=False)


@final
class Writing:
    """What may be written to datasets and models."""

    def __init__(
        self,
        catalog: Catalog,
        objects: Objects,
        capabilities: Capabilities,
        clock: Callable[[], float],
        scan: Scan,
        judge: Judge,
        signatory: Signatory,
        describe: Describe,
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._capabilities = capabilities
        self._clock = clock
        self._scan = scan
        self._judge = judge
        self._signatory = signatory
        self._describe = describe

    async def create_repository(self, permit: Permit[CreateRepository]) -> None:
        """Create a declared repository. Raises `Conflict` when it exists."""
        place = place_in(permit.claim(CreateRepository), CreationPlace)
        if place.exists:
            raise Conflict(f"{place.name} exists already")
        await self._catalog.create(place.name, permit.principal.subject, self._clock(), permit.check)

    def plan_upload(self, permit: Permit[PlanUpload]) -> list[PlannedFile]:
        """Say how files are to be sent. Raises `NotFound` when there is no such branch."""
        resolved = permit.claim(PlanUpload)
        _head(place_in(resolved, RepositoryPlace).snapshot)
        return [PlannedFile(path, _comes_inline(path, size)) for path, size in resolved.operation.files]

    def grant_upload(self, permit: Permit[GrantUpload]) -> list[GrantedUpload]:
        """Make a one-use secret for every content that the caller has not sent to this repository yet."""
        resolved = permit.claim(GrantUpload)
        repository, contents = resolved.operation.repository, resolved.operation.contents
        created, principal, now = place_in(resolved, RepositoryPlace).created, permit.principal, self._clock()
        sent = self._catalog.sent(created.id, principal.subject, (digest for digest, _ in contents))
        granted: list[GrantedUpload] = []
        for digest, size in contents:
            done = digest in sent and sent[digest][0].size == size
            wanted = UploadBlob(repository, digest, size)
            secret = "" if done else self._capabilities.issue(principal, wanted, now)
            granted.append(GrantedUpload(digest, size, secret))
        permit.note(granted=str(sum(bool(each.secret) for each in granted)))
        return granted

    async def upload_blob(self, permit: Permit[UploadBlob], body: AsyncIterator[bytes]) -> None:
        """Store one content, read once from `body`.

        Raises `Malformed` when it is not the announced one, `Rejected` when it is one that nobody may
        have; then nothing of it stays, and the upload URL is still good.
        """
        resolved = permit.claim(UploadBlob)
        operation, repository = resolved.operation, place_in(resolved, RepositoryPlace).created.id
        permit.note(sha256=operation.digest)
        with self._objects.begin(repository, operation.digest, operation.size) as upload:
            async for chunk in body:
                permit.check()
                upload.write(chunk)
                permit.note(bytes=len(chunk))
                await asyncio.sleep(0)  # a fast sender must not starve small requests
            permit.check()
            blob = await upload.finish()
        file = StoredFile(operation.digest, operation.size, "", blob)
        await _to_its_end(self._keep(permit, repository, file))
        self._capabilities.consume(permit.principal)

    async def write_file(self, permit: Permit[WriteFile]) -> str:
        """Commit changes to a branch and return the id of its head, new if anything changed.

        A model's new version is signed as it is committed.
        Raises `NotFound` when there is no such branch or a file to remove is missing, `Conflict` when
        the branch changed meanwhile, a path would be both file and folder or the dataset is append-only, `TooLarge` for
        more than one contributor may set, `Malformed` when the
        caller has not sent a content that the commit names, `Rejected` for a content that nobody may have.
        """
        resolved = permit.claim(WriteFile)
        operation, place = resolved.operation, place_in(resolved, CommitPlace)
        if is_signed(operation.repository):
            place = _without_signature(place)
        head = _require_possible(place, operation.parent)
        author, at_ = permit.principal.subject, self._clock()
        contents = {change.path: change.content for change in place.files.values() if change.content is not None}
        digests = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
        inline = await self._store(place.created.id, author, {digests[path]: path for path in contents}, contents)
        draft = Draft(
            repository=place.created.id,
            branch=operation.revision,
            base=head,
            strict=bool(operation.parent),
            title=operation.title,
            author=author,
            at=at_,
            files={
                path: (digests[path], len(contents[path])) if path in contents else (change.digest, change.size)
                for path, change in place.files.items()
            },
            removed=place.removed,
            folders=place.folders,
            inline=inline,
            reviewed=place.reviewed,
            judge=self._judge,
            session=permit.principal.session,
            record=permit.receipt.index,
            written=frozenset(Label(each.classification, each.labels) for each in resolved.targets),
            describe=partial(self._describe, operation.repository),
        )
        done = await _to_its_end(self._land(operation.repository, draft, place.limits, permit.check))
        permit.note(bytes=sum(map(len, contents.values())), commit=done.revision.id, files=str(len(done.changes)))
        permit.note(manifest=done.revision.manifest)
        return done.revision.id

    async def _keep(self, permit: Permit[UploadBlob], repository: str, file: StoredFile) -> None:
        """Note a content that was sent; remove it where another one of it is there or its sender may not any more."""
        try:
            report = await self._examined(repository, file)
            permit.note(verdict=report.verdict, format=report.format)
            require_acceptable({f"sha256:{file.digest[:12]}…": report})
            subject, at_ = permit.principal.subject, self._clock()
            kept = await self._catalog.keep(repository, file, report, subject, at_, permit.check)
        except (Refused, Unavailable, Corrupt):  # nothing refers to it
            await self._objects.remove(file.blob.id)
            raise
        if not kept:
            await self._objects.remove(file.blob.id)

    async def _examined(self, repository: str, file: StoredFile) -> Report:
        with self._objects.open(file.blob, repository, file.digest) as blob:
            (report,) = await self._scan([blob.scannable()])
        return report

    async def _land(self, name: RepositoryName, draft: Draft, limits: Limits, still: Callable[[], None]) -> Committed:
        """Commit a draft; remove the inline contents that are not needed, or that it was refused with."""
        try:
            land = self._sign_and_commit if is_signed(name) else self._catalog.commit
            done = await land(name, draft, still, limits)
        except Refused:  # rolled back: nothing refers to them
            await self._remove(file.blob.id for file, _ in draft.inline.values())
            raise
        await self._remove(done.spare)
        return done

    async def _sign_and_commit(
        self, name: RepositoryName, draft: Draft, still: Callable[[], None], limits: Limits
    ) -> Committed:
        """Commit a draft with a signature over all that it leaves; over what others left, when they were faster."""
        for _ in range(_ATTEMPTS):
            signature = await self._signature(name, draft)
            try:
                return await self._catalog.commit(name, replace(draft, signature=signature), still, limits)
            except Refused as refusal:
                if signature and signature.content:
                    await self._objects.remove(signature.content[0].blob.id)
                if not isinstance(refusal, Moved):
                    raise
        raise Conflict("the branch changes all the time; try again")

    async def _signature(self, name: RepositoryName, draft: Draft) -> SignatureDraft | None:
        """Sign what a draft makes of the branch as it is now; None where that changes nothing."""
        created = self._catalog.find(name)
        head = self._catalog.head(created, draft.branch) if created else None
        if head is None:
            return None  # the state says so, too
        before = digests_of(head.files)
        after = {path: digest for path, digest in before.items() if path not in draft.removed}
        after.update({path: digest for path, (digest, _) in draft.files.items()})
        if after == before and (FILE_NAME in head.files or not after):
            return None
        if not after:
            return SignatureDraft(head.revision.id, FILE_NAME, after, None)
        content = await asyncio.to_thread(sign_version, self._signatory, name, after, draft.author)
        file = await self._store_one(draft.repository, hashlib.sha256(content).hexdigest(), content)
        return SignatureDraft(head.revision.id, FILE_NAME, after, (file, Report(Verdict.CLEAN, "json")))

    async def _store(
        self, repository: str, author: str, paths: Mapping[str, str], contents: Mapping[str, bytes]
    ) -> dict[str, tuple[StoredFile, Report]]:
        """Store the inline contents, by digest, that their author has not sent before. Raises `Rejected`.

        `paths` has a path for each digest, `contents` what lies there.
        """
        sent = self._catalog.sent(repository, author, paths)
        new = [digest for digest in paths if digest not in sent]
        scanned = await self._scan([in_memory(contents[paths[digest]]) for digest in new])
        reports = dict(zip(new, scanned, strict=True))
        require_acceptable({paths[digest]: report for digest, report in reports.items()})
        limit = asyncio.Semaphore(_SYNCED_AT_ONCE)
        stored: dict[str, StoredFile] = {}

        async def store(digest: str) -> None:
            async with limit:
                stored[digest] = await self._store_one(repository, digest, contents[paths[digest]])

        try:
            async with asyncio.TaskGroup() as group:
                for digest in new:
                    group.create_task(store(digest))
        except ExceptionGroup as failures:
            await self._remove(file.blob.id for file in stored.values())
            raise failures.exceptions[0] from None
        except asyncio.CancelledError:
            await self._remove(file.blob.id for file in stored.values())
            raise
        return {digest: (file, reports[digest]) for digest, file in stored.items()}

    async def _store_one(self, repository: str, digest: str, content: bytes) -> StoredFile:
        with self._objects.begin(repository, digest, len(content)) as upload:
            upload.write(content)
            blob = await upload.finish()
        return StoredFile(digest, len(content), _git_oid(content), blob)

    async def _remove(self, blobs: Iterable[str]) -> None:
        for blob in blobs:
            await self._objects.remove(blob)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work that cleans up after itself, and goes on to do so when whoever waits is cut."""
    return await asyncio.shield(asyncio.ensure_future(work))


def _without_signature(place: CommitPlace) -> CommitPlace:
    """A commit to a model without what it does to the signature, which is made anew. Raises `Conflict`."""
    if any(path.startswith(f"{FILE_NAME}/") for path in place.files):
        raise Conflict(f"{FILE_NAME} is the model's signature, and no folder")
    signature = {FILE_NAME}
    return replace(
        place,
        files={path: change for path, change in place.files.items() if path != FILE_NAME},
        removed=place.removed - signature,
        missing=place.missing - signature,
    )


def _require_possible(place: CommitPlace, parent: str) -> Snapshot:
    """The head that the commit was decided on, if it can take it."""
    head = _head(place.head)
    if place.excessive:
        raise TooLarge(f"a commit changes at most {MOST_CHANGES} files")
    if parent and parent != head.revision.id:
        raise Conflict("the branch has another head than the parent commit that was named; look at what is new")
    if place.missing:
        path = min(place.missing)
        raise NotFound(f"Entry not found: {path}", kind="entry", version=head.revision.id)
    _require_paths_apart(place, head)
    return head


def _require_paths_apart(place: CommitPlace, head: Snapshot) -> None:
    """Raise `Conflict` when a path would be a file and a folder at once."""
    new = sorted(place.files)
    for path in new:
        clashes = [*below(new, path), *(each for each in below(head.paths, path) if each not in place.removed)]
        above = ["/".join(PurePosixPath(path).parts[:depth]) for depth in range(1, len(PurePosixPath(path).parts))]
        clashes += [folder for folder in above if folder not in place.removed and at(head.paths, folder)]
        if clashes:
            raise Conflict(f"{path} and {clashes[0]} cannot both be there: one is the other's folder")


def _head(snapshot: Snapshot | None) -> Snapshot:
    if snapshot is None:
        raise NotFound("Revision not found: there is no such branch", kind="revision")
    return snapshot


def _comes_inline(path: str, size: int) -> bool:
    name = PurePosixPath(path).name
    return size == 0 or (size <= INLINE_LIMIT and (PurePosixPath(path).suffix or name).lower() in _TEXTS)


def _git_oid(content: bytes) -> str:
    """The git object id of a content: clients know an inline file by it. It protects nothing."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
