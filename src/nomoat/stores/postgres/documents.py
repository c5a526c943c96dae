"""Documents in PostgreSQL: kept, removed, and known by what is decided on; each change is one transaction.

Rules: an index's generation moves with every change, and a change is made only of the generation that it was decided for: a
gateway that has not seen another one's change changes nothing.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast, final

import orjson
from sqlalchemy import Connection, text

from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.retrieval import Access, Attribute, Document, Stated
from nomoat.stores.documents import Kept, listed, stated_of
from nomoat.stores.postgres.database import Database
from nomoat.stores.postgres.searching import Reading, Stale

_MADE: Final = text(
    "INSERT INTO nomoat.collection (index, generation) VALUES (:index, 0) ON CONFLICT (index) DO NOTHING"
)
_COLLECTION: Final = text("SELECT generation FROM nomoat.collection WHERE index = :index")
_LOCKED: Final = text("SELECT generation FROM nomoat.collection WHERE index = :index FOR UPDATE")
_MOVED: Final = text(
    "UPDATE nomoat.collection SET generation = generation + 1 WHERE index = :index RETURNING generation"
)
_GROUPS: Final = text(
    "SELECT id, classification, labels, owner, readers, named FROM nomoat.access WHERE index = :index"
)
_GROUP: Final = text(
    "INSERT INTO nomoat.access (index, classification, labels, owner, readers, named)"
    " VALUES (:index, :classification, :labels, :owner, :readers, :named) RETURNING id"
)
_HEADS: Final = text(
    "SELECT d.name, d.version, d.title, d.attributes, d.stated, d.embedder, d.access, count(p.id) AS passages,"
    " coalesce(sum(p.words), 0) AS words FROM nomoat.document d LEFT JOIN nomoat.passage p ON p.document = d.id"
    " WHERE d.index = :index GROUP BY d.id"
)
_TEXTS: Final = text(
    "SELECT d.name, p.text FROM nomoat.document d JOIN nomoat.passage p ON p.document = d.id WHERE d.index = :index"
    " AND d.name = ANY(CAST(:names AS text[])) ORDER BY d.name, p.number"
)
_GONE: Final = text("DELETE FROM nomoat.document WHERE index = :index AND name = ANY(CAST(:names AS text[]))")
_NUMBERS: Final = text(
    "SELECT nextval(pg_get_serial_sequence('nomoat.' || :kind, 'id')) FROM generate_series(1, :count)"
)
_DOCUMENTS: Final = text(
    "INSERT INTO nomoat.document (id, access, index, name, version, title, attributes, stated, embedder) SELECT id, access,"
    " :index, name, version, title, CAST(attributes AS jsonb), CAST(stated AS jsonb), embedder FROM unnest(CAST(:ids AS bigint[]), CAST(:groups AS"
    " integer[]), CAST(:names AS text[]), CAST(:versions AS text[]), CAST(:titles AS text[]), CAST(:attributes AS text[]),"
    " CAST(:stated AS text[]), CAST(:embedders AS text[])) AS made(id, access, name, version, title, attributes, stated, embedder)"
)
_PASSAGES: Final = text(
    "INSERT INTO nomoat.passage (id, access, document, number, words, text, vector) SELECT id, access, document, number, words,"
    " text, CAST(vector AS vector) FROM unnest(CAST(:ids AS bigint[]), CAST(:groups AS integer[]), CAST(:documents AS bigint[]),"
    " CAST(:numbers AS integer[]), CAST(:words AS integer[]), CAST(:texts AS text[]), CAST(:vectors AS text[]))"
    " AS made(id, access, document, number, words, text, vector)"
)
_POSTINGS: Final = text(
    "INSERT INTO nomoat.posting (word, access, passage, often, words) SELECT * FROM unnest(CAST(:word AS text[]),"
    " CAST(:groups AS integer[]), CAST(:passages AS bigint[]), CAST(:often AS integer[]), CAST(:words AS integer[]))"
)
_REGROUPED: Final = (
    text("UPDATE nomoat.document SET access = :group WHERE index = :index AND name = ANY(CAST(:names AS text[]))"),
    text(
        "UPDATE nomoat.passage p SET access = :group FROM nomoat.document d WHERE d.id = p.document AND d.index = :index"
        " AND d.name = ANY(CAST(:names AS text[]))"
    ),
    text(
        "UPDATE nomoat.posting o SET access = :group FROM nomoat.passage p JOIN nomoat.document d ON d.id = p.document"
        " WHERE p.id = o.passage AND d.index = :index AND d.name = ANY(CAST(:names AS text[]))"
    ),
)


class Group(NamedTuple):
    """Documents that nothing tells apart, whoever asks; `named` is the one that policies name, '' for those that they do not."""

    access: Access
    named: str = ""


class Head(NamedTuple):
    """What is known of a document without its passages: how many there are, how many words they have, what made their vectors."""

    group: int
    version: str
    title: str
    attributes: Mapping[str, Attribute]
    stated: Stated | None
    passages: int
    words: int
    embedder: str


class Heads(NamedTuple):
    """What is known of an index at a generation: the numbers of groups, and documents by name."""

    generation: int
    groups: Mapping[int, Group]
    documents: Mapping[str, Head]


class Line(NamedTuple):
    """A passage as it is kept: how often which words are in it, and its vector as pgvector writes it, None where there is none."""

    text: str
    words: Mapping[str, int]
    vector: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """A document that is to be kept."""

    document: Document
    group: Group
    embedder: str
    lines: Sequence[Line] = field(repr=False)


class Changed(NamedTuple):
    """What a change led to."""

    generation: int
    groups: Mapping[int, Group]
    documents: Mapping[str, Head]


@final
class PostgresDocuments:
    """The documents of every index that is kept in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """End the connections to it."""
        self._database.close()

    def generation(self, index: str) -> int:
        """Which generation an index is of; -1 where there is none. Raises `Unavailable`."""
        with self._database.writing() as connection:
            found = connection.execute(_COLLECTION, {"index": index}).one_or_none()
        return -1 if found is None else int(found.generation)

    def heads(self, index: str) -> Heads:
        """What is known of an index, which is made where there is none. Raises `Unavailable`."""
        asked = {"index": index}
        with self._database.writing() as connection:
            connection.execute(_MADE, asked)
            generation = connection.scalar(_LOCKED, asked)  # nobody changes it meanwhile
            groups = {row.id: _group(row) for row in connection.execute(_GROUPS, asked)}
            documents = {
                row.name: Head(
                    *(row.access, row.version, row.title, row.attributes, stated_of(row.stated), row.passages),
                    *(int(row.words), row.embedder),
                )
                for row in connection.execute(_HEADS, asked)
            }
        return Heads(cast("int", generation), groups, documents)

    def some(self, index: str, heads: Heads, names: Sequence[str]) -> list[Kept]:
        """Documents of an index, without vectors, to have those made anew. Raises `Unavailable`."""
        texts: dict[str, list[str]] = {}
        with self._database.writing() as connection:
            for row in connection.execute(_TEXTS, {"index": index, "names": list(names)}):
                texts.setdefault(row.name, []).append(row.text)
        kept: list[Kept] = []
        for name in names:
            head = heads.documents[name]
            access, passages = heads.groups[head.group].access, tuple(texts.get(name, ()))
            kept.append(
                Kept(Document(name, head.version, head.title, access, head.attributes, passages, stated=head.stated))
            )
        return kept

    def change(
        self,
        index: str,
        generation: int,
        written: Sequence[Written],
        removed: Sequence[str],
        still: Callable[[], None],
    ) -> Changed:
        """Keep documents in the place of those with their names, and remove others; all of it or nothing.

        `still` raises when that is not permitted any more. Raises `Stale` where the index is of another generation, `Unavailable`.
        """
        with self._database.writing() as connection:
            groups = self._locked(connection, index, generation)
            numbers = self._numbered(connection, index, groups, {each.group for each in written})
            names = [*removed, *(each.document.name for each in written)]
            connection.execute(_GONE, {"index": index, "names": names})
            if written:
                _insert(connection, index, written, numbers)
            still()
            moved = connection.scalar(_MOVED, {"index": index})
        heads = {each.document.name: _head(each, numbers[each.group]) for each in written}
        return Changed(cast("int", moved), {number: group for group, number in numbers.items()}, heads)

    def regroup(
        self, index: str, generation: int, names: Mapping[Group, Sequence[str]]
    ) -> tuple[int, Mapping[Group, int]]:
        """Have documents in other groups, since policies name others; return the generation, and the groups' numbers.

        Raises `Stale`, `Unavailable`.
        """
        with self._database.writing() as connection:
            groups = self._locked(connection, index, generation)
            numbers = self._numbered(connection, index, groups, set(names))
            for group, those in names.items():
                for statement in _REGROUPED:
                    connection.execute(statement, {"index": index, "group": numbers[group], "names": list(those)})
            moved = connection.scalar(_MOVED, {"index": index})
        return cast("int", moved), numbers

    @contextmanager
    def reading(
        self, index: str, generation: int, permitted: Sequence[int], names: Sequence[str] | None
    ) -> Generator[Reading]:
        """See of an index what is permitted, in groups by number. Raises `Stale`, `Unavailable`."""
        with self._database.reading("{" + ",".join(map(str, permitted)) + "}") as connection:
            reading = Reading(connection, index, permitted, names)
            reading.require(generation)
            yield reading

    def _locked(self, connection: Connection, index: str, generation: int) -> dict[Group, int]:
        if connection.scalar(_LOCKED, {"index": index}) != generation:
            raise Stale
        return {_group(row): row.id for row in connection.execute(_GROUPS, {"index": index})}

    def _numbered(
        self, connection: Connection, index: str, known: Mapping[Group, int], wanted: set[Group]
    ) -> dict[Group, int]:
        """The numbers of groups; those that are new are made."""
        numbers = {group: known[group] for group in wanted if group in known}
        for group in sorted(wanted - known.keys(), key=repr):
            access = group.access
            row = {
                "index": index,
                "classification": int(access.label.classification),
                "labels": sorted(access.label.labels),
                "owner": access.owner,
                "readers": listed(access.readers),
                "named": group.named,
            }
            numbers[group] = cast("int", connection.scalar(_GROUP, row))
        return numbers


