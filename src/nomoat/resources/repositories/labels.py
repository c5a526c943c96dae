"""What a repository's declaration says of its files: targets with classification, labels and owner.

Rules: a file has its repository's labels and classification, unless a rule says otherwise for its
path. Of several matching rules the labels are joined and the last stated classification holds. What
a file is called decides; whether it exists does not. A version is as confidential as what it inherits from what its run
read, whatever its declaration says. INVARIANT (joining grants nothing): labels that it inherits are decided on beside the
declared ones, in a target of their own, and both have to be allowed: no policy permits more because of them.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from nomoat.attestation.model_signature import PUBLISHER_FILE_NAME
from nomoat.core.directory import Repository
from nomoat.core.lifecycle import Stage
from nomoat.core.lineage import NOTHING, Label
from nomoat.core.names import Classification, RepositoryKind
from nomoat.core.operation import Target
from nomoat.core.principal import Principal
from nomoat.core.verdict import Verdict
from nomoat.core.view import View
from nomoat.stores.revisions import Snapshot

Facts: TypeAlias = tuple[tuple[str, str | int | bool], ...]

_ENTITY = {RepositoryKind.DATASET: "Dataset", RepositoryKind.MODEL: "Model"}
_SHOWN = 8  # characters of a commit id in a record's line


class Version(NamedTuple):
    """What a target says of the commit that it is about.

    `stage` is where it stands (None: that does not matter), `authored` whether the caller wrote it, `inherited` the label
    that it has from what its run read. `publisher_signed` is whether its publisher's own signature is over it (None: that was not
    looked up).
    """

    commit: str
    stage: Stage | None
    authored: bool
    inherited: Label = NOTHING
    publisher_signed: bool | None = None


def version_of(snapshot: Snapshot, who: Principal, inherited: Label) -> Version:
    """What a target says of a revision, to somebody who may have written it."""
    made = snapshot.revision
    return Version(
        made.id, snapshot.stage, made.author == who.subject, inherited, PUBLISHER_FILE_NAME in snapshot.files
    )


@lru_cache(maxsize=512)
def _facts(
    kind: RepositoryKind, stage: Stage | None, authored: bool, signed: bool | None, verdict: Verdict | None
) -> Facts:
    of_version: Facts = (("stage", stage.value), ("authored", authored)) if stage else ()
    of_signature: Facts = ()
    if stage and signed is not None and kind is RepositoryKind.MODEL:  # a dataset may have any file of that name
        of_signature = (("publisher_signed", signed),)
    of_content: Facts = (("verdict", verdict.value),) if verdict else ()
    return (("repository_kind", kind.value), *of_version, *of_signature, *of_content)


def _facts_of(kind: RepositoryKind, version: Version | None, verdict: Verdict | None = None) -> Facts:
    if version is None:
        return _facts(kind, None, authored=False, signed=None, verdict=verdict)
    return _facts(kind, version.stage, version.authored, version.publisher_signed, verdict)


def repository_target(repository: Repository, version: Version | None = None) -> Target:
    """The target for a repository as a whole; `version` is the commit that a read is about."""
    commit = version.commit if version else ""
    name = repository.name
    return Target(
        kind=_ENTITY[name.kind],
        id=str(name),
        name=f"{name}@{commit[:_SHOWN]}" if commit else str(name),
        version=commit,
        classification=_inherited(version, repository.classification),
        labels=repository.labels,
        owner_group=repository.owner_group,
        owner_person=repository.owner_person,
        facts=_facts_of(name.kind, version),
    )


def id_of_file(repository: Repository, path: str) -> str:
    """The id by which policies can name a file."""
    return f"{repository.name.kind}:{repository.name}:{path}"


def file_target(
    repository: Repository, path: str, version: Version | None = None, verdict: Verdict | None = None
) -> Target:
    """The target for one file; `version` is the commit that a read is about, `verdict` its content's (None: no file)."""
    commit = version.commit if version else ""
    kind, classification, labels = repository.name.kind, repository.classification, repository.labels
    name = str(repository.name)
    for rule in repository.files:
        if matches(rule.glob, path):
            labels |= rule.labels
            classification = classification if rule.classification is None else rule.classification
    return Target(
        kind="File",
        id=id_of_file(repository, path),
        name=f"{name}@{commit[:_SHOWN]}:{path}" if commit else f"{name}:{path}",
        version=commit,
        classification=_inherited(version, classification),
        labels=labels,
        owner_group=repository.owner_group,
        owner_person=repository.owner_person,
        parents=((_ENTITY[kind], name),),
        facts=_facts_of(kind, version, verdict),
    )


def as_inherited(target: Target, version: Version | None) -> tuple[Target, ...]:
    """A target of a version with the labels that it inherits, and as declared; one, where it inherits no others."""
    if version is None or version.inherited.labels <= target.labels:
        return (target,)
    return target._replace(labels=target.labels | version.inherited.labels), target


def _inherited(version: Version | None, declared: Classification) -> Classification:
    return max(declared, version.inherited.classification) if version else declared


def view_target(repository: Repository, name: str, view: View | None, version: Version | None = None) -> Target:
    """The target for a view by its name; one that is not declared is as confidential as the whole.

    It is masked for what the dataset is declared to be: what a version inherits beyond that holds for its view, too.
    """
    classification = view.classification if view else repository.classification
    if version is not None and version.inherited.classification > repository.classification:
        classification = version.inherited.classification
    commit, whole = version.commit if version else "", str(repository.name)
    return Target(
        kind="View",
        id=f"{repository.name.kind}:{whole}:{name}",
        name=f"{whole}@{commit[:_SHOWN]}:{name}" if commit else f"{whole}:{name}",
        version=commit,
        classification=classification,
        labels=view.labels if view else frozenset(),
        owner_group=repository.owner_group,
        owner_person=repository.owner_person,
        parents=((_ENTITY[repository.name.kind], whole),),
        facts=_facts_of(repository.name.kind, version),
    )


def matches(glob: str, path: str) -> bool:
    """Whether a path matches a rule's glob: `fnmatch` in each segment, `**` for any number of segments.

    `*` does not cross a slash; a final `**` stands for at least one segment. Case matters.
    """
    return _matches(glob.split("/"), path.split("/"))


def _matches(globs: Sequence[str], parts: Sequence[str]) -> bool:
    # reached[n]: the globs so far can match the first n parts. Linear in globs times parts, whatever
    # the globs are: a path is the client's, and must not be able to make this slow.
    reached = [True] + [False] * len(parts)
    for position, glob in enumerate(globs):
        if glob != "**":
            reached = [False] + [
                before and fnmatchcase(part, glob) for before, part in zip(reached, parts, strict=False)
            ]
        elif True in reached:
            first = reached.index(True) + (position == len(globs) - 1)
            reached = [place >= first for place in range(len(reached))]
    return reached[-1]
