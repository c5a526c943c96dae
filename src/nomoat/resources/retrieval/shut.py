"""An index that cannot be had now.

Rules: whoever may not search an index hears of it what they would hear of none, whatever is wrong with it. So that it cannot be had
is no answer before the decision: it is resolved to as an index of no documents, and said to whoever is let in.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Never, final

from nomoat.core.errors import Corrupt, Unavailable
from nomoat.core.lineage import Label
from nomoat.core.retrieval import Document, Index
from nomoat.policy.classes import Footprint
from nomoat.resources.retrieval.collection import Known, Searched, Table, table_of
from nomoat.retrieval.scopes import Scope
from nomoat.stores.documents import Destroyed, Kept


@final
class Shut:
    """An index that cannot be had, and why; it stands where an `Open` one would."""

    embedder = ""
    embeds = True

    def __init__(self, index: Index, part: str, why: str) -> None:
        self.index = index
        self.documents: Mapping[str, Known] = MappingProxyType({})
        self.stale: frozenset[str] = frozenset()
        self._part = part
        self._why = why
        self._table = table_of((), ())

    def refuse(self) -> Never:
        """Raise `Unavailable`, for whoever is let in."""
        raise Unavailable(self._part, self._why)

    async def is_fit(self, read: Footprint) -> bool:
        """It never is."""
        del read
        return False

    async def fit(self, read: Footprint) -> None:
        """Raises `Unavailable`."""
        del read
        self.refuse()

    def at(self, read: Footprint) -> tuple[Searched, Table]:
        """Nothing, which has no classes."""
        del read
        return self, self._table

    def search(self, query: Any, scope: Scope) -> Sequence[Any]:
        """Raises `Unavailable`."""
        del query, scope
        self.refuse()

    def names(self, scope: Scope) -> Sequence[str]:
        """Raises `Unavailable`."""
        del scope
        self.refuse()

    def whole(self, name: str, scope: Scope) -> Sequence[Any]:
        """Raises `Unavailable`."""
        del name, scope
        self.refuse()

    async def destroy(
        self, label: Label, names: Sequence[str], still: Callable[[], None], then: Callable[[], None]
    ) -> Destroyed:
        """Raises `Unavailable`."""
        del label, names, still, then
        self.refuse()

    def require(self, documents: Sequence[Document]) -> None:
        """Raises `Unavailable`."""
        del documents
        self.refuse()

    async def change(
        self, kept: Sequence[Kept], removed: Sequence[str], still: Callable[[], None], then: Callable[[], None]
    ) -> None:
        """Raises `Unavailable`."""
        del kept, removed, still, then
        self.refuse()


def shut(index: Index, failure: Corrupt | Unavailable) -> Shut:
    """An index that cannot be had for what failed."""
    if isinstance(failure, Corrupt):
        return Shut(index, "index", str(failure))
    return Shut(index, failure.part, failure.reason)
