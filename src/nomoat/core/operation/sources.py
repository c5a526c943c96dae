"""Sources: registering code whose copies are to be known again, without keeping the code."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nomoat.core.names import Classification
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class RegisterSource(Operation):
    """Have fingerprints of a repository known, or of files of it that changed.

    `files` are the fingerprints of each file by the file's digest (of its path): those of tokens, those of tokens whose
    names are alike; 8 bytes each, in the order of x86. `removed` are the digests of files that are no more. `base` is the commit
    that is known and that this goes on from, '' to begin anew; `commit` the one that is known after this, '' where more follows.
    """

    name: str
    label: str
    classification: Classification
    cleared: str
    base: str
    commit: str
    files: Mapping[str, tuple[bytes, bytes]] = field(repr=False, compare=False)
    removed: tuple[str, ...] = field(default=(), repr=False)

    @property
    def requested(self) -> str:
        return self.name

    @property
    def asked(self) -> Mapping[str, str]:
        return {
            "label": self.label,
            "classification": self.classification.name.lower(),
            "cleared": self.cleared,
            "commit": self.commit,
        }


@dataclass(frozen=True, slots=True)
class ListSources(Operation):
    """See which sources are known, and who is cleared for them."""


@dataclass(frozen=True, slots=True)
class RemoveSource(Operation):
    """Have a source known no more."""

    name: str

    @property
    def requested(self) -> str:
        return self.name
