"""The chain of manifests: what each version set, by whom, hashed together with the digest of the version before.

Rules: pure. A manifest's digest is SHA-256 over the digest before it, the commit and one hash for each change, so that
a change can be withheld (its hash stands for it) and the chain still be checked by whoever may not see it; titles name
files, so the commit's id alone has them. What is there at a version, who contributed it and since when follows from the changes, in order; nothing else says it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

FORMAT: Final = "nomoat-manifest-v1"
_CHANGE: Final = b"nomoat-change-v1\n"
_MANIFEST: Final = b"nomoat-manifest-v1\n"


class Changed(NamedTuple):
    """One path that a version sets to a content (SHA-256 in hexadecimal, size in bytes) or, with digest '', removes."""

    path: str
    digest: str
    size: int

    @property
    def hash(self) -> str:
        """What stands for it in the chain."""
        return hashlib.sha256(_CHANGE + json.dumps([*self]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Link:
    """One version: its commit, who made it and when (Unix seconds).

    `changes` are those that may be told of, `hashes` stands for every one of them, sorted. `manifest` is the digest
    that is claimed for it. `destroyed` are paths whose contents, which it set, were shredded: of these a hash is left.
    """

    commit: str
    author: str
    at: float
    changes: tuple[Changed, ...]
    hashes: tuple[str, ...]
    manifest: str
    destroyed: tuple[str, ...] = ()

    def digest(self, before: str) -> str:
        """The digest of the manifest, after one with the digest `before` ('' for the first)."""
        return manifest_digest(before, self.commit, self.author, self.at, self.hashes)


class Held(NamedTuple):
    """A file of a version: its content, who contributed it, in which version and when (Unix seconds)."""

    digest: str
    size: int
    contributor: str
    since: str
    at: float


def hashes_of(changes: Iterable[Changed]) -> tuple[str, ...]:
    """What stands for changes in the chain."""
    return tuple(sorted(change.hash for change in changes))


def manifest_digest(before: str, commit: str, author: str, at: float, hashes: Sequence[str]) -> str:
    """The digest of a version's manifest (hexadecimal)."""
    said = [before, commit, author, float(at), sorted(hashes)]
    return hashlib.sha256(_MANIFEST + json.dumps(said).encode()).hexdigest()


def faults(links: Iterable[Link]) -> list[str]:
    """What is wrong with a chain, oldest version first: nothing when every digest is the one that is claimed."""
    found: list[str] = []
    before = ""
    for link in links:
        if not set(hashes_of(link.changes)) <= set(link.hashes):
            found.append(f"version {link.commit[:12]}: a change that its manifest does not have")
        if link.digest(before) != link.manifest:
            found.append(f"version {link.commit[:12]}: its manifest is not the one that follows from what it says")
        before = link.manifest
    return found


def files_of(links: Iterable[Link]) -> Mapping[str, Held]:
    """The files that are there after a chain, oldest version first, by path."""
    there: dict[str, Held] = {}
    for link in links:
        for path in link.destroyed:
            there.pop(path, None)
        for path, digest, size in link.changes:
            if digest:
                there[path] = Held(digest, size, link.author, link.commit, link.at)
            else:
                there.pop(path, None)
    return dict(sorted(there.items()))
