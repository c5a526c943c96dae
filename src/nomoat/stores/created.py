"""Which repositories were created, where their branches point, and what a name means in one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, insert, select

from nomoat.core.errors import Conflict
from nomoat.core.lifecycle import Stage, Standing
from nomoat.core.names import CANDIDATE, RepositoryKind, RepositoryName, is_commit_id
from nomoat.stores.revisions import Revision, begin_history
from nomoat.stores.stages import BY_ITSELF, served, set_stage
from nomoat.stores.state.schema import branch, repository, tag

MAIN: Final = "main"  # the branch that a new repository has


@dataclass(frozen=True, slots=True)
class CreatedRepository:
    """A repository by its immutable id; `created_at` is Unix seconds.

    `branches` and `tags` map names to commit ids, `served` each branch to its newest approved version.
    """

    id: str
    name: RepositoryName
    created_at: float
    branches: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    served: Mapping[str, str] = field(default_factory=dict[str, str])


def commit_named(of: CreatedRepository, named: str) -> str | None:
    """The commit id that a branch, a tag or a commit id (of whatever repository) means, or None.

    A branch means its newest approved version, `candidate` the newest one of the main branch in whatever stage.
    """
    if named == CANDIDATE:
        return of.branches.get(MAIN)
    return of.served.get(named) or of.tags.get(named) or (named if is_commit_id(named) else None)


def load_created(connection: Connection) -> dict[RepositoryName, CreatedRepository]:
    """Every repository that was created."""
    branches: dict[str, dict[str, str]] = {}
    for row in connection.execute(select(branch)):
        branches.setdefault(row.repository, {})[row.name] = row.revision
    tags: dict[str, dict[str, str]] = {}
    for row in connection.execute(select(tag.c.repository, tag.c.name, tag.c.revision)):
        tags.setdefault(row.repository, {})[row.name] = row.revision
    created: dict[RepositoryName, CreatedRepository] = {}
    for row in connection.execute(select(repository)):
        name = RepositoryName(RepositoryKind(row.kind), row.namespace, row.name)
        heads, marks = MappingProxyType(branches.get(row.id, {})), MappingProxyType(tags.get(row.id, {}))
        created[name] = CreatedRepository(row.id, name, row.created_at, heads, marks, served(connection, row.id))
    return created


def create(connection: Connection, name: RepositoryName, subject: str, at: float) -> CreatedRepository:
    """Create a repository with an empty branch `main`. Raises `Conflict` when there is one already."""
    same = (repository.c.kind == name.kind, repository.c.namespace == name.namespace, repository.c.name == name.name)
    if connection.scalar(select(repository.c.id).where(*same)) is not None:
        raise Conflict(f"{name} exists already")
    identifier = token_hex(16)
    row = {"kind": name.kind.value, "namespace": name.namespace, "name": name.name}
    connection.execute(insert(repository).values(id=identifier, **row, created_at=at, created_by=subject))
    first: Revision = begin_history(connection, identifier, MAIN, subject, at)
    set_stage(connection, first.id, Standing(Stage.APPROVED, BY_ITSELF, at, ""))
    main = MappingProxyType({MAIN: first.id})
    return CreatedRepository(identifier, name, at, main, served=main)
