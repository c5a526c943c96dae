"""Keeping a folder's documents in an index.

Rules: a folder is compared with what is in the index of it, and only what differs is sent. Who may read what is said by
`.access.toml` in the folder, by the command, or by the documents if they are believed; what is said there and could be meant
otherwise than it would be taken is refused. Nothing is read by way of a link, whoever else writes there meanwhile. INVARIANT (as it is now): when all is sent,
the index has of each name what the folder has, for whom it says, or nothing: what cannot be put in is taken out and named.
"""

import base64
import errno
import hashlib
import os
import stat
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple, cast
from urllib.parse import quote

from nomoat.client.answers import rows_of
from nomoat.client.gateway import Gateway
from nomoat.client.indexes import list_documents, remove_documents
from nomoat.core.errors import Malformed, NotPermitted, TooLarge
from nomoat.core.names import parse_classification, parse_subject, parse_subject_name

ACCESS: Final = ".access.toml"
ENDINGS: Final = (".md", ".markdown", ".txt", ".text", ".log", ".csv", ".rst", ".html", ".htm", ".pdf", ".docx", ".eml")
LARGEST: Final = 16 << 20  # bytes of a file
BATCH: Final = 4 << 20  # bytes of files that are sent together
MOST_IN_BATCH: Final = 200
MOST_REMOVED: Final = 1_000  # in one request
_FIELDS: Final = frozenset({"path", "classification", "labels", "owner", "readers"})


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read documents, as far as it is said; '' and None where nothing is."""

    classification: str = ""
    labels: tuple[str, ...] = ()
    owner: str = ""
    readers: tuple[str, ...] | None = None

    def require(self) -> None:
        """Raise `Malformed` for what names no level, no label or nobody: nothing is done then, as no document could be put in."""
        if self.classification:
            parse_classification(self.classification)
        for label in self.labels:
            parse_subject_name(label)
        for subject in (*([self.owner] if self.owner else []), *(self.readers or ())):
            parse_subject(subject)

    def described(self) -> dict[str, object]:
        """The fields of a document that say so."""
        said: dict[str, object] = {}
        if self.classification:
            said["classification"] = self.classification
        if self.labels:
            said["labels"] = list(self.labels)
        if self.owner:
            said["owner"] = self.owner
        if self.readers is not None:
            said["readers"] = list(self.readers)
        return said

    def stated(self, believe: Sequence[str]) -> dict[str, object]:
        """How a gateway repeats what was said of a document beside its content, and whose word counted."""
        return {
            "classification": self.classification,
            "labels": sorted(self.labels),
            "owner": self.owner,
            "readers": None if self.readers is None else sorted(set(self.readers)),
            "believe": sorted(set(believe)),
        }

    def over(self, other: "Access") -> "Access":
        """This, and the other where this says nothing; labels of both."""
        readers = other.readers if self.readers is None else self.readers
        labels = tuple(sorted({*self.labels, *other.labels}))
        return Access(self.classification or other.classification, labels, self.owner or other.owner, readers)


class DocumentFile(NamedTuple):
    """A file of a folder: what it is called there and in the index, and who may read it."""

    name: str
    folder: Path
    access: Access

    def content(self) -> bytes:
        """What it has, of no link and of nothing that a link leads to. Raises `OSError`."""
        parts = self.name.split("/")
        at = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                os.close(at)
                at = below
            there = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(there).st_mode):
            os.close(there)
            raise OSError(errno.EINVAL, "it is no file any more")
        with os.fdopen(there, "rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise OSError(errno.EFBIG, "it is too large by now")
        return content


@dataclass(frozen=True, slots=True)
class Plan:
    """What a folder and an index differ in: files to be sent, names to be removed; `same` documents are as they should be.

    `known` are the names that the index has, `skipped` files of another format or too large, and links. `unfit` are patterns of
    `.access.toml` that no document has a name for, `unread` folders that cannot be looked into; `doubted` is whose word counted before, and does not now.
    """

    changed: tuple[DocumentFile, ...]
    removed: tuple[str, ...]
    same: int
    skipped: tuple[str, ...]
    unfit: tuple[str, ...]
    unread: tuple["Left", ...]
    known: frozenset[str]
    believe: tuple[str, ...]
    doubted: tuple[str, ...]


class Left(NamedTuple):
    """A file that could not be put in, and why."""

    name: str
    why: str


class Hidden(NamedTuple):
    """What no reader of a document sees, and is not in the index: how many characters of it."""

    name: str
    characters: int


class Sent(NamedTuple):
    """What became of some files: how many documents were done with, the passages of those put in, and what was left out.

    `left` are files that could not be put in, `hidden` what was left out of those that were.
    """

    documents: int
    passages: int = 0
    left: tuple[Left, ...] = ()
    hidden: tuple[Hidden, ...] = ()


def plan(gateway: Gateway, index: str, folder: Path, usual: Access, believe: Sequence[str]) -> Plan:
    """Compare a folder with an index. Raises `Malformed` for an `.access.toml` or options that say nothing that can be."""
    usual.require()
    rules = _rules(folder / ACCESS)
    files, links, unread = _walked(folder)
    known = {str(row.get("name")): row for row in rows_of(list_documents(gateway, index), "documents")}
    changed: list[DocumentFile] = []
    skipped: list[str] = []
    names: set[str] = set()
    for name, path in files:
        if path.suffix.lower() not in ENDINGS or path.stat().st_size > LARGEST:
            skipped.append(name)
            continue
        names.add(name)
        file = DocumentFile(name, folder, _access(name, rules).over(usual))
        if not _is_there(known.get(name), file, believe):
            changed.append(file)
    return Plan(
        changed=tuple(changed),
        removed=tuple(sorted(known.keys() - names)),
        same=len(names) - len(changed),
        skipped=tuple(sorted([*skipped, *links])),
        unfit=tuple(pattern for pattern, _ in rules if not any(_fits(name, pattern) for name in names)),
        unread=tuple(unread),
        known=frozenset(known),
        believe=tuple(believe),
        doubted=tuple(sorted(_believed(known.values()) - set(believe))),
    )


def send(gateway: Gateway, index: str, planned: Plan) -> Iterator[Sent]:
    """Remove what is no more, send what has changed, and take out what could not be sent; yields what was done each time.

    Raises `NotPermitted` for who may not write into the index at all, and as the gateway does.
    """
    yield from _removed(gateway, index, planned.removed)
    asked = False
    for batch in _batches(planned.changed):
        for sent in _put(gateway, index, batch, planned.believe):
            if sent.left and not asked:
                _write(gateway, index, [], ())  # so that who may write nothing hears that, not each file's name
                asked = True
            stale = [each.name for each in sent.left if each.name in planned.known]
            for _ in _removed(gateway, index, stale):
                pass
            yield sent


def _believed(rows: Iterable[Mapping[str, object]]) -> set[str]:
    """Whose word counts for documents of an index."""
    stated = [cast("Mapping[str, Sequence[str]]", row.get("stated") or {}) for row in rows]
    return {each for said in stated for each in said.get("believe", ())}


def _walked(folder: Path) -> tuple[list[tuple[str, Path]], list[str], list[Left]]:
    """The files of a folder by name, in their order, its links, and the folders in it that cannot be looked into.

    What begins with a dot is not looked at. Raises `Malformed` where it would say who may read what, and nobody looks there.
    """
    files: list[tuple[str, Path]] = []
    links: list[str] = []
    unread: list[Left] = []

    def named(path: Path) -> str:
        return path.relative_to(folder).as_posix()

    def failed(error: OSError) -> None:
        unread.append(Left(f"{named(Path(error.filename))}/", f"it cannot be read here ({error.strerror})"))

    for place, below, here in os.walk(folder, onerror=failed):
        if ACCESS in here and Path(place) != folder:
            raise Malformed(
                f"{Path(place) / ACCESS} is not looked at: say in {folder / ACCESS} who may read what, by path, and remove it"
            )
        below[:] = [each for each in below if not each.startswith(".")]
        paths = [Path(place) / each for each in (*below, *here) if not each.startswith(".")]
        links.extend(named(path) for path in paths if path.is_symlink())
        files.extend((named(path), path) for path in paths if path.is_file() and not path.is_symlink())
    return sorted(files), links, sorted(unread)


def _removed(gateway: Gateway, index: str, names: Sequence[str]) -> Iterator[Sent]:
    for begin in range(0, len(names), MOST_REMOVED):
        some = names[begin : begin + MOST_REMOVED]
        remove_documents(gateway, index, some)
        yield Sent(len(some))


def _put(gateway: Gateway, index: str, batch: Sequence[DocumentFile], believe: Sequence[str]) -> Iterator[Sent]:
    """Put files in together; where that is refused, in halves, until what it is refused for stands alone."""
    documents: list[dict[str, object]] = []
    for each in batch:
        try:
            content = base64.b64encode(each.content()).decode("ascii")
        except OSError as error:
            yield Sent(1, left=(Left(each.name, f"it cannot be read here ({error.strerror})"),))
            continue
        documents.append({"name": each.name, "content": content, **each.access.described()})
    if not documents:
        return
    try:
        passages, hidden = _write(gateway, index, documents, believe)
        yield Sent(len(documents), passages, hidden=hidden)
    except (Malformed, NotPermitted, TooLarge) as refused:
        if len(documents) == 1:
            yield Sent(1, left=(Left(str(documents[0]["name"]), refused.reason),))
            return
        names = {each["name"] for each in documents}
        rest = [file for file in batch if file.name in names]
        half = len(rest) // 2
        yield from _put(gateway, index, rest[:half], believe)
        yield from _put(gateway, index, rest[half:], believe)


def _write(
    gateway: Gateway, index: str, documents: Sequence[object], believe: Sequence[str]
) -> tuple[int, tuple[Hidden, ...]]:
    body = {"documents": documents, "believe": list(believe)}
    answer = gateway.call("PUT", f"/v1/indexes/{quote(index, safe='')}/documents", body)
    hidden = cast("Mapping[str, int]", answer.get("hidden") or {})
    return int(cast("int", answer.get("passages", 0))), tuple(Hidden(name, hidden[name]) for name in sorted(hidden))


def _batches(changed: Sequence[DocumentFile]) -> Iterator[list[DocumentFile]]:
    batch, size = list[DocumentFile](), 0
    for each in changed:
        length = _size(each.folder / each.name)
        if batch and (size + length > BATCH or len(batch) == MOST_IN_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += length
    if batch:
        yield batch


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # it is gone meanwhile, which reading it says
        return 0


def _is_there(known: Mapping[str, object] | None, file: DocumentFile, believe: Sequence[str]) -> bool:
    """Whether a document is in the index as it should be: what it says, and what was said of it."""
    if known is None or known.get("embedded") is False or known.get("stated") != file.access.stated(believe):
        return False
    try:
        return known.get("version") == hashlib.sha256(file.content()).hexdigest()
    except OSError:
        return False  # sending it says why


def _rules(file: Path) -> list[tuple[str, Access]]:
    """What `.access.toml` says: `[[file]]` with `path`, a pattern of names, and who may read those."""
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{file} is not TOML: {error}") from None
    tables = said.get("file", [])
    if set(said) - {"file"} or not isinstance(tables, list):
        raise Malformed(f"{file} has [[file]] tables and nothing else")
    return [_rule(file, table) for table in cast("list[object]", tables)]


def _rule(file: Path, said: object) -> tuple[str, Access]:
    table = cast("dict[str, object]", said) if isinstance(said, dict) else {}
    if set(table) - _FIELDS or not isinstance(table.get("path"), str):
        raise Malformed(f"a [[file]] of {file} has path, and of {', '.join(sorted(_FIELDS - {'path'}))} what it says")
    access = Access(
        _name(file, table, "classification"),
        _names(file, table, "labels"),
        _name(file, table, "owner"),
        _names(file, table, "readers") if "readers" in table else None,
    )
    try:
        access.require()
    except Malformed as error:
        raise Malformed(f"{file}, path {table['path']!r}: {error.reason}") from None
    return str(table["path"]), access


def _name(file: Path, table: Mapping[str, object], field: str) -> str:
    said = table.get(field, "")
    if not isinstance(said, str):
        raise Malformed(f"{file}, path {table['path']!r}: {field} is a text")
    return said


def _names(file: Path, table: Mapping[str, object], field: str) -> tuple[str, ...]:
    """A list of texts. A text is none, though Python would take it for the list of its letters."""
    said = table.get(field, [])
    names = [each for each in cast("list[object]", said) if isinstance(each, str)] if isinstance(said, list) else None
    if names is None or len(names) < len(cast("list[object]", said)):
        raise Malformed(f"{file}, path {table['path']!r}: {field} is a list of texts")
    return tuple(names)


def _access(name: str, rules: Sequence[tuple[str, Access]]) -> Access:
    """What the rules say of a name; of several the last says it."""
    found = Access()
    for pattern, access in rules:
        if _fits(name, pattern):
            found = access.over(found)
    return found


def _fits(name: str, pattern: str) -> bool:
    """Whether a rule is about a name. How an accent is encoded makes no other name."""
    return fnmatchcase(unicodedata.normalize("NFC", name), unicodedata.normalize("NFC", pattern))
