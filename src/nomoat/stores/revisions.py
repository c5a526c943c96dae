"""Revisions in the state: a commit is its parent and what it changes; a snapshot is all of its files.

Rules: everything here runs inside a transaction of the caller's. History is linear within a branch.
A commit names contents of its own repository only, and only such that its author has sent whole:
whoever just knows a digest, from a listing or another repository, cannot give it a path of theirs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

from sqlalchemy import CTE, Connection, Row, insert, literal, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from nomoat.core.chain import Changed, hashes_of, identify, manifest_digest
from nomoat.core.errors import Conflict, Malformed, NotFound
from nomoat.core.lifecycle import Stage
from nomoat.core.lineage import Label, Origin, Run
from nomoat.core.verdict import Report, Verdict
from nomoat.stores.blob import StoredBlob
from nomoat.stores.reports import described, report_of
from nomoat.stores.state.schema import blob, branch, change, revision, stage, upload
from nomoat.stores.state.schema import repository as repositories

ROWS: Final = 5_000  # fetched at once: one by one, they cost twice as much
MOST_REBASED: Final = 1000  # commits that may have come between a decision and its commit


class StoredFile(NamedTuple):
    """One content in a repository; a tuple, because a repository has many.

    `digest` is its SHA-256 (hexadecimal), `size` its length in bytes, `git_oid` its git object id when
    it came inline with a commit, '' when it was uploaded as LFS. `verdict` is what a scan said of it, with
    what its path adds where it has one.
    """

    digest: str
    size: int
    git_oid: str
    blob: StoredBlob
    verdict: Verdict = Verdict.UNSCANNABLE


@dataclass(frozen=True, slots=True)
class Revision:
    """One commit of the repository with the id `repository`; `at` is Unix seconds.

    `manifest` is the digest of its manifest.
    """

    id: str
    repository: str
    parent: str
    title: str
    author: str
    at: float
    manifest: str


@final
@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """All files of a revision, and where it stood when it was loaded; `paths` is sorted."""

    revision: Revision
    files: Mapping[str, StoredFile]
    paths: Sequence[str] = field(repr=False)
    stage: Stage


class Moved(Conflict):
    """The branch has another head than the one that a signature was made for."""


@dataclass(frozen=True, slots=True)
class SignatureDraft:
    """What is signed of all that a draft makes of the commit `head`: it becomes the file `path`.

    `over` has all that is signed (path → SHA-256, hex). `content` is None where there is nothing to sign: then there is no such file.
    """

    head: str
    path: str
    over: Mapping[str, str]
    content: tuple[StoredFile, Report] | None


@dataclass(frozen=True, slots=True)
class Draft:
    """A commit to be made.

    `base` is the head of the branch that it was decided on, `strict` whether that must still be the
    head. `files` maps paths to the (SHA-256, size in bytes) that they become (size -1: as uploaded),
    `removed` are paths and `folders` removed folders, whose files at `base` are among `removed`.
    `reviewed` is whether a person has to approve it. `inline` are the contents that came with the commit and are not
    in the state yet, each with the report of its scan. `judge` says of a path what its content's report becomes under
    that name. `signature` is there where versions are signed and this one differs from the head. `session` and `record`
    are those of the access that makes it, `written` the declared labels of what it touches; `describe` makes a statement of
    what it came of, from that and its files.
    """

    repository: str
    branch: str
    base: Snapshot
    strict: bool
    title: str
    author: str
    at: float
    files: Mapping[str, tuple[str, int]]
    reviewed: bool = False
    removed: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    inline: Mapping[str, tuple[StoredFile, Report]] = field(default_factory=dict[str, tuple[StoredFile, Report]])
    judge: Callable[[str, Report], Report] = lambda _, report: report
    signature: SignatureDraft | None = None
    session: str = ""
    record: int = 0
    written: frozenset[Label] = frozenset()
    describe: Callable[[Origin, Mapping[str, StoredFile]], bytes] = lambda _, __: b""

    @property
    def run(self) -> Run:
        """Who publishes."""
        return Run(self.author, self.session, self.record, self.written)


@dataclass(frozen=True, slots=True)
class Committed:
    """What a draft became.

    `revision` is the new head, or the one that it was decided on when it changes nothing (`changes` is
    empty). `spare` are the ids of inline blobs that are not kept, because the content was there. `files` are all of
    its files, `verdicts` theirs.
    """

    revision: Revision
    changes: Mapping[str, StoredFile | None]
    spare: Sequence[str] = ()
    files: Mapping[str, StoredFile] = field(default_factory=dict[str, StoredFile])

    @property
    def verdicts(self) -> frozenset[Verdict]:
        """Those of its files."""
        return frozenset(file.verdict for file in self.files.values())


def commit(connection: Connection, draft: Draft) -> Committed:
    """Make a draft the head of its branch.

    Raises `Conflict` when the branch is another one by now in what the draft touches (or at all, when
    it is strict), or what it was decided on was shredded, `Moved` when it is in anything and the draft is signed, `Malformed` when its author has not sent a
    content that it names.
    """
    head = connection.scalar(
        select(branch.c.revision).where(branch.c.repository == draft.repository, branch.c.name == draft.branch)
    )
    if head != draft.base.revision.id:
        _require_apart(connection, draft, head or "")
    _require_kept(connection, draft.base)
    if draft.signature is not None and draft.signature.head != head:
        raise Moved(_MOVED)
    spare = [
        file.blob.id
        for file, report in draft.inline.values()
        if not keep_content(connection, draft.repository, file, report, draft.author, draft.at)
    ]
    contents = _contents(connection, draft)
    before = draft.base.files
    changes: dict[str, StoredFile | None] = {
        path: _judged(contents[digest], path, draft.judge)
        for path, (digest, _) in draft.files.items()
        if path not in before or before[path].digest != digest
    }
    changes.update(dict.fromkeys(draft.removed))
    if draft.signature is not None:
        changes.update(_signed(connection, draft, draft.signature))
    if not changes:
        return Committed(draft.base.revision, {}, spare)
    made = _revision(connection, draft, head or "", changes)
    connection.execute(insert(revision).values(_row(made)))
    connection.execute(
        insert(change),
        [_changed(made.id, path, file) for path, file in changes.items()],
    )
    # INVARIANT (head): a branch moves from the very commit that this one is the child of.
    moved = connection.execute(
        update(branch)
        .where(branch.c.repository == draft.repository, branch.c.name == draft.branch, branch.c.revision == head)
        .values(revision=made.id)
    )
    if moved.rowcount != 1:
        raise Conflict(_MOVED)
    files, signed = _files(connection, draft, head or "", changes), draft.signature
    if signed and signed.over != {path: file.digest for path, file in files.items() if path != signed.path}:
        raise Moved(_MOVED)  # what was shredded since is not there any more
    return Committed(made, changes, spare, files)


def _signed(connection: Connection, draft: Draft, signature: SignatureDraft) -> dict[str, StoredFile | None]:
    """What a signature changes. INVARIANT (signed): it is over the very files that this commit leaves."""
    if signature.content is None:
        return {signature.path: None} if signature.path in draft.base.files else {}
    file, report = signature.content
    keep_content(connection, draft.repository, file, report, draft.author, draft.at)
    return {signature.path: file._replace(verdict=report.verdict)}


def _files(
    connection: Connection, draft: Draft, head: str, changes: Mapping[str, StoredFile | None]
) -> dict[str, StoredFile]:
    rebased = head != draft.base.revision.id
    before = load_snapshot(connection, draft.repository, head) if rebased else draft.base
    files = {**(before.files if before else {}), **changes}
    return {path: file for path, file in files.items() if file is not None}


def begin_history(connection: Connection, repository: str, name: str, author: str, at: float) -> Revision:
    """Make the first, empty commit of a repository and a branch `name` that points to it."""
    commit_id = identify(repository, "", _FIRST, author, at, ())
    manifest = manifest_digest("", commit_id, author, at, ())
    first = Revision(commit_id, repository, "", _FIRST, author, at, manifest)
    connection.execute(insert(revision).values(_row(first)))
    connection.execute(insert(branch).values(repository=repository, name=name, revision=first.id))
    return first


def require_repository(connection: Connection, repository_id: str) -> None:
    """Raise `NotFound` when the repository was deleted since it was looked up."""
    if connection.scalar(select(repositories.c.id).where(repositories.c.id == repository_id)) is None:
        raise NotFound("Repository not found", kind="repository", detail="deleted meanwhile")


def keep_content(
    connection: Connection, repository: str, file: StoredFile, report: Report, subject: str, at: float
) -> bool:
    """Note that `subject` sent a content, and what a scan said of it; return whether its blob is the one that is kept.

    The first blob of a content stays: another one of the same content is not needed.
    """
    require_repository(connection, repository)
    known = connection.scalar(select(blob.c.id).where(blob.c.repository == repository, blob.c.digest == file.digest))
    if known is None:
        connection.execute(
            insert(blob).values(
                id=file.blob.id,
                repository=repository,
                digest=file.digest,
                size=file.size,
                git_oid=file.git_oid,
                wrapped_key=file.blob.wrapped_key,
                created_at=at,
                **described(report),
            )
        )
    sent = insert_or(upload).values(blob=known or file.blob.id, subject=subject, at=at)
    # Who sends it again has sent it now: how long it is kept uncommitted counts from here.
    connection.execute(sent.on_conflict_do_update(index_elements=["blob", "subject"], set_={"at": at}))
    return known is None


def sent_contents(
    connection: Connection, repository: str, subject: str, digests: Iterable[str]
) -> dict[str, tuple[StoredFile, Report]]:
    """Those of the contents that `subject` has sent to the repository, by digest, and what scans said of them."""
    rows = connection.execute(
        select(blob)
        .join(upload, upload.c.blob == blob.c.id)
        .where(blob.c.repository == repository, upload.c.subject == subject, blob.c.digest.in_(set(digests)))
    )
    return {row.digest: (_stored(row), report_of(row)) for row in rows}


def load_snapshot(connection: Connection, repository: str, commit_id: str) -> Snapshot | None:
    """The files of a commit of this repository: of each path, the newest change up to it."""
    row = connection.execute(
        select(revision).where(revision.c.id == commit_id, revision.c.repository == repository)
    ).one_or_none()
    if row is None:
        return None
    chain = ancestry(commit_id)
    changes = connection.execute(
        select(change.c.path, *_STORED, change.c.verdict)
        .select_from(chain.join(change, change.c.revision == chain.c.id).outerjoin(blob, blob.c.id == change.c.blob))
        .order_by(chain.c.depth)
    )
    files: dict[str, StoredFile | None] = {}
    for part in changes.partitions(ROWS):
        for path, identifier, digest, size, git_oid, wrapped_key, verdict in part:
            if path not in files:
                stored = None
                if identifier is not None:
                    stored = StoredFile(
                        digest, size, git_oid, StoredBlob(identifier, size, wrapped_key), _VERDICTS[verdict]
                    )
                files[path] = stored
    return snapshot_of(read_revision(row), files, _stage(connection, commit_id))


def snapshot_of(made: Revision, files: Mapping[str, StoredFile | None], stage: Stage) -> Snapshot:
    """A snapshot of a revision from its files; None is a removed one."""
    there = {path: file for path, file in files.items() if file is not None}
    return Snapshot(made, there, sorted(there), stage)


_STORED: Final = (blob.c.id, blob.c.digest, blob.c.size, blob.c.git_oid, blob.c.wrapped_key)
_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}
_FIRST: Final = "Create the repository"
_MOVED: Final = "the branch changed meanwhile; look at what is new and commit again"
_SHREDDED: Final = "the version before this one was shredded meanwhile; look at what is left and commit again"


def _stage(connection: Connection, commit_id: str) -> Stage:
    newest = select(stage.c.stage).where(stage.c.revision == commit_id).order_by(stage.c.number.desc()).limit(1)
    return Stage(connection.scalars(newest).one())


def _require_kept(connection: Connection, base: Snapshot) -> None:
    """Raise `Conflict` when a version was shredded since it was loaded: its files are not what they were."""
    if base.stage is not Stage.SHREDDED and _stage(connection, base.revision.id) is Stage.SHREDDED:
        raise Conflict(_SHREDDED)


def _judged(content: tuple[StoredFile, Report], path: str, judge: Callable[[str, Report], Report]) -> StoredFile:
    file, report = content
    return file._replace(verdict=judge(path, report).verdict)


def _changed(revision_id: str, path: str, file: StoredFile | None) -> dict[str, object]:
    verdict = Verdict.CLEAN if file is None else file.verdict
    return {"revision": revision_id, "path": path, "blob": file and file.blob.id, "verdict": verdict.value}


def _contents(connection: Connection, draft: Draft) -> Mapping[str, tuple[StoredFile, Report]]:
    """The contents that the draft names, all of them sent by its author."""
    sent = sent_contents(connection, draft.repository, draft.author, (digest for digest, _ in draft.files.values()))
    for path, (digest, size) in draft.files.items():
        if digest not in sent or size not in (-1, sent[digest][0].size):
            # One answer for a content that nobody has sent and for one that somebody else has.
            raise Malformed(f"the content sha256:{digest[:12]}… of {path} was not uploaded; upload the file again")
    return sent


def _require_apart(connection: Connection, draft: Draft, head: str) -> None:
    """Raise `Conflict` unless all that came between leaves alone what the draft was decided on."""
    if draft.strict:
        raise Conflict(_MOVED)
    since = ancestry(head, until=draft.base.revision.id, depth=MOST_REBASED)
    seen = set(connection.scalars(select(since.c.id)))
    if draft.base.revision.id not in seen:
        raise Conflict(_MOVED)
    touched = [*draft.files, *draft.removed, *draft.folders]
    changed = select(change.c.path).join(since, change.c.revision == since.c.id)
    for path in connection.scalars(changed.where(since.c.id != draft.base.revision.id)):
        if any(_related(path, ours) for ours in touched):
            raise Conflict(f"{path} changed meanwhile; look at what is new and commit again")


def ancestry(start: str, *, until: str = "", depth: int = 1 << 62) -> CTE:
    """The commit `start` and those before it as (id, parent, depth), down to `until` or `depth` steps."""
    first = select(revision.c.id, revision.c.parent, literal(0).label("depth")).where(revision.c.id == start)
    chain = first.cte(recursive=True)
    before = select(revision.c.id, revision.c.parent, chain.c.depth + 1).join(chain, revision.c.id == chain.c.parent)
    return chain.union_all(before.where(chain.c.id != until, chain.c.depth < depth))


def _related(path: str, other: str) -> bool:
    """Whether two paths are the same, or one would be a folder of the other."""
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")


def _revision(connection: Connection, draft: Draft, parent: str, changes: Mapping[str, StoredFile | None]) -> Revision:
    changed = [
        Changed(path, file.digest, file.size) if file else Changed(path, "", 0) for path, file in changes.items()
    ]
    identifier = identify(draft.repository, parent, draft.title, draft.author, draft.at, changed)
    before = connection.scalars(select(revision.c.manifest).where(revision.c.id == parent)).one()
    manifest = manifest_digest(before, identifier, draft.author, draft.at, hashes_of(changed))
    return Revision(identifier, draft.repository, parent, draft.title, draft.author, draft.at, manifest)


def _row(made: Revision) -> dict[str, object]:
    return {
        "id": made.id,
        "repository": made.repository,
        "parent": made.parent or None,
        "title": made.title,
        "author": made.author,
        "at": made.at,
        "manifest": made.manifest,
    }


def read_revision(row: "Row[tuple[object, ...]]") -> Revision:
    """A row of the table as a revision."""
    return Revision(row.id, row.repository, row.parent or "", row.title, row.author, row.at, row.manifest)


def _stored(row: "Row[tuple[object, ...]]") -> StoredFile:
    stored = StoredBlob(row.id, row.size, row.wrapped_key)
    return StoredFile(row.digest, row.size, row.git_oid, stored, _VERDICTS[row.verdict])
