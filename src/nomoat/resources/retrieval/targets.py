"""What decisions about indexes and their documents are about, as policies see it."""

from nomoat.core.operation import Target
from nomoat.core.principal import Principal
from nomoat.core.retrieval import Access, Index


def named_in(index: Index, ids: frozenset[str]) -> frozenset[str]:
    """The names of documents of an index that policies name, by the ids of documents that they do."""
    prefix = f"{index.name}:"
    return frozenset(each.removeprefix(prefix) for each in ids if each.startswith(prefix))


def index_target(index: Index) -> Target:
    """An index."""
    return Target(
        kind="Index",
        id=index.name,
        name=index.name,
        classification=index.classification,
        labels=index.labels,
        owner_group=index.owner_group,
        owner_person=index.owner_person,
    )


def document_target(
    index: Index, name: str, version: str, access: Access, *, shared: bool = False, owned: bool = False
) -> Target:
    """A document of an index, as it is to whom it is `shared` with or `owned` by, or not."""
    return Target(
        kind="Document",
        id=f"{index.name}:{name}",
        name=f"{index.name}@{version[:12]}:{name}" if version else f"{index.name}:{name}",
        version=version,
        classification=access.label.classification,
        labels=access.label.labels,
        owner_group=index.owner_group,
        owner_person=index.owner_person,
        parents=(("Index", index.name),),
        facts=(("listed", access.readers is not None), ("shared", shared), ("owned", owned)),
    )


def subjects_of(who: Principal) -> frozenset[str]:
    """What a caller is called in lists of readers: by name, and by each of their groups."""
    return frozenset({who.subject, *(f"group:{group}" for group in who.groups)})


def document_for(index: Index, name: str, version: str, access: Access, who: Principal) -> Target:
    """A document as it is to a caller."""
    readers = access.readers or frozenset()
    shared = not readers.isdisjoint(subjects_of(who))
    return document_target(index, name, version, access, shared=shared, owned=access.owner == who.subject)
