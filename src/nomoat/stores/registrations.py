"""What an administrator registered to be found in prompts: its label, and keyed hashes of what it is.

Rules: values are never here. Their hashes are made with a key that is not in the state.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar, final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from nomoat.core.errors import Conflict, NotFound
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.stores.state import State
from nomoat.stores.state.inference_schema import registration

T = TypeVar("T")

MOST: Final = 256
MOST_HASHED: Final = 1_000_000  # values of all registrations
VALUES: Final = "values"
CANARY: Final = "canary"
HASHES: Final = ("first", "steps", "whole")


class Row(NamedTuple):
    """A registration: a set of `values`, or a `canary`; `by` is who registered it, `at` in Unix seconds."""

    name: str
    kind: str
    label: Label
    size: int
    hashes: tuple[bytes, bytes, bytes]
    at: float
    by: str


Built = Callable[[Sequence[Row]], T]


@final
class Registrations:
    """The registrations of one state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def all(self) -> list[Row]:
        """Every registration, by name. Raises `Unavailable`."""
        return self._state.read(_rows)

    def listed(self) -> list[Row]:
        """Every registration, by name, without its hashes. Raises `Unavailable`."""
        return self._state.read(lambda connection: _rows(connection, hashed=False))

    async def keep(self, row: Row, still: Callable[[], None], build: Built[T], use: Callable[[T], None]) -> None:
        """Keep a registration, in the place of a set of the same name; `use` what is built of all of them.

        `still` raises when that is not permitted any more. Raises `Conflict` where the name is a canary's, or another
        kind's, or there are too many.
        """

        def write(connection: Connection) -> T:
            still()
            held = connection.scalar(select(registration.c.kind).where(registration.c.name == row.name))
            if held is not None and (held, row.kind) != (VALUES, VALUES):
                raise Conflict(f"{row.name} is registered already; remove it first, or take another name")
            values = {
                "kind": row.kind,
                "classification": int(row.label.classification),
                "label": " ".join(sorted(row.label.labels)),
                "count": row.size,
                "at": row.at,
                "by": row.by,
                **dict(zip(HASHES, row.hashes, strict=True)),
            }
            made = insert(registration).values(name=row.name, **values)
            connection.execute(made.on_conflict_do_update(index_elements=["name"], set_=values))
            count, total = connection.execute(select(func.count(), func.sum(registration.c.count))).one()
            if count > MOST or total > MOST_HASHED:
                raise Conflict(f"there are at most {MOST} registrations, and {MOST_HASHED} values in all of them")
            return build(_rows(connection))

        await self._state.write(write, use)

    async def remove(self, name: str, still: Callable[[], None], build: Built[T], use: Callable[[T], None]) -> None:
        """Forget a registration. Raises `NotFound`."""

        def write(connection: Connection) -> T:
            still()
            gone = connection.execute(delete(registration).where(registration.c.name == name))
            if not gone.rowcount:
                raise NotFound(f"nothing is registered as {name}", kind="registration")
            return build(_rows(connection))

        await self._state.write(write, use)


def _rows(connection: Connection, *, hashed: bool = True) -> list[Row]:
    columns = [column for column in registration.c if hashed or column.name not in HASHES]
    return [
        Row(
            row["name"],
            row["kind"],
            Label(Classification(row["classification"]), frozenset(row["label"].split())),
            row["count"],
            (row[HASHES[0]], row[HASHES[1]], row[HASHES[2]]) if hashed else (b"", b"", b""),
            row["at"],
            row["by"],
        )
        for row in connection.execute(select(*columns).order_by(registration.c.name)).mappings()
    ]
