"""Which version each workload says it has loaded of each model: its newest word, in memory whole.

Rules: follows the state in the order of its commits. There is one entry for each workload and repository.
"""

from typing import NamedTuple, final

from sqlalchemy import Connection, select

from nomoat.core.lineage import Load
from nomoat.stores.state import State
from nomoat.stores.state.schema import load, revision

_Key = tuple[str, str]


class Loaded(NamedTuple):
    """A version, and the root digest (SHA-256, hex) of the files that were reported of it; `verified` as in `Load`."""

    commit: str
    digest: str
    verified: bool


@final
class Loads:
    """What is loaded where, as far as anybody said."""

    def __init__(self, state: State) -> None:
        self._newest = state.read(_newest)

    def newest(self, repository: str, workload: str) -> Loaded | None:
        """What the workload of this name said last of the repository with this id; None when it never did."""
        return self._newest.get((repository, f"workload:{workload}"))

    def learn(self, commit: str, repository: str, told: Load) -> None:
        """Follow what was said now."""
        self._newest[repository, told.subject] = Loaded(commit, told.digest, told.verified)


def _newest(connection: Connection) -> dict[_Key, Loaded]:
    rows = connection.execute(
        select(revision.c.repository, load).join(revision, revision.c.id == load.c.revision).order_by(load.c.record)
    )
    return {(row.repository, row.subject): Loaded(row.revision, row.digest, bool(row.verified)) for row in rows}
