"""Why versions are in quarantine: the worst finding in each file that is held back, for who may be told of that file.

Rules: each file is decided as `DescribeFile` on that version; what is denied is withheld with all that was found in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nomoat.core.directory import Repository
from nomoat.core.lifecycle import Stage, Standing
from nomoat.core.lineage import Label
from nomoat.core.operation import Target
from nomoat.core.principal import Principal
from nomoat.core.verdict import Finding, Verdict
from nomoat.resources.repositories.examining import Judge
from nomoat.resources.repositories.labels import Version, as_inherited, file_target
from nomoat.stores.held import HeldFile
from nomoat.stores.revisions import Revision


class Held(NamedTuple):
    """A file that is held back, and the worst thing that was found in it."""

    path: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What is held back in versions, by commit id; `parts` are to be decided, each file beside the numbers of its own."""

    files: Mapping[str, Sequence[tuple[Held, Sequence[int]]]]
    parts: tuple[Target, ...]


def quarantine(
    declared: Repository,
    versions: Sequence[tuple[Revision, Standing]],
    files: Mapping[str, Sequence[HeldFile]],
    who: Principal,
    judge: Judge,
    inherited: Callable[[str], Label],
) -> Quarantine:
    """What is to be told of those `versions` that are in quarantine; `files` are held back, by commit id."""
    numbers: dict[tuple[str, Verdict, bool, Label], Sequence[int]] = {}
    parts: list[Target] = []
    found: dict[str, list[tuple[Held, Sequence[int]]]] = {}
    for made, standing in versions:
        if standing.stage is not Stage.QUARANTINED:
            continue
        version = Version(made.id, standing.stage, made.author == who.subject, inherited(made.id))
        for file in files.get(made.id, ()):
            # INVARIANT (same target): of two versions, policies see the same of a file where these are the same.
            same = (file.path, file.verdict, version.authored, version.inherited)
            if same not in numbers:
                targets = as_inherited(file_target(declared, file.path, version, file.verdict), version)
                numbers[same] = range(len(parts), len(parts) + len(targets))
                parts.extend(targets)
            found.setdefault(made.id, []).append((Held(file.path, _worst(file, judge)), numbers[same]))
    return Quarantine(found, tuple(parts))


def told(found: Quarantine, commit: str, withheld: frozenset[int]) -> tuple[Held, ...]:
    """What may be said of a version when these parts are withheld."""
    return tuple(held for held, numbers in found.files.get(commit, ()) if withheld.isdisjoint(numbers))


def _worst(file: HeldFile, judge: Judge) -> Finding:
    findings = judge(file.path, file.report).findings
    return findings[0] if findings else Finding(file.verdict, "", "", "nobody has looked at it yet")
