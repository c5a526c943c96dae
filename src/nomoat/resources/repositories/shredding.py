"""Shredding a version, for a permit: its contents are gone for good before the one who shredded it is answered.

Rules: versions that share contents with it are named by the caller, or the contents stay, or nothing happens. Running
downloads are cut in the moment that the keys are gone.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, final

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.lifecycle import Stage, Standing
from nomoat.core.operation import Resolved, ShredVersion
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.resources.repositories.labels import repository_target
from nomoat.resources.repositories.resolution import MISSING, existing, place_in
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import CreatedRepository
from nomoat.stores.shredding import Shredded, Shredding

MOST_ALSO: Final = 200  # versions that go with one


class ShredPlace(NamedTuple):
    """The versions of a repository that are to be shredded together."""

    created: CreatedRepository
    commits: tuple[str, ...]


@final
class Shredder:
    """What may be shredded. `end` cuts every access to a version: its commit id, and why."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        catalog: Catalog,
        shredding: Shredding,
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._catalog = catalog
        self._shredding = shredding
        self._clock = clock
        self._ends: list[Callable[[str, str], None]] = []

    def listen(self, end: Callable[[str, str], None]) -> None:
        """Have accesses to a version cut: `end` takes its commit id and why."""
        self._ends.append(end)

    def resolve(self, _: Principal, operation: ShredVersion) -> Resolved[ShredVersion]:
        """Resolve a version, and those that may go with it. Raises `NotFound`, `Malformed` for too many."""
        name = operation.repository
        declared, created = existing(self._directory, self._catalog, name)
        if len(operation.also) > MOST_ALSO:
            raise Malformed(f"at most {MOST_ALSO} versions go with one")
        place = ShredPlace(created, tuple(dict.fromkeys((operation.commit, *operation.also))))
        # Not as the version of the target: who shreds one is not cut with those who read it.
        target = repository_target(declared)._replace(name=operation.requested)
        return Resolved(operation, (target,), {"place": place}, repository_target(declared), MISSING)

    async def shred(self, permit: Permit[ShredVersion]) -> Shredded:
        """Shred the versions, durably.

        Raises `NotFound` when one is missing, `Conflict` when one is shredded or shares contents with others that
        were not named, `Unavailable` when the state fails: then nothing was destroyed.
        """
        resolved = permit.claim(ShredVersion)
        operation, place = resolved.operation, place_in(resolved, ShredPlace)

        def cut() -> None:
            for commit in place.commits:
                for end in self._ends:
                    end(commit, "the version was shredded")

        done = await self._shredding.shred(
            place.created,
            place.commits,
            Standing(Stage.SHREDDED, permit.principal.subject, self._clock(), operation.reason),
            keep_shared=operation.keep_shared,
            record=permit.receipt.index,
            still=permit.check,
            then=cut,
        )
        permit.note(
            reason=operation.reason,
            contents=str(len(done.forgotten)),
            kept=str(done.kept),
            also=", ".join(place.commits[1:]),
            journal="emptied" if done.journal else "still in use",
        )
        return done
