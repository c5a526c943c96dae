"""Sorted paths as a tree: what lies below a folder, and pages of a listing that can be continued.

Rules: pure functions over what was already permitted to be seen. Paths are sorted as plain text, in
which everything below one folder stands together.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from nomoat.stores.references import LastChange
from nomoat.stores.revisions import StoredFile

_AFTER_SLASH = chr(ord("/") + 1)  # sorts right after everything that begins with the folder and a slash


class Entry(NamedTuple):
    """One line of a listing: a file, or a folder (`file` is None)."""

    path: str
    file: StoredFile | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of the revision `commit` below `under` ('' for all): what a permit to list them gives.

    `paths` are those that may be told of; `files` has others, too. `last_changes` looks up when paths were
    last set.
    """

    commit: str
    under: str
    files: Mapping[str, StoredFile]
    paths: Sequence[str]
    last_changes: Callable[[Sequence[str]], Mapping[str, LastChange]]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing; `following` is where the next one goes on ('' when this is the last)."""

    entries: tuple[Entry, ...]
    following: str


def at(paths: Sequence[str], path: str) -> Sequence[str]:
    """The path itself if it is among the sorted paths: none or one."""
    index = bisect_left(paths, path)
    return paths[index : index + 1] if index < len(paths) and paths[index] == path else ()


def below(paths: Sequence[str], folder: str) -> Sequence[str]:
    """Those of the sorted paths that lie in a folder, at any depth ('' for all)."""
    if not folder:
        return paths
    return paths[bisect_left(paths, f"{folder}/") : bisect_left(paths, f"{folder}{_AFTER_SLASH}")]


def pages(listing: Listing, *, recursive: bool, after: str, limit: int) -> Page:
    """Up to `limit` entries of a listing that come after the entry `after` ('' for the first).

    Every folder is an entry of its own, before what lies in it; only a `recursive` listing shows that.
    """
    walk = _everything(listing, after) if recursive else _children(listing, after)
    entries = tuple(islice(walk, limit))
    more = len(entries) == limit and next(walk, None) is not None
    return Page(entries, entries[-1].path if more else "")


def entries_of(listing: Listing, paths: Sequence[str]) -> list[Entry]:
    """The entries of exactly these paths; what is not there is left out."""
    found: list[Entry] = []
    for path in paths:
        if at(listing.paths, path):
            found.append(Entry(path, listing.files[path]))
        elif path and below(listing.paths, path):
            found.append(Entry(path, None))
    return found


def _children(listing: Listing, after: str) -> Iterator[Entry]:
    """The files and folders right in the listed folder."""
    paths, prefix = listing.paths, f"{listing.under}/" if listing.under else ""
    index = _following(paths, after)
    while index < len(paths):
        name, slash, _ = paths[index].removeprefix(prefix).partition("/")
        yield Entry(prefix + name, None if slash else listing.files[paths[index]])
        index = bisect_left(paths, f"{prefix}{name}{_AFTER_SLASH}") if slash else index + 1


def _following(paths: Sequence[str], after: str) -> int:
    """The index of the first path behind a file, or behind all that lies in a folder."""
    if not after:
        return 0
    return bisect_left(paths, f"{after}{_AFTER_SLASH}") if below(paths, after) else bisect_right(paths, after)


def _everything(listing: Listing, after: str) -> Iterator[Entry]:
    """Files at any depth, each folder before the first file in it."""
    paths, seen = listing.paths, {listing.under, *_folders(listing.under)}
    start = 0
    if after:
        start = bisect_left(paths, f"{after}/") if below(paths, after) else bisect_right(paths, after)
        seen.update((after, *_folders(after)), _folders(paths[start - 1]) if start else ())
    files, last = listing.files, ""
    for path in islice(paths, start, None):
        within = path.rpartition("/")[0]
        if within != last:  # most files lie where the one before them does
            last = within
            for folder in _folders(path):
                if folder not in seen:
                    seen.add(folder)
                    yield Entry(folder, None)
        yield Entry(path, files[path])


def _folders(path: str) -> tuple[str, ...]:
    """The folders above a path, outermost first."""
    parts = path.split("/")[:-1]
    return tuple("/".join(parts[: depth + 1]) for depth in range(len(parts)))
