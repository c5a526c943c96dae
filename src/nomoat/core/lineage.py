"""Lineage: what sessions read, what was published after it, and the label that follows from that.

Rules: pure. A label is how confidential a thing is and which labels it bears; the join of two is the stricter
classification with the labels of both. What a version inherits is the join of the version before it and of everything
that its run read; it is lowered by a second person's word and by nothing else.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from nomoat.core.names import Classification, RepositoryName

RUN_S: Final = 30 * 86_400
"""Seconds for which what a subject read in another session counts as read by the run that publishes now."""


class Label(NamedTuple):
    """How confidential a thing is, and its labels."""

    classification: Classification = Classification.PUBLIC
    labels: frozenset[str] = frozenset()

    def join(self, other: "Label") -> "Label":
        """The weakest label that is as strict as both."""
        return Label(max(self.classification, other.classification), self.labels | other.labels)

    def covers(self, other: "Label") -> bool:
        """Whether this label is as strict as `other`."""
        return self.classification >= other.classification and self.labels >= other.labels

    def __str__(self) -> str:
        """As a person reads it: the classification, then the labels."""
        return ", ".join([self.classification.name.lower(), *sorted(self.labels)])

    @property
    def told(self) -> tuple[str, ...]:
        """The classification, then the labels, as who has it to do with may know them: without names of registered sources."""
        return (
            self.classification.name.lower(),
            *sorted({_SOURCE if _is_source(each) else each for each in self.labels}),
        )

    @staticmethod
    def of(labels: Iterable["Label"]) -> "Label":
        """The join of some labels; of none, the one that says nothing."""
        joined = NOTHING
        for label in labels:
            joined = joined.join(label)
        return joined


def _is_source(label: str) -> bool:
    return label.startswith("source:")


NOTHING: Final = Label()
_SOURCE: Final = "registered source code"


class Read(NamedTuple):
    """That a session read bytes of a file of a version.

    `repository` is the repository's id, `commit` the version, `digest` the content's SHA-256 (hex), `label` the
    file's at that time, `at` Unix seconds, `record` the one of the log that allowed it.
    """

    session: str
    subject: str
    repository: str
    commit: str
    path: str
    digest: str
    label: Label
    at: float
    record: int


class Run(NamedTuple):
    """Who publishes: what the subject read in this session, or in any one lately, goes into what is published.

    `written` are the labels that the files it writes have by declaration.
    """

    subject: str
    session: str
    record: int
    written: frozenset[Label] = frozenset()

    def keeps(self, read: Label) -> bool:
        """Whether every file that is written is as strict by declaration as something that was read."""
        return bool(self.written) and all(label.covers(read) for label in self.written)


class Source(NamedTuple):
    """A version that a run read: what its files were labelled, since when (Unix seconds), the first record that says so.

    `name` is what its repository is called (None: it was deleted), `digests` are the (path, SHA-256 hex) pairs of what was
    read of it.
    """

    name: RepositoryName | None
    commit: str
    label: Label
    at: float
    record: int
    digests: tuple[tuple[str, str], ...]


class Origin(NamedTuple):
    """What a version came of: the run that published it, and the versions that the run had read."""

    commit: str
    run: Run
    at: float
    sources: tuple[Source, ...]


class Relative(NamedTuple):
    """A version that went into another one, or came of it.

    `direct`: a run read the one and published the other; else there are others between them. `files` were read of it
    (0: not told), `record` is the first of the log that says so. `subject` and `session` are who read.
    """

    repository: str
    commit: str
    direct: bool
    subject: str
    session: str
    files: int
    record: int


class Load(NamedTuple):
    """That a workload's session fetched a version: since when (Unix seconds), and what it reported of it.

    `digest` is the root digest of the files that it reported ('' when it reported nothing); `verified` tells whether they
    are the version's, every one of them fetched by that very session.
    """

    subject: str
    session: str
    at: float
    files: int
    digest: str
    verified: bool


class Lowered(NamedTuple):
    """The word by which a version's inherited label is another one than what its run read."""

    label: Label
    subject: str
    at: float
    reason: str
