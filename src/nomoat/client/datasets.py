"""What a gateway tells of a dataset's versions, taken strictly; manifests are verified by what is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from nomoat.client.errors import Unintelligible
from nomoat.client.transport import Answer
from nomoat.core.chain import FORMAT, Changed, Held, Link, faults, files_of


@dataclass(frozen=True, slots=True)
class DatasetManifest:
    """A manifest: `document` is what was read, `rows` how many rows files have where that is known."""

    document: Answer
    links: Sequence[Link]
    rows: Mapping[str, int]
    withheld: int

    @property
    def digest(self) -> str:
        """The digest of the last version's manifest, as claimed."""
        return self.links[-1].manifest

    @property
    def commit(self) -> str:
        """The commit of the last version."""
        return self.links[-1].commit

    @property
    def files(self) -> Mapping[str, Held]:
        """The files that it tells of, by path."""
        return files_of(self.links)

    @property
    def faults(self) -> list[str]:
        """What is wrong with it; nothing when the chain holds."""
        return faults(self.links)


@dataclass(frozen=True, slots=True)
class Difference:
    """How two versions differ; `document` is all of it."""

    document: Answer

    @property
    def before(self) -> str:
        """The commit that was compared with."""
        return _text(self.document.get("before"))

    @property
    def after(self) -> str:
        """The commit that was looked at."""
        return _text(self.document.get("after"))

    @property
    def flags(self) -> Sequence[str]:
        """What to look at first."""
        return self.paths("flags")

    @property
    def contributors(self) -> Sequence[Answer]:
        """Who set something, with how much."""
        return _tables(self.document.get("contributors"))

    @property
    def rows(self) -> tuple[int, int]:
        """How many rows there were, and are."""
        before, after = _list(self.document.get("rows"), 2)
        return _whole(before), _whole(after)

    @property
    def schema(self) -> Mapping[str, Sequence[str]]:
        """The columns whose type changed: before and after."""
        return {
            name: [_text(kind) for kind in _list(kinds, 2)]
            for name, kinds in _table(self.document.get("schema")).items()
        }

    @property
    def values(self) -> Sequence[Answer]:
        """Columns by how far their values moved."""
        return _tables(self.document.get("values"))

    @property
    def lengths(self) -> Sequence[Answer]:
        """Columns by how far the lengths of their texts moved."""
        return _tables(self.document.get("lengths"))

    @property
    def near_duplicates(self) -> Answer:
        """Near duplicates among the new rows."""
        return _table(self.document.get("near_duplicates"))

    @property
    def unprofiled(self) -> Mapping[str, str]:
        """Files that say nothing of their rows, and why."""
        return {path: _text(why) for path, why in _table(self.document.get("unprofiled")).items()}

    @property
    def withheld(self) -> int:
        """How many files are in no figure."""
        return _whole(self.document.get("withheld"))

    def paths(self, change: str) -> Sequence[str]:
        """The paths that were `added`, `changed` or `removed`."""
        return [_text(path) for path in _list(self.document.get(change))]


def read_manifest(answer: object) -> DatasetManifest:
    """Read a manifest. Raises `Unintelligible` when it is none; that its chain holds is not looked at."""
    document = _table(answer)
    links = [_link(_table(each)) for each in _list(document.get("links"))]
    if document.get("format") != FORMAT or not links:
        raise Unintelligible(f"it is no manifest of the format {FORMAT}")
    rows = {path: _whole(count) for path, count in _table(document.get("rows")).items()}
    withheld = sum(len(link.hashes) - len(link.changes) - len(link.destroyed) for link in links)
    return DatasetManifest(document, links, rows, withheld)


def _link(said: Answer) -> Link:
    at = said.get("at")
    if not isinstance(at, (int, float)) or isinstance(at, bool):
        raise Unintelligible("a version has no time")
    changes = [_list(each, 3) for each in _list(said.get("changes"))]
    return Link(
        _text(said.get("commit")),
        _text(said.get("author")),
        at,
        tuple(Changed(_text(path), _text(digest), _whole(size)) for path, digest, size in changes),
        tuple(_text(each) for each in _list(said.get("hashes"))),
        _text(said.get("manifest")),
        tuple(_text(each) for each in _list(said.get("destroyed", []))),
    )


def _table(value: object) -> Answer:
    if not isinstance(value, dict):
        raise Unintelligible("a part of it is missing")
    return cast("dict[str, object]", value)


def _tables(value: object) -> Sequence[Answer]:
    return [_table(each) for each in _list(value)]


def _list(value: object, count: int | None = None) -> Sequence[object]:
    found = cast("list[object]", value) if isinstance(value, list) else None
    if found is None or count not in {None, len(found)}:
        raise Unintelligible("a part of it is missing")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unintelligible("a part of it is no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unintelligible("a part of it is no whole number")
    return value
