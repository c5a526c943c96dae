"""Profiles of contents in the state: made when somebody first asks, and kept as long as the content is.

Rules: kept for a content of one repository, so that none tells whether another repository has it, too. What another
profiler or another key made is made anew. A content that could not be profiled is kept as that.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import sha256
from typing import Final, final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from nomoat.core.errors import Corrupt
from nomoat.core.profile import Profile, described, parse_profile
from nomoat.core.verdict import Scannable
from nomoat.stores.objects import Objects
from nomoat.stores.revisions import StoredFile
from nomoat.stores.state import State
from nomoat.stores.state.schema import blob
from nomoat.stores.state.schema import profile as profiles

VERSION: Final = 1  # of what the profiler does: one more makes every profile anew
_AT_ONCE: Final = 500


@final
class Profiles:
    """The profiles of one state's contents. `make` profiles one with `key`."""

    def __init__(
        self, state: State, objects: Objects, make: Callable[[Scannable], Awaitable[Profile]], key: bytes
    ) -> None:
        self._state = state
        self._objects = objects
        self._make = make
        self._maker = f"{VERSION}:{sha256(key).hexdigest()[:16]}"

    async def of(
        self, repository: str, files: Iterable[StoredFile], go_on: Callable[[], bool]
    ) -> Mapping[str, Profile]:
        """The profiles of a repository's contents by digest, as many as there are or `go_on` lets be made.

        Raises `Unavailable` when the state or the disk fails.
        """
        wanted = {file.blob.id: file for file in files}
        kept = await asyncio.to_thread(self._state.read, lambda connection: _kept(connection, [*wanted], self._maker))
        found = {wanted[identifier].digest: profile for identifier, profile in kept.items()}
        for identifier, file in wanted.items():
            if identifier in kept:
                continue
            if not go_on():
                break
            found[file.digest] = await self._made(repository, file)
        return found

    async def _made(self, repository: str, file: StoredFile) -> Profile:
        try:
            with contextlib.closing(self._objects.open(file.blob, repository, file.digest)) as content:
                made = await self._make(content.scannable())
        except Corrupt as error:
            return Profile("damaged", why=str(error))
        if not made.format:  # nobody looked at it: the next one who asks has it tried again
            return made
        row = {"document": json.dumps(described(made)), "signatures": made.signatures, "maker": self._maker}

        def keep(connection: Connection) -> None:
            if connection.scalar(select(blob.c.id).where(blob.c.id == file.blob.id)) is None:
                return  # shredded, or its repository deleted, meanwhile
            statement = insert(profiles).values(blob=file.blob.id, **row)
            connection.execute(statement.on_conflict_do_update(index_elements=["blob"], set_=row))

        await self._state.write(keep, followed=False)
        return made


def _kept(connection: Connection, blobs: list[str], maker: str) -> dict[str, Profile]:
    found: dict[str, Profile] = {}
    for start in range(0, len(blobs), _AT_ONCE):
        here = profiles.c.blob.in_(blobs[start : start + _AT_ONCE])
        for row in connection.execute(select(profiles).where(here, profiles.c.maker == maker)):
            found[row.blob] = parse_profile(json.loads(row.document), row.signatures)
    return found
