"""Declarations as text: TOML from people, canonical JSON in the state; parsed strictly both ways.

A document declares what it names and leaves the rest as it is; `remove = true` removes. Unknown
tables and fields are refused, because a misspelt `classification` must not fall back to a default.
"""

import tomllib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import orjson

from nomoat.core.directory import Directory, FileRule, Person, Repository, Workload
from nomoat.core.errors import Malformed
from nomoat.core.inference import Endpoint
from nomoat.core.names import (
    Classification,
    RepositoryKind,
    RepositoryName,
    parse_endpoint_name,
    parse_index_name,
    parse_repository_name,
    parse_subject_name,
)
from nomoat.core.retrieval import Index
from nomoat.core.view import View
from nomoat.resources.directory.caps import describe_cap, parse_cap
from nomoat.resources.directory.fields import (
    Table,
    as_list,
    as_table,
    described_owner,
    level_of,
    owner_of,
    require_fields,
    text_of,
    truth_of,
    words_of,
)
from nomoat.resources.directory.inference import (
    ENDPOINT_FIELDS,
    UPSTREAM_FIELDS,
    described_endpoint,
    described_upstream,
    parse_endpoint,
    parse_upstream,
    require_served,
)
from nomoat.resources.directory.metrics import BUDGET_FIELDS, described_metrics, parse_metrics
from nomoat.resources.directory.quotas import QUOTA_FIELDS, described_quota, parse_quota, require_counted
from nomoat.resources.directory.retrieval import INDEX_FIELDS, described_index, parse_index, require_embedders
from nomoat.resources.directory.views import described_view, parse_views

ThingT = TypeVar("ThingT")

LONGEST_DOCUMENT: Final = 4 << 20  # characters

