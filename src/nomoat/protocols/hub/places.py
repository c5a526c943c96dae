"""What the paths of the Hub's requests name: a repository of one kind, and a revision of it."""

from collections.abc import Mapping
from typing import ClassVar, Final

from nomoat.core.names import RepositoryKind, RepositoryName, parse_repository_name, parse_revision

DEFAULT_BRANCH: Final = "main"
Values = Mapping[str, str]


class OfOneKind:
    """Endpoints for the repositories of one kind, whose paths in the API begin with `api`."""

    kind: ClassVar[RepositoryKind]
    api: ClassVar[str]

    def _name(self, values: Values) -> RepositoryName:
        return repository_in(self.kind, values)


def repository_in(kind: RepositoryKind, values: Values) -> RepositoryName:
    """The repository that a path names. Raises `Malformed`."""
    return parse_repository_name(kind, f"{values['namespace']}/{values['name']}")


def revision_in(values: Values) -> str:
    """The revision that a path names, or the branch that is meant where it names none. Raises `Malformed`."""
    return parse_revision(values.get("revision", DEFAULT_BRANCH))
