"""What each session carries: the label of what it read, sent and was told, in the state.

Rules: a label grows and never shrinks; it ends with its session. INVARIANT (before the byte): it has grown, in the state and
for the next decision, before the first byte of what made it grow leaves the gateway. What is in memory is never weaker than
what is in the state; a session that fell out of it is looked up again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from nomoat.core.lineage import NOTHING, Label
from nomoat.stores.labels import columns_of, label_of
from nomoat.stores.state import State
from nomoat.stores.state.inference_schema import session_label

KEPT: Final = 16_384  # sessions whose label is in memory, about 200 bytes each

Grown = Mapping[str, Label]
"""The labels of sessions, by id."""


@final
class SessionLabels:
    """The labels that sessions carry. `generation` moves when one grows; `kept` bounds how many are in memory."""

    def __init__(self, state: State, kept: int = KEPT) -> None:
        self._state = state
        self._most = kept
        self._known: OrderedDict[str, Label] = OrderedDict()
        self.generation = 0

    def label(self, session: str) -> Label:
        """What a session carries. Raises `Unavailable` when it is not in memory and cannot be read."""
        found = self._known.get(session)
        if found is None:
            found = self._state.read(lambda connection: _carried(connection, session))
            self._keep(session, found)
        else:
            self._known.move_to_end(session)
        return found

    async def join(self, session: str, label: Label, at: float) -> None:
        """Return when it is stored that a session carries `label`, too; `at` is Unix seconds. Raises `Unavailable`."""
        if self.label(session).covers(label):
            return
        await self._state.write(lambda connection: grow(connection, [(session, label)], at), self.follow)

    def grows(self, joined: Iterable[tuple[str, Label]]) -> bool:
        """Whether one of these sessions does not carry the label beside it yet."""
        return any(not self.label(session).covers(label) for session, label in joined)

    def follow(self, grown: Grown) -> None:
        """Follow what `grow` made of labels, once it is committed."""
        for session, label in grown.items():
            self._keep(session, self._known.get(session, NOTHING).join(label))
        self.generation += bool(grown)

    def _keep(self, session: str, label: Label) -> None:
        self._known[session] = label
        self._known.move_to_end(session)
        if len(self._known) > self._most:
            self._known.popitem(last=False)


def grow(connection: Connection, joined: Iterable[tuple[str, Label]], at: float) -> Grown:
    """Join labels to those that sessions carry, within a transaction; return those that have grown."""
    grown: dict[str, Label] = {}
    for session, label in joined:
        before = grown.get(session) or _carried(connection, session)
        if not before.covers(label):
            grown[session] = before.join(label)
    for session, label in grown.items():
        row = {**columns_of(label), "at": at}
        made = insert(session_label).values(session=session, **row)
        connection.execute(made.on_conflict_do_update(index_elements=["session"], set_=row))
    return grown


def _carried(connection: Connection, session: str) -> Label:
    row = connection.execute(select(session_label).where(session_label.c.session == session)).one_or_none()
    return label_of(row.classification, row.labels) if row else NOTHING
