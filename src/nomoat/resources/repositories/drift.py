"""Two versions of a dataset in figures: what a reviewer should look at, and what changed.

Rules: pure. Figures are of the files that the reviewer may be told of. No row is in them, and of values only those that
occur `LEAST_SHOWN` times. What could not be measured is said. None of this detects a backdoor: a few rows that look like
all the others change no figure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from nomoat.core.chain import Held
from nomoat.core.profile import Profile, Signature, length_of

KeyT = TypeVar("KeyT", str | None, int)

LEAST_SHOWN: Final = 5  # rows that have a value, before it is named
MOST_SHOWN: Final = 20  # paths, columns or values of one kind
MOST_COMPARED: Final = 60_000  # signatures
DRIFT: Final = 0.1  # of a distribution: total variation distance
FLOOD_SHARE: Final = 0.05  # of the new rows that are nearly the same as others
FLOOD_ROWS: Final = 10
ROWS_CHANGE: Final = 0.5  # of the row count


class Drift(NamedTuple):
    """How far a column's values (or its texts' lengths) moved: total variation distance, from 0 to 1.

    `values` has for each value that is shown its share before and after, the rest is together under '', rows without a
    value as well; quantiles of lengths (a tenth, half, nine tenths) are in characters.
    """

    column: str
    distance: float
    values: Mapping[str, tuple[float, float]] = {}
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


@dataclass(slots=True)
class Contribution:
    """What one contributor set: `new` is whether the version before has nothing of theirs."""

    contributor: str
    new: bool
    files: int = 0
    size: int = 0
    rows: int = 0


class Alike(NamedTuple):
    """Near duplicates among the new rows, in a random part of them.

    `compared` new rows were looked at; `among` of them are nearly the same as another new one, `known` as one that was
    there. The largest group has `largest` rows, one of them row `row` (from 0) of `path`.
    """

    compared: int = 0
    among: int = 0
    known: int = 0
    largest: int = 0
    path: str = ""
    row: int = 0


NOTHING_ALIKE: Final = Alike()


@dataclass(slots=True)
class Differences:
    """Everything about two versions. `schema` maps columns to their types before and after ('' for none).

    `uncounted` are columns whose few values cannot be compared any more, because there are too many.
    """

    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    removed: Sequence[str] = ()
    contributions: Sequence[Contribution] = ()
    rows: tuple[int, int] = (0, 0)
    schema: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    values: Sequence[Drift] = ()
    uncounted: Sequence[str] = ()
    lengths: Sequence[Drift] = ()
    alike: Alike = NOTHING_ALIKE
    unprofiled: Mapping[str, str] = field(default_factory=dict[str, str])
    flags: Sequence[str] = ()


def compared(
    before: Mapping[str, Held],
    after: Mapping[str, Held],
    profiles: Mapping[str, Profile],
    known: frozenset[str],
) -> Differences:
    """Compare the files of two versions by path; `profiles` are by digest, `known` are the contributors before."""
    added = [path for path in after if path not in before]
    changed = [path for path in after if path in before and before[path].digest != after[path].digest]
    removed = [path for path in before if path not in after]
    new = {path: after[path] for path in (*added, *changed)}
    was, now = _merged(before, profiles), _merged(after, profiles)
    found = Differences(
        added=added,
        changed=changed,
        removed=removed,
        contributions=_contributions(new, profiles, known),
        rows=(_rows(before, profiles), _rows(after, profiles)),
        schema={
            name: (was[name].type if name in was else "", now[name].type if name in now else "")
            for name in sorted(was.keys() | now.keys())
            if name not in was or name not in now or was[name].type != now[name].type
        }
        if before
        else {},
        unprofiled=_unprofiled({**before, **after}, profiles),
    )
    both = sorted(was.keys() & now.keys())
    found.values = _largest(_values(name, was[name], now[name]) for name in both)
    found.uncounted = [name for name in both if was[name].repeats and now[name].counts is None]
    found.lengths = _largest(_lengths(name, was[name], now[name]) for name in both)
    found.alike = _alike(new, {path: each for path, each in before.items() if path not in new}, profiles)
    found.flags = flags(found)
    return found


def flags(found: Differences) -> list[str]:
    """What to look at first, the gravest first, in sentences."""
    strangers = [each.contributor for each in found.contributions if each.new]
    said = [f"new contributor: {name}" for name in strangers]
    said += [f"{len(found.removed)} files that were there are gone"] if found.removed else []
    said += [f"{len(found.changed)} files that were there are other ones now"] if found.changed else []
    alike = found.alike
    for count, what in ((alike.among, "each other"), (alike.known, "rows that were there")):
        if count >= FLOOD_ROWS and count >= FLOOD_SHARE * alike.compared:
            said.append(f"{count} of {alike.compared} new rows that were compared are near duplicates of {what}")
    said += [f"the schema changed: {name}" for name in found.schema]
    said += [
        f"the values of {each.column} moved by {each.distance:.0%}" for each in found.values if each.distance >= DRIFT
    ]
    said += [f"the values of {name} are too many to compare: they were few" for name in found.uncounted[:MOST_SHOWN]]
    said += [
        f"the lengths of {each.column} moved by {each.distance:.0%}" for each in found.lengths if each.distance >= DRIFT
    ]
    before, after = found.rows
    if before and abs(after - before) > ROWS_CHANGE * before:
        said.append(f"the number of rows changed from {before} to {after}")
    said += [f"{len(found.unprofiled)} files say nothing of their rows"] if found.unprofiled else []
    return said


def _contributions(
    new: Mapping[str, Held], profiles: Mapping[str, Profile], known: frozenset[str]
) -> list[Contribution]:
    found: dict[str, Contribution] = {}
    for held in new.values():
        each = found.setdefault(held.contributor, Contribution(held.contributor, held.contributor not in known))
        each.files += 1
        each.size += held.size
        each.rows += profiles[held.digest].rows if held.digest in profiles else 0
    return sorted(found.values(), key=lambda each: (-each.size, each.contributor))


def _rows(files: Mapping[str, Held], profiles: Mapping[str, Profile]) -> int:
    return sum(profiles[held.digest].rows for held in files.values() if held.digest in profiles)


def _unprofiled(files: Mapping[str, Held], profiles: Mapping[str, Profile]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, held in files.items():
        profile = profiles.get(held.digest)
        why = "there was no time left; ask again, what was done is kept" if profile is None else profile.why
        if why:
            found[path] = why
    return found


class _Merged(NamedTuple):
    """A column of all files: how often each value was seen (None: too many), and of all rows, about how many have it.

    What was seen of a file of which a part was examined stands for the whole file. `missing` are about how many rows
    have no value, in files that have no such column, too.
    """

    type: str
    counts: Mapping[str, int] | None
    rows: Mapping[str, float]
    missing: float
    lengths: Mapping[int, float]

    @property
    def repeats(self) -> bool:
        """Whether it has few values that come again and again, as labels do."""
        return bool(self.counts) and sum((self.counts or {}).values()) >= 2 * len(self.counts or {})


def _merged(files: Mapping[str, Held], profiles: Mapping[str, Profile]) -> dict[str, _Merged]:
    """The columns of all files together; of one type in one file and another in another, both."""
    there = [profiles[held.digest] for held in files.values() if held.digest in profiles]
    names = dict.fromkeys(name for profile in there for name in profile.columns)
    return {name: _together(name, there) for name in names}


def _together(name: str, profiles: Sequence[Profile]) -> _Merged:
    counts, rows, lengths = Counter[str](), dict[str, float](), dict[int, float]()
    kinds, few, missing = set[str](), True, 0.0
    for profile in profiles:
        weight = profile.rows / profile.looked if profile.looked else 1.0
        column = profile.columns.get(name)
        missing += (profile.looked if column is None else column.missing) * weight
        if column is None:
            continue
        kinds.add(column.type)
        few = few and column.values is not None
        counts.update(column.values or {})
        for value, count in (column.values or {}).items():
            rows[value] = rows.get(value, 0.0) + count * weight
        for step, count in column.lengths.items():
            lengths[step] = lengths.get(step, 0.0) + count * weight
    return _Merged("/".join(sorted(kinds)), counts if few else None, rows, missing, lengths)


def _values(name: str, was: _Merged, now: _Merged) -> Drift | None:
    if not was.counts or now.counts is None:
        return None
    before, after = [_shares({**each.rows, None: each.missing}) for each in (was, now)]
    moved = {value: (before.get(value, 0.0), after.get(value, 0.0)) for value in before.keys() | after.keys()}
    counts = Counter(was.counts) + Counter(now.counts)
    shown = {value: moved[value] for value in counts if counts[value] >= LEAST_SHOWN}
    shown = dict(sorted(shown.items(), key=lambda each: (-abs(each[1][1] - each[1][0]), each[0]))[:MOST_SHOWN])
    rest = [shares for value, shares in moved.items() if value not in shown and any(shares)]
    if rest:
        shown[""] = sum(share for share, _ in rest), sum(share for _, share in rest)
    return Drift(name, _distance(moved.values()), shown)


def _lengths(name: str, was: _Merged, now: _Merged) -> Drift | None:
    if not was.lengths or not now.lengths:
        return None
    before, after = _shares(was.lengths), _shares(now.lengths)
    moved = [(before.get(step, 0.0), after.get(step, 0.0)) for step in before.keys() | after.keys()]
    return Drift(name, _distance(moved), before=_quantiles(was.lengths), after=_quantiles(now.lengths))


def _shares(counts: Mapping[KeyT, float]) -> dict[KeyT, float]:
    total = sum(counts.values()) or 1.0
    return {value: count / total for value, count in counts.items()}


def _distance(moved: Iterable[tuple[float, float]]) -> float:
    return sum(abs(after - before) for before, after in moved) / 2


def _quantiles(lengths: Mapping[int, float]) -> tuple[int, ...]:
    total, found, passed = sum(lengths.values()), list[int](), 0.0
    steps = sorted(lengths.items())
    for share in (0.1, 0.5, 0.9):
        passed = 0.0
        for step, count in steps:
            passed += count
            if passed >= share * total:
                found.append(length_of(step))
                break
    return tuple(found)


def _largest(drifts: Iterable[Drift | None]) -> list[Drift]:
    found = [drift for drift in drifts if drift is not None]
    return sorted(found, key=lambda drift: (-drift.distance, drift.column))[:MOST_SHOWN]


def _alike(new: Mapping[str, Held], old: Mapping[str, Held], profiles: Mapping[str, Profile]) -> Alike:
    """Group rows that share a band of their signatures, by union and find."""
    rows = [(path, each.row, each.bands) for path, each in _signed(new, profiles)]
    known = {band for _, each in _signed(old, profiles) for band in enumerate(each.bands)}
    parents = [*range(len(rows))]

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    first: dict[tuple[int, bytes], int] = {}
    for number, (_, _, bands) in enumerate(rows):
        for band in enumerate(bands):
            other = first.setdefault(band, number)
            parents[root(number)] = root(other)
    sizes = Counter(root(number) for number in range(len(rows)))
    largest, count = max(sizes.items(), key=lambda each: (each[1], -each[0]), default=(0, 0))
    return Alike(
        compared=len(rows),
        among=sum(size for size in sizes.values() if size > 1),
        known=sum(any(band in known for band in enumerate(bands)) for _, _, bands in rows),
        largest=count if count > 1 else 0,
        path=rows[largest][0] if count > 1 else "",
        row=rows[largest][1] if count > 1 else 0,
    )


def _signed(files: Mapping[str, Held], profiles: Mapping[str, Profile]) -> list[tuple[str, Signature]]:
    """The signatures of files, an equal part of each where all of them are too many."""
    there = {path: profiles[held.digest] for path, held in files.items() if held.digest in profiles}
    found = [(path, each) for path, profile in there.items() for each in profile.signed()]
    step = -(-len(found) // MOST_COMPARED) or 1
    return found[::step]
