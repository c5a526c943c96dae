"""The catalogue: which repositories were created, where their branches point, and what files they have.

Rules: names, branches and heads are in memory whole, files of revisions in a bounded cache; both
follow the state in the order of its commits, in the event loop. It knows no policy and no contents.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypeAlias, final

from sqlalchemy import Connection

from nomoat.core.lifecycle import Stage, Standing, stage_of
from nomoat.core.lineage import NOTHING, Label
from nomoat.core.names import RepositoryName
from nomoat.core.verdict import Report
from nomoat.stores.created import CreatedRepository, commit_named, create, load_created
from nomoat.stores.held import HeldFile, held_files
from nomoat.stores.lineage import Lineage, derive
from nomoat.stores.references import (
    Forgotten,
    LastChange,
    TagDraft,
    changed_paths,
    create_branch,
    create_tag,
    delete_branch,
    delete_repository,
    delete_tag,
    history,
    last_changes,
    revisions,
)
from nomoat.stores.revisions import (
    Committed,
    Draft,
    Revision,
    Snapshot,
    StoredFile,
    commit,
    keep_content,
    load_snapshot,
    sent_contents,
    snapshot_of,
)
from nomoat.stores.rounds import Limits, require_allowed
from nomoat.stores.stages import (
    BY_ITSELF,
    authors,
    promote,
    served,
    set_stage,
    standing,
    withdraw,
)
from nomoat.stores.state import State

CACHED_FILES: Final = 120_000  # in all cached snapshots together, about 100 MiB

Still: TypeAlias = Callable[[], None]
_UNLIMITED: Final = Limits()


def _always() -> None:
    """What nobody can take back."""


@final
class Catalog:
    """The repositories of one state.

    `generation` moves when a repository is created or deleted, and when a version is approved or withdrawn. A commit does not move it: what was decided of a
    file is about its path and this very revision, and stays right and served when the branch moves on;
    if it moved, readers would be decided again for every commit of anybody, under load without end.
    What changes something takes `still`, which is called in the transaction, when its turn in the state
    has come: it raises when the change may not be made any more, and nothing is kept.
    """

    def __init__(self, state: State, cached_files: int = CACHED_FILES) -> None:
        self._state = state
        self._created = state.read(load_created)
        self._cached: OrderedDict[str, Snapshot] = OrderedDict()
        self._most = cached_files
        self._room = cached_files  # what is left of it
        self.generation = 0
        self.lineage = Lineage(state)

    def find(self, name: RepositoryName) -> CreatedRepository | None:
        """The repository of this name, or None when none was created."""
        return self._created.get(name)

    def snapshot(self, of: CreatedRepository, named: str) -> Snapshot | None:
        """The revision that a branch, tag or commit id of the repository means, or None.

        Raises `Unavailable` when the state fails.
        """
        commit_id = commit_named(of, named)
        if commit_id is None:
            return None
        cached = self._cached.get(commit_id)
        if cached is None:
            cached = self._state.read(lambda connection: load_snapshot(connection, of.id, commit_id))
            if cached is not None:
                self._cache(cached)
        elif cached.revision.repository != of.id:
            return None
        else:
            self._cached.move_to_end(commit_id)
        return cached

    def head(self, of: CreatedRepository, branch: str) -> Snapshot | None:
        """The head of a branch, in whatever stage, or None. Raises `Unavailable` when the state fails."""
        newest = of.branches.get(branch)
        return self.snapshot(of, newest) if newest else None

    def forget_files(self) -> None:
        """Read the files of revisions from the state again: what is said of them changed."""
        self._cached.clear()
        self._room = self._most
        self.generation += 1

    def sent(self, repository_id: str, subject: str, digests: Iterable[str]) -> Mapping[str, tuple[StoredFile, Report]]:
        """Those of the contents that `subject` has sent to the repository, by digest, and what scans said of them."""
        wanted = set(digests)
        return self._state.read(lambda connection: sent_contents(connection, repository_id, subject, wanted))

    def history(self, of: CreatedRepository, start: str, limit: int) -> list[tuple[Revision, list[str]]]:
        """The commit `start` and those before it, newest first, at most `limit`, each with the paths it changes.

        Empty when the repository has no such commit. Raises `Unavailable` when the state fails.
        """

        def read(connection: Connection) -> list[tuple[Revision, list[str]]]:
            made = history(connection, of.id, start, limit)
            paths = changed_paths(connection, [each.id for each in made])
            return [(each, paths[each.id]) for each in made]

        return self._state.read(read)

    def revisions(self, ids: Sequence[str]) -> Mapping[str, Revision]:
        """Those of the commits that there are, by id. Raises `Unavailable` when the state fails."""
        return self._state.read(lambda connection: revisions(connection, ids))

    def last_changes(self, start: str, paths: Sequence[str]) -> Mapping[str, LastChange]:
        """For each of the paths, the newest commit up to `start` that set it. Raises `Unavailable`."""
        return self._state.read(lambda connection: last_changes(connection, start, paths))

    async def create(self, name: RepositoryName, subject: str, at: float, still: Still = _always) -> CreatedRepository:
        """Create a repository with an empty branch `main`. Raises `Conflict` when there is one already."""

        def change(connection: Connection) -> CreatedRepository:
            still()
            return create(connection, name, subject, at)

        return await self._state.write(change, self._add)

    async def keep(
        self, repository_id: str, file: StoredFile, report: Report, subject: str, at: float, still: Still = _always
    ) -> bool:
        """Note durably that `subject` sent a content, and what a scan said; return whether its blob is the one kept."""

        def change(connection: Connection) -> bool:
            still()
            return keep_content(connection, repository_id, file, report, subject, at)

        # The commit that names it is followed; until then nothing depends on it.
        return await self._state.write(change, followed=False)

    async def commit(
        self, name: RepositoryName, draft: Draft, still: Still = _always, limits: Limits = _UNLIMITED
    ) -> Committed:
        """Make a draft the head of its branch, all of it or nothing.

        Raises `Conflict` when the branch changed meanwhile or `limits` forbid a change, `TooLarge` when they
        forbid so much, `Malformed` when the draft names a content that its author has not sent.
        """

        def change(connection: Connection) -> tuple[Committed, Stage, Label]:
            still()
            done, inherited = commit(connection, draft), NOTHING
            stage = stage_of(done.verdicts, reviewed=draft.reviewed)
            if done.changes:
                require_allowed(connection, draft.repository, done.revision.id, limits)
                set_stage(connection, done.revision.id, Standing(stage, BY_ITSELF, draft.at, ""))
                inherited = derive(
                    connection, done.revision, draft.run, lambda found: draft.describe(found, done.files)
                )
            return done, stage, inherited

        done, *_ = await self._state.write(change, lambda made: self._advance(name, draft, *made))
        return done

    async def promote(
        self, of: CreatedRepository, commit_id: str, before: Stage, standing: Standing, record: int, still: Still
    ) -> None:
        """Approve a version that stood at `before`. Raises `Conflict` when it does not now, or its approver wrote it."""

        def change(connection: Connection) -> dict[str, str]:
            still()
            promote(connection, of.id, commit_id, before, standing, record=record)
            return served(connection, of.id)

        await self._state.write(change, lambda now: self.restage(of, commit_id, standing.stage, now))

    async def withdraw(
        self,
        of: CreatedRepository,
        commit_id: str,
        standing: Standing,
        record: int,
        still: Still = _always,
        then: Callable[[], None] = _always,
    ) -> None:
        """Withdraw a version; `then` is called right after the commit, whoever still waits for it.

        Raises `Conflict` for one that is withdrawn.
        """

        def change(connection: Connection) -> dict[str, str]:
            still()
            withdraw(connection, of.id, commit_id, standing, record=record)
            return served(connection, of.id)

        def follow(now: dict[str, str]) -> None:
            self.restage(of, commit_id, standing.stage, now)
            then()

        await self._state.write(change, follow)

    def stage(self, commit_id: str) -> Stage:
        """Where a version stands. Raises `NotFound` when there is none, `Unavailable` when the state fails."""
        cached = self._cached.get(commit_id)
        return cached.stage if cached else self._state.read(lambda connection: standing(connection, commit_id).stage)

    def standing(self, commit_id: str) -> Standing:
        """Where a version stands, since when and why. Raises `NotFound` when there is none, `Unavailable`."""
        return self._state.read(lambda connection: standing(connection, commit_id))

    def authors(self, commit_id: str) -> frozenset[str]:
        """Who wrote a version since the one that was approved before it. Raises `Unavailable`."""
        return self._state.read(lambda connection: authors(connection, commit_id))

    def versions(self, of: CreatedRepository, start: str, limit: int) -> list[tuple[Revision, Standing]]:
        """The commit `start` and those before it, newest first, at most `limit`, and where each stands."""

        def read(connection: Connection) -> list[tuple[Revision, Standing]]:
            return [(made, standing(connection, made.id)) for made in history(connection, of.id, start, limit)]

        return self._state.read(read)

    def held_files(self, commits: Sequence[str], most: int) -> Mapping[str, Sequence[HeldFile]]:
        """What is held back in commits that follow each other, newest first (see `held_files`). Raises `Unavailable`."""
        return self._state.read(lambda connection: held_files(connection, commits, most))

    async def create_branch(self, of: CreatedRepository, name: str, commit: str, still: Still = _always) -> None:
        """Make a branch at a commit. Raises `Conflict` when the name is taken, `NotFound` without the repository."""

        def change(connection: Connection) -> dict[str, str]:
            still()
            create_branch(connection, of.id, name, commit)
            return served(connection, of.id, [name])

        await self._state.write(change, lambda now: self._rename(of, {name: commit}, served={name: now.get(name)}))

    async def delete_branch(self, of: CreatedRepository, name: str, head: str, still: Still = _always) -> None:
        """Remove a branch that is still at `head`. Raises `Conflict` when it moved."""

        def change(connection: Connection) -> None:
            still()
            delete_branch(connection, of.id, name, head)

        await self._state.write(change, lambda _: self._rename(of, {name: None}, served={name: None}))

    async def create_tag(self, of: CreatedRepository, made: TagDraft, still: Still = _always) -> None:
        """Make a tag. Raises `Conflict` when the name is taken, `NotFound` without the repository."""

        def change(connection: Connection) -> None:
            still()
            create_tag(connection, of.id, made)

        await self._state.write(change, lambda _: self._rename(of, tags={made.name: made.commit}))

    async def delete_tag(self, of: CreatedRepository, name: str, still: Still = _always) -> None:
        """Remove a tag. Raises `Conflict` when somebody else did."""

        def change(connection: Connection) -> None:
            still()
            delete_tag(connection, of.id, name)

        await self._state.write(change, lambda _: self._rename(of, tags={name: None}))

    async def delete(
        self, of: CreatedRepository, discard: Callable[[Sequence[Forgotten]], None], still: Still = _always
    ) -> list[Forgotten]:
        """Forget a repository with all that it has; `discard` removes its contents, which are also returned.

        Raises `NotFound` when somebody else was faster.
        """

        def change(connection: Connection) -> list[Forgotten]:
            still()
            return delete_repository(connection, of.id)

        def follow(forgotten: list[Forgotten]) -> None:  # also when nobody waits for it any more
            self._forget(of)
            discard(forgotten)

        return await self._state.write(change, follow)

    def _rename(
        self,
        of: CreatedRepository,
        branches: Mapping[str, str | None] = MappingProxyType({}),
        tags: Mapping[str, str | None] = MappingProxyType({}),
        served: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        """Follow a change of names; None is one that was removed."""
        before = self._created[of.name]
        self._created[of.name] = replace(
            before,
            branches=_changed(before.branches, branches),
            tags=_changed(before.tags, tags),
            served=_changed(before.served, served),
        )

    def restage(self, of: CreatedRepository, commit_id: str, stage: Stage, now: Mapping[str, str]) -> None:
        """Follow a version to its new stage."""
        self._created[of.name] = replace(self._created[of.name], served=MappingProxyType(dict(now)))
        cached = self._cached.get(commit_id)
        if cached is not None:
            self._cached[commit_id] = replace(cached, stage=stage)
        self.generation += 1

    def hold(self, repository_id: str, commits: Iterable[str], now: Mapping[str, str]) -> None:
        """Follow versions of a repository into quarantine; nothing where it was deleted."""
        for of in [each for each in self._created.values() if each.id == repository_id]:
            for commit_id in commits:
                self.restage(of, commit_id, Stage.QUARANTINED, now)

    def _forget(self, of: CreatedRepository) -> None:
        del self._created[of.name]
        for commit_id in [each for each, cached in self._cached.items() if cached.revision.repository == of.id]:
            self._room += 1 + len(self._cached.pop(commit_id).paths)
        self.generation += 1

    def _add(self, created: CreatedRepository) -> None:
        self._created[created.name] = created
        self.generation += 1

    def _advance(self, name: RepositoryName, draft: Draft, done: Committed, stage: Stage, inherited: Label) -> None:
        if not done.changes:
            return
        self.lineage.learn(done.revision.id, inherited)  # before anybody can be told of it
        moved, before = {draft.branch: done.revision.id}, self._created[name]
        self._created[name] = replace(
            before,
            branches=_changed(before.branches, moved),
            served=_changed(before.served, moved if stage is Stage.APPROVED else {}),
        )
        parent = self._cached.get(done.revision.parent)
        if parent is not None:
            self._cache(snapshot_of(done.revision, {**parent.files, **done.changes}, stage))

    def _cache(self, snapshot: Snapshot) -> None:
        if snapshot.revision.id in self._cached:
            return
        self._cached[snapshot.revision.id] = snapshot
        self._room -= 1 + len(snapshot.paths)
        while self._room < 0 and len(self._cached) > 1:
            _, oldest = self._cached.popitem(last=False)
            self._room += 1 + len(oldest.paths)


def _changed(before: Mapping[str, str], changes: Mapping[str, str | None]) -> Mapping[str, str]:
    after = {**before, **changes}
    return MappingProxyType({name: commit for name, commit in after.items() if commit is not None})
