"""What keeps versions in quarantine: the files that a scan holds back, with what it found in them.

Rules: everything here runs inside a transaction of the caller's, and reads only. Of a file that was set several times,
a version has what was set last up to it.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from nomoat.core.lifecycle import HELD
from nomoat.core.verdict import Report, Verdict
from nomoat.stores.reports import report_of
from nomoat.stores.revisions import ancestry
from nomoat.stores.state.schema import blob, change


class HeldFile(NamedTuple):
    """A file that is held back: its path, its verdict under that name, and what a scan said of its content."""

    path: str
    verdict: Verdict
    report: Report


class _Change(NamedTuple):
    """That a path was set (or removed: no content) so many commits before the newest."""

    depth: int
    content: str | None
    verdict: Verdict


def held_files(connection: Connection, commits: Sequence[str], most: int) -> Mapping[str, Sequence[HeldFile]]:
    """The files that are held back in each of `commits`, which follow each other, newest first; sorted by path.

    Of at most `most` paths: those that were set last.
    """
    if not commits:
        return {}
    histories = _histories(connection, commits[0], most)
    found: dict[str, dict[str, _Change]] = {}
    for depth, commit in enumerate(commits):
        newest = {path: history[bisect_left(history, (depth,)) :][:1] for path, history in histories.items()}
        found[commit] = {path: each for path, changes in newest.items() for each in changes if each.verdict in HELD}
    reports = _reports(connection, {each.content for files in found.values() for each in files.values()})
    return {
        commit: [HeldFile(path, each.verdict, reports[each.content]) for path, each in sorted(files.items())]
        for commit, files in found.items()
    }


def _histories(connection: Connection, head: str, most: int) -> Mapping[str, Sequence[_Change]]:
    """How the paths came about that hold or held something back, newest change first."""
    chain = ancestry(head)
    changes = select(change.c.path).join(chain, change.c.revision == chain.c.id)
    held = change.c.verdict.in_([verdict.value for verdict in HELD])
    last = changes.where(held).group_by(change.c.path).order_by(func.min(chain.c.depth), change.c.path).limit(most)
    found: dict[str, list[_Change]] = {path: [] for path in connection.scalars(last)}
    rows = changes.add_columns(chain.c.depth, change.c.blob, change.c.verdict).where(change.c.path.in_(found))
    for path, depth, content, verdict in connection.execute(rows.order_by(chain.c.depth)):
        found[path].append(_Change(depth, content, Verdict(verdict)))
    return found


def _reports(connection: Connection, contents: set[str | None]) -> Mapping[str | None, Report]:
    rows = connection.execute(select(blob).where(blob.c.id.in_(contents)))
    return {row.id: report_of(row) for row in rows}
