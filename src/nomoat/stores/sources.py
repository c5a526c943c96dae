"""Registered sources in the state: what they are called, who is cleared for them, and the fingerprints of their files.

Rules: no code is here and no path. Fingerprints are under a key that is not in the state, files are digests of paths.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar, final

from sqlalchemy import Connection, delete, func, insert, select, update

from nomoat.core.errors import Conflict, NotFound
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.stores.state import State
from nomoat.stores.state.inference_schema import source, source_file

T = TypeVar("T")

MOST: Final = 256
MOST_BYTES: Final = 64 << 20  # of all fingerprints, which are of some 200 MB of code
MOST_BOUND: Final = 10_000  # values in one statement; SQLite takes 32,766

Files = Mapping[str, tuple[bytes, bytes]]


class Row(NamedTuple):
    """A source; `exact` and `blind` are its fingerprints, 8 bytes each, `files` how many files it has.

    `at` is in Unix seconds, `by` who registered it. `commit` is '' while not all of it has come.
    """

    name: str
    label: str
    classification: Classification
    cleared: str
    commit: str
    at: float
    by: str
    files: int = 0
    exact: bytes = b""
    blind: bytes = b""

    @property
    def labelled(self) -> Label:
        """What a text is that has something of it."""
        return Label(self.classification, frozenset({self.label}))


Built = Callable[[Sequence[Row]], T]


@final
class StoredSources:
    """The registered sources of one state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def all(self) -> list[Row]:
        """Every source with its fingerprints, by name. Raises `Unavailable`."""
        return self._state.read(_rows)

    def listed(self) -> list[Row]:
        """Every source without its fingerprints, by name. Raises `Unavailable`."""
        return self._state.read(_named)

    async def keep(
        self,
        row: Row,
        base: str,
        files: Files,
        removed: Sequence[str],
        still: Callable[[], None],
        build: Built[T] | None,
        use: Callable[[T], None],
    ) -> None:
        """Keep files of a source; `base` is the commit that they go on from, '' for all anew. `build` None: more follows.

        Raises `Conflict` where another commit is known or there is too much, what `still` raises, `Unavailable`.
        """

        def change(connection: Connection) -> T | None:
            still()
            _begin(connection, row, base)
            gone = [*removed, *files]
            for begin in range(0, len(gone), MOST_BOUND):
                some = source_file.c.file.in_(gone[begin : begin + MOST_BOUND])
                connection.execute(delete(source_file).where(source_file.c.source == row.name, some))
            kept = [
                {"source": row.name, "file": file, "exact": exact, "blind": blind}
                for file, (exact, blind) in files.items()
            ]
            if kept:
                connection.execute(insert(source_file), kept)
            size = func.coalesce(func.sum(func.length(source_file.c.exact) + func.length(source_file.c.blind)), 0)
            if (connection.scalar(select(size)) or 0) > MOST_BYTES:
                raise Conflict(f"all sources together have more than {MOST_BYTES >> 20} MiB of fingerprints")
            return build(_rows(connection)) if build is not None else None

        await self._state.write(change, lambda built: None if built is None else use(built))

    async def remove(self, name: str, still: Callable[[], None], build: Built[T], use: Callable[[T], None]) -> None:
        """Forget a source. Raises `NotFound`, what `still` raises, `Unavailable`."""

        def change(connection: Connection) -> T:
            still()
            connection.execute(delete(source_file).where(source_file.c.source == name))
            if not connection.execute(delete(source).where(source.c.name == name)).rowcount:
                raise NotFound("there is no such source", kind="source")
            return build(_rows(connection))

        await self._state.write(change, use)


def _begin(connection: Connection, row: Row, base: str) -> None:
    """The source's own row, as it is after this."""
    own = {
        "label": row.label,
        "classification": row.classification.value,
        "cleared": row.cleared,
        "commit": row.commit,
        "at": row.at,
        "by": row.by,
    }
    known = connection.execute(select(source.c.commit).where(source.c.name == row.name)).one_or_none()
    if base and (known is None or known.commit not in {base, ""}):
        has = known.commit[:12] if known is not None else "nothing of it"
        raise Conflict(f"{row.name} is known as of another commit ({has}): nomoat source update, or add it anew")
    if not base:
        connection.execute(delete(source_file).where(source_file.c.source == row.name))
    if known is not None:
        connection.execute(update(source).where(source.c.name == row.name).values(own))
        return
    if (connection.scalar(select(func.count()).select_from(source)) or 0) >= MOST:
        raise Conflict(f"there are {MOST} sources already")
    connection.execute(insert(source).values(name=row.name, **own))


def _named(connection: Connection) -> list[Row]:
    each_of = select(source_file.c.source, func.count()).group_by(source_file.c.source)
    counted: dict[str, int] = {row.source: row[1] for row in connection.execute(each_of)}
    rows = connection.execute(select(source).order_by(source.c.name)).all()
    return [
        Row(
            *(each.name, each.label, Classification(each.classification), each.cleared, each.commit, each.at, each.by),
            files=counted.get(each.name, 0),
        )
        for each in rows
    ]


def _rows(connection: Connection) -> list[Row]:
    exact: dict[str, list[bytes]] = {}
    blind: dict[str, list[bytes]] = {}
    for each in connection.execute(select(source_file.c.source, source_file.c.exact, source_file.c.blind)):
        exact.setdefault(each.source, []).append(each.exact)
        blind.setdefault(each.source, []).append(each.blind)
    return [
        row._replace(exact=b"".join(exact.get(row.name, [])), blind=b"".join(blind.get(row.name, [])))
        for row in _named(connection)
    ]
