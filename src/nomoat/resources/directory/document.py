"""Declarations as text: TOML from people, canonical JSON in the state; parsed strictly both ways.

A document declares what it names and leaves the rest as it is; `remove = true` removes. Unknown
tables and fields are refused, because a misspelt `classification` must not fall back to a default.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, cast

import orjson

from nomoat.core.directory import Directory, FileRule, Person, Repository, Workload
from nomoat.core.errors import Malformed
from nomoat.core.names import (
    Classification,
    RepositoryKind,
    RepositoryName,
    parse_classification,
    parse_repository_name,
    parse_subject_name,
)

LONGEST_DOCUMENT: Final = 4 << 20  # characters
Table: TypeAlias = Mapping[str, object]

_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "group": frozenset({"name", "remove"}),
    "person": frozenset({"name", "groups", "clearance", "remove"}),
    "workload": frozenset({"name", "segment", "groups", "clearance", "remove"}),
    "dataset": frozenset({"name", "classification", "owner", "labels", "files", "remove"}),
    "model": frozenset({"name", "classification", "owner", "labels", "files", "remove"}),
}
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
        entries = _list(value)
        tables = [table for entry in entries or () if (table := _table(entry)) is not None]
        if entries is None or len(tables) != len(entries):
            raise Malformed(f"write [[{kind}]] with two brackets, once for each {kind}")
        for table in tables:
            if unknown := set(table) - _FIELDS[kind]:
                raise Malformed(f"[[{kind}]] has no field {min(unknown)!r}; it has {', '.join(sorted(_FIELDS[kind]))}")
        found[kind] = tables
    return found


def _list(value: object) -> Sequence[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


def _table(value: object) -> Table | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def merge(base: Directory, declarations: Mapping[str, Sequence[Table]]) -> Directory:
    """The directory after the declarations, one generation on. Raises `Malformed` when they contradict."""
    groups = set(base.groups)
    people, workloads, repositories = dict(base.people), dict(base.workloads), dict(base.repositories)
    for table in declarations["group"]:
        name = _name(table, "group")
        (groups.discard if _removed(table) else groups.add)(name)
    for table in declarations["person"]:
        name = _name(table, "person")
        if _removed(table):
            people.pop(name, None)
        else:
            people[name] = Person(name, _words(table, "groups"), _level(table, "clearance", Classification.PUBLIC))
    for table in declarations["workload"]:
        name = _name(table, "workload")
        if _removed(table):
            workloads.pop(name, None)
        else:
            workloads[name] = Workload(
                name,
                _text(table, "segment"),
                _words(table, "groups"),
                _level(table, "clearance", Classification.PUBLIC),
            )
    for kind in RepositoryKind:
        for table in declarations[kind.value]:
            repository = parse_repository_name(kind, _text(table, "name"))
            if _removed(table):
                repositories.pop(repository, None)
            else:
                repositories[repository] = _repository(repository, table)
    merged = Directory(base.generation + 1, frozenset(groups), people, workloads, repositories)
    _require_consistent(merged)
    return merged


def _repository(name: RepositoryName, table: Table) -> Repository:
    kind, _, owner = _text(table, "owner").partition(":")
    if kind not in {"", "group", "person"} or bool(kind) != bool(owner):
        raise Malformed(f"{name}: an owner is written group:NAME or person:NAME")
    files = _list(table.get("files", []))
    if files is None:
        raise Malformed(f"{name}: files is a list of tables with path, labels and classification")
    return Repository(
        name=name,
        # A repository whose confidentiality nobody stated is as confidential as there is.
        classification=_level(table, "classification", Classification.RESTRICTED),
        labels=_words(table, "labels"),
        owner_group=owner if kind == "group" else "",
        owner_person=owner if kind == "person" else "",
        files=tuple(_file_rule(name, entry) for entry in files),
    )


def _file_rule(name: RepositoryName, entry: object) -> FileRule:
    rule = _table(entry)
    if rule is None or set(rule) - _FILE_FIELDS:
        raise Malformed(f"{name}: a file rule has the fields {', '.join(sorted(_FILE_FIELDS))}")
    glob = _text(rule, "path")
    if not glob or len(glob) > 512 or not glob.isprintable():
        raise Malformed(f"{name}: a file rule needs a path, such as 'metrics.json' or 'data/**'")
    level = _level(rule, "classification", Classification.PUBLIC) if "classification" in rule else None
    return FileRule(glob, _words(rule, "labels"), level)


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


def _name(table: Table, kind: str) -> str:
    name = _text(table, "name")
    if not name:
        raise Malformed(f"[[{kind}]] needs a name")
    return parse_subject_name(name)


def _text(table: Table, field: str) -> str:
    value = table.get(field, "")
    if not isinstance(value, str) or len(value) > 512:
        raise Malformed(f"{field} is a text of at most 512 characters")
    return value


def _words(table: Table, field: str) -> frozenset[str]:
    value = _list(table.get(field, []))
    if value is None or len(value) > 64:
        raise Malformed(f"{field} is a list of at most 64 names")
    return frozenset(parse_subject_name(word) if isinstance(word, str) else parse_subject_name("") for word in value)


def _level(table: Table, field: str, default: Classification) -> Classification:
    value = table.get(field)
    return default if value is None else parse_classification(str(value))


def _removed(table: Table) -> bool:
    value = table.get("remove", False)
    if not isinstance(value, bool):
        raise Malformed("remove is true or false")
    return value


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
    return found


def _subject(subject: Person | Workload) -> dict[str, object]:
    return {"name": subject.name, "groups": sorted(subject.groups), "clearance": subject.clearance.name.lower()}


def _described(repository: Repository) -> dict[str, object]:
    described: dict[str, object] = {
        "name": str(repository.name),
        "classification": repository.classification.name.lower(),
        "labels": sorted(repository.labels),
        "files": [_described_rule(rule) for rule in repository.files],
    }
    if repository.owner_group or repository.owner_person:
        group = repository.owner_group
        described["owner"] = f"group:{group}" if group else f"person:{repository.owner_person}"
    return described


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
        changes.extend(Change("remove", kind, name, "") for name in sorted(was.keys() - now.keys()))
        changes.extend(Change("add", kind, name, _fields(now[name])) for name in sorted(now.keys() - was.keys()))
        for name in sorted(was.keys() & now.keys()):
            if was[name] != now[name]:
                different = {field: value for field, value in now[name].items() if was[name].get(field) != value}
                dropped = [f"no {field}" for field in was[name].keys() - now[name].keys()]
                changes.append(Change("change", kind, name, ", ".join(filter(None, [_fields(different), *dropped]))))
    return tuple(changes)


def _fields(entry: Mapping[str, object]) -> str:
    return ", ".join(f"{field} {_shown(value)}" for field, value in entry.items() if field != "name" and value)


def _shown(value: object) -> str:
    return orjson.dumps(value).decode() if isinstance(value, list) else str(value)
