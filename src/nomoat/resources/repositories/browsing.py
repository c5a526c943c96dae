"""Which datasets and models there are, for whoever asks: those that they may describe.

Rules: repositories that policies cannot tell apart are decided once. Of those that are withheld nothing is
said, their number neither.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, final

from nomoat.core.decision import Withhold, withheld_parts
from nomoat.core.directory import Directory, Repository
from nomoat.core.operation import ListRepositories, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.resources.identities import target_of
from nomoat.resources.repositories.labels import Version, repository_target
from nomoat.resources.repositories.resolution import place_in
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import MAIN, CreatedRepository
from nomoat.stores.revisions import Revision

MOST_REPOSITORIES: Final = 10_000
"""In one listing: more have to be narrowed by a namespace or a search."""


class Found(NamedTuple):
    """A repository that the caller may know, and the newest approved version of its branch `main` (None: there is none)."""

    created: CreatedRepository
    head: Revision | None


class Candidates(NamedTuple):
    """Repositories that match, by name; `group` has, for each, the part that stands for it."""

    created: Sequence[CreatedRepository]
    group: Sequence[int]


@final
class Browsing:
    """What may be known of which repositories there are.

    `named` returns the names of the repositories that a policy in force names.
    """

    def __init__(
        self, directory: Callable[[], Directory], catalog: Catalog, named: Callable[[], frozenset[str]]
    ) -> None:
        self._directory = directory
        self._catalog = catalog
        self._named = named

    def resolve(self, principal: Principal, operation: ListRepositories) -> Resolved[ListRepositories]:
        """Resolve to the caller, who asks for itself; the parts are the repositories that match."""
        named, numbers = self._named(), dict[object, int]()
        created, group, parts = list[CreatedRepository](), list[int](), list[Target]()
        for declared in sorted(self._directory().repositories.values(), key=lambda each: str(each.name)):
            found = self._catalog.find(declared.name) if _matches(declared, operation) else None
            if found is None or len(created) == MOST_REPOSITORIES:
                continue
            inherited = self._catalog.lineage.label(found.served.get(MAIN, ""))
            target = repository_target(declared, Version("", None, authored=False, inherited=inherited))
            # INVARIANT (alike): a policy reads of a repository what is here, or names it.
            traits = target._replace(id=target.id if target.id in named else "", name="")
            number = numbers.setdefault(traits, len(parts))
            if number == len(parts):
                parts.append(target)
            created.append(found)
            group.append(number)
        place = Candidates(created, group)
        return Resolved(operation, (target_of(principal),), {"place": place}, parts=tuple(parts))

    def list_repositories(self, permit: Permit[ListRepositories]) -> list[Found]:
        """The repositories that the caller may know, by name."""
        place = place_in(permit.claim(ListRepositories, Withhold), Candidates)
        withheld = withheld_parts(permit.allow.obligations)
        shown = [each for each, number in zip(place.created, place.group, strict=True) if number not in withheld]
        permit.note(shown=str(len(shown)))
        heads = self._heads(shown)
        return [Found(each, heads.get(each.served.get(MAIN, ""))) for each in shown]

    def _heads(self, shown: Sequence[CreatedRepository]) -> Mapping[str, Revision]:
        return self._catalog.revisions([head for each in shown if (head := each.served.get(MAIN))])


def _matches(declared: Repository, operation: ListRepositories) -> bool:
    name = declared.name
    return (
        name.kind is operation.kind
        and operation.namespace in {"", name.namespace}
        and operation.search.lower() in str(name).lower()
    )