_OF_REPOSITORIES: Final = BUDGET_FIELDS | {
    *{"name", "classification", "owner", "labels", "files", "views", "review", "remove"}
}
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "group": frozenset({"name", "remove"}),
    "person": frozenset({"name", "groups", "clearance", "remove"}),
    "workload": frozenset({"name", "segment", "groups", "clearance", "remove"}),
    "dataset": _OF_REPOSITORIES | {"append_only", "contributor_cap"},
    "model": _OF_REPOSITORIES,
    "upstream": UPSTREAM_FIELDS,
    "endpoint": ENDPOINT_FIELDS,
    "quota": QUOTA_FIELDS,
    "index": INDEX_FIELDS,
}
_REMOVED: Final[Mapping[str, str]] = dict.fromkeys(
    (*RepositoryKind, "index"), "nobody reaches it; what it holds is kept, and back when it is declared again"
)
_FILE_FIELDS: Final = frozenset({"path", "labels", "classification"})


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan: `change` is add, change or remove; `detail` says what differs."""

    change: str
    kind: str
    name: str
    detail: str


def parse_declarations(text: str) -> Mapping[str, Sequence[Table]]:
    """Parse TOML into its tables by kind. Raises `Malformed` with the place and what is allowed."""
    if len(text) > LONGEST_DOCUMENT:
        raise Malformed(f"the declaration is longer than {LONGEST_DOCUMENT} characters")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Malformed(f"the declaration is not TOML: {error}") from None
    except RecursionError:  # the parser's, which knows no limit of its own
        raise Malformed("the declaration is nested too deep") from None
    return _tables(document)


def _tables(document: Mapping[str, object]) -> Mapping[str, Sequence[Table]]:
    found: dict[str, Sequence[Table]] = dict.fromkeys(_FIELDS, ())
    for kind, value in document.items():
        if kind not in _FIELDS:
            raise Malformed(f"unknown table [[{kind}]]; there are {', '.join(_FIELDS)}")
        entries = as_list(value)
        tables = [table for entry in entries or () if (table := as_table(entry)) is not None]
        if entries is None or len(tables) != len(entries):
            raise Malformed(f"write [[{kind}]] with two brackets, once for each {kind}")
        named: set[str] = set()
        for table in tables:
            with _naming(kind, table):
                require_fields(table, _FIELDS[kind])
                name = text_of(table, "name")
                if name in named:
                    raise Malformed("it is declared twice in one document; keep one of the two")
                named.add(name)
        found[kind] = tables
    return found


@contextmanager
def _naming(kind: str, table: Table) -> Generator[None]:
    """Say in a refusal which entry it is about."""
    try:
        yield
    except Malformed as error:
        name = table.get("name")
        said = name if isinstance(name, str) and name.isprintable() else repr(name)
        raise Malformed(f"[[{kind}]] {said if name else 'without a name'!s:.200}: {error.reason}") from None


def merge(base: Directory, declarations: Mapping[str, Sequence[Table]]) -> Directory:
    """The directory after the declarations, one generation on. Raises `Malformed` when they contradict."""
    groups = set(base.groups)
    repositories = dict(base.repositories)
    for table in declarations["group"]:
        with _naming("group", table):
            (groups.discard if _removed(table) else groups.add)(_name(table))
    people = _merged("person", base.people, declarations, _named, _person)
    workloads = _merged("workload", base.workloads, declarations, _named, _workload)
    for kind in RepositoryKind:
        for table in declarations[kind.value]:
            with _naming(kind.value, table):
                repository = parse_repository_name(kind, text_of(table, "name"))
                if _removed(table):
                    repositories.pop(repository, None)
                else:
                    repositories[repository] = _repository(repository, table)
    upstreams = _merged("upstream", base.upstreams, declarations, parse_subject_name, parse_upstream)
    endpoints = _merged("endpoint", base.endpoints, declarations, parse_endpoint_name, parse_endpoint)
    quotas = _merged("quota", base.quotas, declarations, _named, parse_quota)
    indexes = _merged("index", base.indexes, declarations, parse_index_name, parse_index)
    named = (people, workloads, repositories, upstreams, endpoints, quotas, indexes)
    merged = Directory(base.generation + 1, frozenset(groups), *named)
    _require_consistent(merged)
    return merged


def _merged(
    kind: str,
    base: Mapping[str, ThingT],
    declarations: Mapping[str, Sequence[Table]],
    parse_name: Callable[[str], str],
    parse: Callable[[Table], ThingT],
) -> Mapping[str, ThingT]:
    """What of a kind is declared after the declarations."""
    found = dict(base)
    for table in declarations[kind]:
        with _naming(kind, table):
            name = parse_name(text_of(table, "name"))
            if _removed(table):
                found.pop(name, None)
            else:
                found[name] = parse(table)
    return found


def _person(table: Table) -> Person:
    return Person(_name(table), words_of(table, "groups"), level_of(table, "clearance", Classification.PUBLIC))


def _workload(table: Table) -> Workload:
    return Workload(
        _name(table),
        text_of(table, "segment"),
        words_of(table, "groups"),
        level_of(table, "clearance", Classification.PUBLIC),
    )


def _repository(name: RepositoryName, table: Table) -> Repository:
    owner_group, owner_person = owner_of(table)
    files = as_list(table.get("files", []))
    if files is None:
        raise Malformed("files is a list of tables with path, labels and classification")
    reviewed = _review(name.kind, table)
    metrics, budget = parse_metrics(table)
    if budget.total and name.kind is not RepositoryKind.DATASET:
        raise Malformed("only a dataset has metrics and a budget")
    return Repository(
        name=name,
        # A repository whose confidentiality nobody stated is as confidential as there is.
        classification=level_of(table, "classification", Classification.RESTRICTED),
        labels=words_of(table, "labels"),
        owner_group=owner_group,
        owner_person=owner_person,
        files=tuple(_file_rule(entry) for entry in files),
        reviewed=reviewed,
        append_only=truth_of(table, "append_only"),
        cap=parse_cap(table.get("contributor_cap"), reviewed=reviewed),
        views=_views(name.kind, table),
        metrics=metrics,
        budget=budget,
    )


def _review(kind: RepositoryKind, table: Table) -> bool:
    """Whether versions are reviewed: those of models are unless it says otherwise, for weights are programs."""
    said = text_of(table, "review") or ("required" if kind is RepositoryKind.MODEL else "none")
    if said not in {"required", "none"}:
        raise Malformed('review is "required" or "none"')
    return said == "required"


def _views(kind: RepositoryKind, table: Table) -> tuple[View, ...]:
    """Its views, each as confidential as the whole where it does not say otherwise."""
    if kind is not RepositoryKind.DATASET and table.get("views"):
        raise Malformed("a model has no views; a dataset has")
    return parse_views(table.get("views", []), level_of(table, "classification", Classification.RESTRICTED))


def _file_rule(entry: object) -> FileRule:
    rule = as_table(entry)
    if rule is None:
        raise Malformed("files is a list of tables with path, labels and classification")
    require_fields(rule, _FILE_FIELDS)
    glob = text_of(rule, "path")
    if not glob or len(glob) > 512 or not glob.isprintable():
        raise Malformed("a file rule needs a path, such as 'metrics.json' or 'data/**'")
    level = level_of(rule, "classification", Classification.PUBLIC) if "classification" in rule else None
    return FileRule(glob, words_of(rule, "labels"), level)


def _require_consistent(directory: Directory) -> None:
    def require_groups(who: str, groups: Iterable[str]) -> None:
        for group in groups:
            if group and group not in directory.groups:
                raise Malformed(f"{who} names the group {group}, which is not declared; add [[group]] name = {group!r}")

    for person in directory.people.values():
        require_groups(f"person {person.name}", person.groups)
    for workload in directory.workloads.values():
        require_groups(f"workload {workload.name}", workload.groups)
    for repository in directory.repositories.values():
        require_groups(f"{repository.name.kind} {repository.name}", [repository.owner_group])
        if repository.owner_person and repository.owner_person not in directory.people:
            raise Malformed(f"{repository.name} is owned by {repository.owner_person}, who is not declared")
    owned: list[tuple[str, Endpoint | Index]] = [
        (f"endpoint {each.name}", each) for each in directory.endpoints.values()
    ]
    for what, thing in (*owned, *[(f"index {each.name}", each) for each in directory.indexes.values()]):
        require_groups(what, [thing.owner_group])
        if thing.owner_person and thing.owner_person not in directory.people:
            raise Malformed(f"{what} is owned by {thing.owner_person}, who is not declared")
    require_served(directory)
    require_embedders(directory)
    require_counted(directory)


def _name(table: Table) -> str:
    return _named(text_of(table, "name"))


def _named(name: str) -> str:
    if not name:
        raise Malformed("it needs a name")
    return parse_subject_name(name)


def _removed(table: Table) -> bool:
    return truth_of(table, "remove")


# -- canonical form -----------------------------------------------------------------------------------


def dump(directory: Directory) -> str:
    """The canonical JSON of everything declared, as the state keeps it."""
    return orjson.dumps(describe(directory), option=orjson.OPT_SORT_KEYS).decode()


def load(text: str, generation: int) -> Directory:
    """The inverse of `dump`."""
    merged = merge(Directory(), _tables(orjson.loads(text)))
    return replace(merged, generation=generation)


def describe(directory: Directory) -> dict[str, list[dict[str, object]]]:
    """The declared things by kind, in the words of the TOML document."""
    found: dict[str, list[dict[str, object]]] = {
        "group": [{"name": name} for name in sorted(directory.groups)],
        "person": [_subject(person) for _, person in sorted(directory.people.items())],
        "workload": [{**_subject(work), "segment": work.segment} for _, work in sorted(directory.workloads.items())],
    }
    for kind in RepositoryKind:
        of_kind = [repository for name, repository in directory.repositories.items() if name.kind is kind]
        found[kind.value] = [_described(repository) for repository in sorted(of_kind, key=lambda each: str(each.name))]
    found["upstream"] = [described_upstream(upstream) for _, upstream in sorted(directory.upstreams.items())]
    found["endpoint"] = [described_endpoint(endpoint) for _, endpoint in sorted(directory.endpoints.items())]
    found["index"] = [described_index(index) for _, index in sorted(directory.indexes.items())]
    found["quota"] = [described_quota(quota) for _, quota in sorted(directory.quotas.items())]
    return found


def _subject(subject: Person | Workload) -> dict[str, object]:
    return {"name": subject.name, "groups": sorted(subject.groups), "clearance": subject.clearance.name.lower()}


def _described(repository: Repository) -> dict[str, object]:
    described: dict[str, object] = {
        "name": str(repository.name),
        "classification": repository.classification.name.lower(),
        "labels": sorted(repository.labels),
        "files": [_described_rule(rule) for rule in repository.files],
        "views": [described_view(view) for view in repository.views],
        "review": "required" if repository.reviewed else "none",
        **described_metrics(repository.metrics, repository.budget),
    }
    if repository.name.kind is RepositoryKind.DATASET:
        described["append_only"] = repository.append_only
    if repository.cap:
        described["contributor_cap"] = describe_cap(repository.cap)
    return described | described_owner(repository.owner_group, repository.owner_person)


def _described_rule(rule: FileRule) -> dict[str, object]:
    described: dict[str, object] = {"path": rule.glob, "labels": sorted(rule.labels)}
    if rule.classification is not None:
        described["classification"] = rule.classification.name.lower()
    return described


def plan(old: Directory, new: Directory) -> tuple[Change, ...]:
    """What differs between two directories, one line a thing."""
    before, after = describe(old), describe(new)
    changes: list[Change] = []
    for kind in _FIELDS:
        was = {str(entry["name"]): entry for entry in before[kind]}
        now = {str(entry["name"]): entry for entry in after[kind]}
        changes.extend(Change("remove", kind, name, _REMOVED.get(kind, "")) for name in sorted(was.keys() - now.keys()))
        changes.extend(Change("add", kind, name, _fields(now[name])) for name in sorted(now.keys() - was.keys()))
        changes.extend(
            Change("change", kind, name, _differences(was[name], now[name]) + _moved(kind, was[name], now[name]))
            for name in sorted(was.keys() & now.keys())
            if was[name] != now[name]
        )
    return tuple(changes)


def _differences(was: Mapping[str, object], now: Mapping[str, object]) -> str:
    fields = [field for field in {**now, **was} if was.get(field) != now.get(field)]
    return ", ".join(f"{field} {_shown(was.get(field))} → {_shown(now.get(field))}" for field in fields)


def _moved(kind: str, was: Mapping[str, object], now: Mapping[str, object]) -> str:
    """What to do besides, where a server has another address."""
    if kind != "upstream" or was["url"] == now["url"]:
        return ""
    return f"; a credential is for one address: give it again (nomoat upstream credential {now['name']})"


def _fields(entry: Mapping[str, object]) -> str:
    return ", ".join(f"{field} {_shown(value)}" for field, value in entry.items() if field != "name" and value)


def _shown(value: object) -> str:
    if not value:
        return "none"
    return orjson.dumps(value).decode() if isinstance(value, list) else str(value)