def _insert(connection: Connection, index: str, written: Sequence[Written], numbers: Mapping[Group, int]) -> None:
    lines = sum(len(each.lines) for each in written)
    documents = [row[0] for row in connection.execute(_NUMBERS, {"kind": "document", "count": len(written)})]
    passages = iter([row[0] for row in connection.execute(_NUMBERS, {"kind": "passage", "count": lines})])
    heads: dict[str, list[object]] = {
        "ids": documents,
        "groups": [numbers[each.group] for each in written],
        "names": [each.document.name for each in written],
        "versions": [each.document.version for each in written],
        "titles": [_clean(each.document.title) for each in written],
        "attributes": [_json(dict(each.document.attributes)) for each in written],
        "stated": [_json(_said(each.document.stated)) for each in written],
        "embedders": [each.embedder for each in written],
    }
    rows: list[tuple[object, ...]] = []
    postings: list[tuple[object, ...]] = []
    for document, each in zip(documents, written, strict=True):
        group = numbers[each.group]
        for number, line in enumerate(each.lines):
            passage, length = next(passages), sum(line.words.values())
            rows.append((passage, group, document, number, length, _clean(line.text), line.vector))
            postings += [(_clean(word), group, passage, often, length) for word, often in line.words.items()]
    connection.execute(_DOCUMENTS, {"index": index, **heads})
    if rows:
        names = ("ids", "groups", "documents", "numbers", "words", "texts", "vectors")
        connection.execute(_PASSAGES, _columns(rows, *names))
    if postings:
        connection.execute(_POSTINGS, _columns(postings, "word", "groups", "passages", "often", "words"))


def _columns(rows: Sequence[tuple[object, ...]], *names: str) -> dict[str, list[object]]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _head(written: Written, number: int) -> Head:
    document = written.document
    words = sum(sum(line.words.values()) for line in written.lines)
    return Head(
        *(number, document.version, document.title, document.attributes, document.stated, len(written.lines)),
        *(words, written.embedder),
    )


def _group(row: object) -> Group:
    classification, labels, owner, readers, named = (
        getattr(row, name) for name in ("classification", "labels", "owner", "readers", "named")
    )
    label = Label(Classification(classification), frozenset(labels))
    return Group(Access(label, owner, None if readers is None else frozenset(readers)), named)


def _said(stated: Stated | None) -> object:
    return None if stated is None else [listed(each) for each in stated]


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(_cleaned(value)).decode()


def _cleaned(value: object) -> object:
    """A value as `_clean` leaves the texts in it: in JSON they are written otherwise, and so are others."""
    if isinstance(value, dict):
        return {_clean(name): _cleaned(each) for name, each in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_cleaned(each) for each in cast("list[object]", value)]
    return _clean(value) if isinstance(value, str) else value


def _clean(said: str) -> str:
    """Without what PostgreSQL's texts cannot have."""
    return said.replace("\0", " ")
