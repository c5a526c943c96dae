"""Files that policies cannot tell apart, so that one decision says of all of them whether they may be described.

Rules: two files are alike when the same labels and classification follow from their paths, a scan had one
verdict for both and no policy names either of them; everything else that a policy can read of a file is its
repository's.
INVARIANT (same target): the target that stands for a file differs from the file's own in id and name
alone, and in the id only where no policy names it.
"""

import re
from array import array
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import compress
from typing import Final, TypeAlias, final

from nomoat.core.decision import Obligation, withheld_parts
from nomoat.core.directory import Repository
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.verdict import Verdict
from nomoat.resources.repositories.labels import Version, file_target, id_of_file
from nomoat.stores.revisions import Snapshot, StoredFile

KEPT_FILES: Final = 300_000  # in all groupings that are kept together; each takes some 20 bytes
FILTERS: Final = 4  # selections of one grouping that are kept

_States: TypeAlias = frozenset[int]
_Traits: TypeAlias = tuple[Classification, frozenset[str], str, Verdict | None]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Sorted `paths` in groups: `targets` stand for the groups, `group` has the number of each path's.

    `filters` are selections that were made of it before.
    """

    paths: Sequence[str]
    targets: tuple[Target, ...]
    group: Sequence[int]
    filters: OrderedDict[frozenset[int], Sequence[str]] = field(
        default_factory=OrderedDict[frozenset[int], Sequence[str]], repr=False
    )


def shown(alike: Alike, obligations: Sequence[Obligation]) -> Sequence[str]:
    """The paths that are left when the obligations are applied."""
    withheld = withheld_parts(obligations)
    if not withheld:
        return alike.paths
    kept = alike.filters.get(withheld)
    if kept is None:
        left = [number not in withheld for number in range(len(alike.targets))]
        kept = alike.filters[withheld] = list(compress(alike.paths, map(left.__getitem__, alike.group)))
        if len(alike.filters) > FILTERS:
            alike.filters.popitem(last=False)
    return kept


@final
class Groupings:
    """Groups the files of snapshots, and keeps what was grouped last.

    `named` returns the ids of the files that a policy in force names.
    """

    def __init__(self, named: Callable[[], frozenset[str]], kept_files: int = KEPT_FILES) -> None:
        self._named = named
        self._kept: OrderedDict[Version, tuple[Repository, frozenset[str], Alike]] = OrderedDict()
        self._room = kept_files

    def __call__(self, declared: Repository, snapshot: Snapshot, key: Version) -> Alike:
        """The files of a snapshot, grouped as the repository's declaration and the policies have them now."""
        named = named_in(declared, self._named())
        kept = self._kept.get(key)
        if kept is not None:
            if kept[0] is declared and kept[1] == named:
                self._kept.move_to_end(key)
                return kept[2]
            self._drop(key)
        alike = group_alike(declared, snapshot.paths, named, key, snapshot.files)
        self._kept[key] = declared, named, alike
        self._room -= 1 + len(alike.paths)
        while self._room < 0 and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))
        return alike

    def _drop(self, key: Version) -> None:
        self._room += 1 + len(self._kept.pop(key)[2].paths)


def named_in(declared: Repository, named: frozenset[str]) -> frozenset[str]:
    """The paths in the repository of those ids of files that are its own."""
    prefix = id_of_file(declared, "")
    return frozenset([each.removeprefix(prefix) for each in named if each.startswith(prefix)])


def group_alike(
    declared: Repository,
    paths: Sequence[str],
    named: frozenset[str],
    version: Version | None,
    files: Mapping[str, StoredFile],
) -> Alike:
    """Group sorted paths of a repository; those that are `named` stand alone. `files` has those that are there."""
    verdicts = {file.verdict for file in files.values()}
    if not declared.files and named.isdisjoint(paths) and len(verdicts) < 2:
        verdict = next(iter(verdicts), None)
        first = (file_target(declared, paths[0], version, verdict),) if paths else ()
        return Alike(paths, first, bytes(len(paths)))
    walk = _Walk(declared)
    numbers: dict[_Traits, int] = {}
    targets: list[Target] = []
    group = array("L")
    for path in paths:
        file = files.get(path)
        verdict = file.verdict if file else None
        traits = (*walk.traits(path), path if path in named else "", verdict)
        number = numbers.get(traits)
        if number is None:
            number = numbers[traits] = len(targets)
            targets.append(file_target(declared, path, version, verdict))
        group.append(number)
    return Alike(paths, tuple(targets), group)


class _Walk:
    """What the rules of a repository say of many paths: each folder is matched once, each glob compiled once."""

    def __init__(self, declared: Repository) -> None:
        self._declared = declared
        self._globs = [_Glob(rule.glob) for rule in declared.files]
        self._folders: dict[str, list[tuple[int, _States]]] = {
            "": [(number, glob.start) for number, glob in enumerate(self._globs)]
        }
        self._known: dict[tuple[int, ...], tuple[Classification, frozenset[str]]] = {}

    def traits(self, path: str) -> tuple[Classification, frozenset[str]]:
        """The classification and labels of a path."""
        folder, _, name = path.rpartition("/")
        reached = self._reached(folder)
        rules = tuple([number for number, states in reached if self._globs[number].ends(states, name)])
        known = self._known.get(rules)
        if known is None:
            target = file_target(self._declared, path)
            known = self._known[rules] = target.classification, target.labels
        return known

    def _reached(self, folder: str) -> list[tuple[int, _States]]:
        """How far each rule's glob has got at a folder; those that cannot match below it are left out."""
        known = self._folders.get(folder)
        if known is None:
            above, _, name = folder.rpartition("/")
            stepped = [(number, self._globs[number].step(states, name)) for number, states in self._reached(above)]
            known = self._folders[folder] = [(number, states) for number, states in stepped if states]
        return known


class _Glob:
    """A rule's glob as an automaton over segments: state n has the first n parts of the glob behind it.

    The same language as `labels.matches` (a property test compares them): `**` takes any number of
    segments, at least one at the end.
    """

    def __init__(self, glob: str) -> None:
        parts = glob.split("/")
        self._parts = [None if part == "**" else re.compile(translate(part)) for part in parts]
        self._end = len(parts)
        self.start = self._closed({0})

    def step(self, states: _States, segment: str) -> _States:
        """The states after one more segment."""
        after = set[int]()
        for state in states:
            if state == self._end:
                continue
            part = self._parts[state]
            if part is None:
                after.update((state, state + 1))
            elif part.match(segment):
                after.add(state + 1)
        return self._closed(after)

    def ends(self, states: _States, segment: str) -> bool:
        """Whether the glob matches when this is the last segment."""
        last = self._end - 1
        if last not in states:
            return False
        part = self._parts[last]
        return part is None or part.match(segment) is not None

    def _closed(self, states: set[int]) -> _States:
        for state in sorted(states):
            following = state
            while following < self._end - 1 and self._parts[following] is None:
                following += 1
                states.add(following)
        return frozenset(states)
