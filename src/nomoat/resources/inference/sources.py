"""Sources that are registered: in force from the next request on, before who registered them is answered."""

import asyncio
import hmac
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import final

from nomoat.content.sources import Known, NothingKnown
from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed, Unavailable
from nomoat.core.operation import ListSources, Operation, RegisterSource, RemoveSource, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.resources.repositories.resolution import Resolver
from nomoat.stores.sources import Row, StoredSources


@final
class Sources:
    """What is registered. There is one for a gateway."""

    def __init__(
        self, store: StoredSources, key: bytes, directory: Callable[[], Directory], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._key = key
        self._directory = directory
        self._clock = clock
        self._generation = 0
        self._current = self._built(store.all())

    @property
    def current(self) -> Known:
        """What is in force."""
        return self._current

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return dict.fromkeys((RegisterSource, ListSources, RemoveSource), self.resolve)

    def resolve(self, who: object, operation: Operation) -> Resolved[Operation]:
        """Resolve to the directory, beside which this stands."""
        del who
        generation, facts = str(self._directory().generation), (("widens_self", False),)
        return Resolved(operation, (Target("Directory", "directory", "directory", generation, facts=facts),))

    async def register(self, permit: Permit[RegisterSource]) -> int:
        """Keep the fingerprints of some files; return how many there are. Raises `Malformed`, `Conflict`."""
        operation = permit.claim(RegisterSource).operation
        if operation.cleared not in self._directory().groups:
            raise Malformed(f"there is no group {operation.cleared}; declare it first")
        files = await asyncio.to_thread(_keyed, self._key, operation.files)
        removed = [_named(self._key, file) for file in operation.removed]
        row = Row(
            *(operation.name, operation.label, operation.classification, operation.cleared, operation.commit),
            *(self._clock(), permit.principal.subject),
        )
        # What was known before stays in force until all has come.
        build = self._built if operation.commit else None
        await self._store.keep(row, operation.base, files, removed, permit.check, build, self._use)
        count = sum(len(exact) + len(blind) for exact, blind in files.values()) // 8
        permit.note(fingerprints=str(count), files=str(len(files)))
        return count

    def list_sources(self, permit: Permit[ListSources]) -> list[Row]:
        """The registered sources, by name, without fingerprints."""
        permit.claim(ListSources)
        return self._store.listed()

    async def remove(self, permit: Permit[RemoveSource]) -> None:
        """Know a source no more. Raises `NotFound`."""
        operation = permit.claim(RemoveSource).operation
        await self._store.remove(operation.name, permit.check, self._built, self._use)

    def _built(self, rows: Sequence[Row]) -> Known:
        """What finds these; it is called in the thread that writes, too."""
        self._generation += 1
        if not rows:
            return NothingKnown(self._generation)
        _require_numpy()
        from nomoat.content.copies import KnownSources, Source  # noqa: PLC0415 - for whom there is a source
        from nomoat.content.fingerprints import Way  # noqa: PLC0415 - as above

        sources = [
            Source(row.name, row.labelled, row.cleared, {Way.EXACT: row.exact, Way.BLIND: row.blind}) for row in rows
        ]
        return KnownSources(self._generation, self._key, sources)

    def _use(self, built: Known) -> None:
        self._current = built


def _keyed(key: bytes, files: Mapping[str, tuple[bytes, bytes]]) -> dict[str, tuple[bytes, bytes]]:
    _require_numpy()
    from nomoat.content.copies import kept  # noqa: PLC0415 - as above
    from nomoat.content.fingerprints import Way  # noqa: PLC0415 - as above

    return {
        _named(key, file): (kept(key, exact, Way.EXACT), kept(key, blind, Way.BLIND))
        for file, (exact, blind) in files.items()
    }


def _named(key: bytes, file: str) -> str:
    """What a file is kept as: its digest would tell who guesses its path that it is there."""
    return hmac.digest(key, file.encode(), "sha256").hex()


def _require_numpy() -> None:
    """Raise `Unavailable` where the gateway was installed without what looks for sources."""
    if find_spec("numpy") is None:
        raise Unavailable("sources", "this gateway was installed without them: pip install 'nomoat[sources]'")
