"""History, branches and tags of datasets and models, and their deletion, each for a permit.

Rules: a branch or tag is changed only as it was when it was decided on. The title of a commit that
changed a file which the caller may not be told of is withheld: titles name files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from nomoat.core.decision import Withhold
from nomoat.core.errors import Conflict, NotFound
from nomoat.core.operation import CreateBranch, CreateTag, DeleteBranch, DeleteRepository, DeleteTag, ListCommits
from nomoat.core.permit import Permit
from nomoat.resources.repositories.alike import shown
from nomoat.resources.repositories.resolution import HistoryPlace, NamePlace, RepositoryPlace, place_in
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import MAIN
from nomoat.stores.references import Forgotten, TagDraft
from nomoat.stores.revisions import Revision

WITHHELD: Final = "(a commit to files that are not shown to you)"


@dataclass(frozen=True, slots=True)
class Commits:
    """One page of a history, newest first; `following` is where the next one begins ('' for nowhere)."""

    commits: tuple[Revision, ...]
    following: str


@final
class References:
    """What may be seen and changed of a repository's names. `discard` removes contents that are forgotten."""

    def __init__(
        self, catalog: Catalog, discard: Callable[[Sequence[Forgotten]], None], clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._discard = discard
        self._clock = clock

    def list_commits(self, permit: Permit[ListCommits]) -> Commits:
        """The commits that led to a revision. Raises `NotFound` when there is no such revision."""
        place = place_in(permit.claim(ListCommits, Withhold), HistoryPlace)
        if not place.commits:
            raise NotFound("Revision not found", kind="revision")
        told = frozenset(shown(place.alike, permit.allow.obligations))
        commits = tuple(made if told.issuperset(paths) else _untitled(made) for made, paths in place.commits)
        return Commits(commits, place.following)

    async def create_branch(self, permit: Permit[CreateBranch]) -> None:
        """Make a branch. Raises `NotFound` when it would begin nowhere, `Conflict` when the name is taken."""
        place = _existing(place_in(permit.claim(CreateBranch), NamePlace))
        await self._catalog.create_branch(place.created, place.name, place.commit, permit.check)
        permit.note(commit=place.commit)

    async def delete_branch(self, permit: Permit[DeleteBranch]) -> None:
        """Remove a branch. Raises `NotFound` when there is none, `Conflict` when it moved or is the main one."""
        place = _existing(place_in(permit.claim(DeleteBranch), NamePlace))
        if place.name == MAIN:
            raise Conflict(f"{MAIN} is the branch that every repository has; it cannot be deleted")
        await self._catalog.delete_branch(place.created, place.name, place.commit, permit.check)
        permit.note(commit=place.commit)

    async def create_tag(self, permit: Permit[CreateTag]) -> None:
        """Make a tag. Raises `NotFound` when there is no such revision, `Conflict` when the name is taken."""
        resolved = permit.claim(CreateTag)
        place = _existing(place_in(resolved, NamePlace))
        author, message = permit.principal.subject, resolved.operation.message
        made = TagDraft(place.name, place.commit, message, author, self._clock())
        await self._catalog.create_tag(place.created, made, permit.check)
        permit.note(commit=place.commit)

    async def delete_tag(self, permit: Permit[DeleteTag]) -> None:
        """Take a tag away. Raises `NotFound` when there is none."""
        place = _existing(place_in(permit.claim(DeleteTag), NamePlace))
        await self._catalog.delete_tag(place.created, place.name, permit.check)
        permit.note(commit=place.commit)

    async def delete_repository(self, permit: Permit[DeleteRepository]) -> None:
        """Remove a repository for good. Its contents cannot be decrypted from here on, and are removed after."""
        place = place_in(permit.claim(DeleteRepository), RepositoryPlace)
        forgotten = await self._catalog.delete(place.created, self._discard, permit.check)
        permit.note(contents=str(len(forgotten)), freed=str(sum(each.length for each in forgotten)))


def _existing(place: NamePlace) -> NamePlace:
    if not place.commit:
        raise NotFound("Revision not found", kind="revision")
    return place


def _untitled(made: Revision) -> Revision:
    return replace(made, title=WITHHELD)
