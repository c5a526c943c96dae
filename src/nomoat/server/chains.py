"""Looking at the chains of versions in a state: whether ids and manifests are those that follow from what the rows say.

Rules: read-only. Rows that were rewritten together, ids included, follow from each other again; then the log knows of
other ones: what it says of a commit's manifest has to be what is here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, select

from nomoat.core.chain import Changed, hashes_of, identify, manifest_digest
from nomoat.core.lifecycle import Stage
from nomoat.core.operation import ApproveVersion
from nomoat.core.record import Json
from nomoat.stores.rounds import changed_contents
from nomoat.stores.state.schema import change, revision, stage

Tell = Callable[[str], None]
_AT_ONCE: Final = 500


@dataclass(slots=True)
class Logged:
    """What the log says of versions: the manifest of each commit, and which one an approval's record is about."""

    manifests: dict[str, str] = field(default_factory=dict[str, str])
    approved: dict[int, str] = field(default_factory=dict[int, str])

    def take(self, record: Mapping[str, Json]) -> None:
        """Learn from a record."""
        facts, on, number = record.get("facts"), record.get("on"), record.get("n")
        if isinstance(facts, Mapping) and "commit" in facts and "manifest" in facts:
            self.manifests[str(facts["commit"])] = str(facts["manifest"])
        if record.get("what") == ApproveVersion.action and isinstance(on, Mapping) and isinstance(number, int):
            self.approved[number] = str(on.get("version", ""))


def look_at_chains(connection: Connection, logged: Logged, tell: Tell) -> int:
    """Work out every version's id and manifest again; return how many there are."""
    manifests = {row.id: row.manifest for row in connection.execute(select(revision.c.id, revision.c.manifest))}
    commits = [*manifests]
    for start in range(0, len(commits), _AT_ONCE):
        part = commits[start : start + _AT_ONCE]
        changes = _changes(connection, part)
        for row in connection.execute(select(revision).where(revision.c.id.in_(part))):
            if logged.manifests.get(row.id, row.manifest) != row.manifest:
                tell(f"the log has another manifest of version {row.id[:12]}")
            made = changes.get(row.id, [])
            if identify(row.repository, row.parent or "", row.title, row.author, row.at, made) != row.id:
                tell(f"version {row.id[:12]} is not the one that its id stands for")
            before = manifests.get(row.parent, "") if row.parent else ""
            if manifest_digest(before, row.id, row.author, row.at, hashes_of(made)) != row.manifest:
                tell(f"the manifest of version {row.id[:12]} does not follow from what it says")
    _look_at_approvals(connection, logged.approved, tell)
    return len(commits)


def _look_at_approvals(connection: Connection, approved: Mapping[int, str], tell: Tell) -> None:
    rows = select(stage.c.revision, stage.c.record).where(stage.c.stage == Stage.APPROVED.value)
    for commit, record in connection.execute(rows):
        if approved.get(record, commit) != commit:
            tell(f"version {commit[:12]} is approved by record {record}, which is about another one")


def _changes(connection: Connection, commits: list[str]) -> Mapping[str, list[Changed]]:
    found: dict[str, list[Changed]] = {}
    rows = connection.execute(changed_contents().where(change.c.revision.in_(commits)))
    for commit, path, digest, size in rows:
        found.setdefault(commit, []).append(Changed(path, digest or "", size or 0))
    return found
