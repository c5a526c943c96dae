"""Keeping documents in an index, and searching it.

Rules: a folder is compared with what is in the index of it, and only what differs is sent; what is no more in the folder is taken
out of the index. Who may read what is said by `.access.toml` in the folder, by the command, or by the documents if they are believed.
"""

import base64
import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

from nomoat.client.answers import rows_of
from nomoat.client.errors import Unintelligible
from nomoat.client.gateway import Gateway
from nomoat.client.transport import Answer
from nomoat.core.errors import Malformed

ACCESS: Final = ".access.toml"
ENDINGS: Final = (".md", ".markdown", ".txt", ".text", ".log", ".csv", ".rst", ".html", ".htm", ".pdf", ".docx", ".eml")
LARGEST: Final = 16 << 20  # bytes of a file
BATCH: Final = 4 << 20  # bytes of files that are sent together
MOST_IN_BATCH: Final = 200
_FIELDS: Final = frozenset({"path", "classification", "labels", "owner", "readers"})


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read documents, as far as it is said; '' and None where nothing is."""

    classification: str = ""
    labels: tuple[str, ...] = ()
    owner: str = ""
    readers: tuple[str, ...] | None = None

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

    def over(self, other: "Access") -> "Access":
        """This, and the other where this says nothing; labels of both."""
        readers = other.readers if self.readers is None else self.readers
        labels = tuple(sorted({*self.labels, *other.labels}))
        return Access(self.classification or other.classification, labels, self.owner or other.owner, readers)


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that was found: number `number` of a document, in a version (SHA-256, hex) of it."""

    document: str
    number: int
    version: str
    text: str
    score: float
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a folder and an index differ in: files to be sent, names to be removed; `same` documents are as they should be."""

    changed: tuple[tuple[str, Path, Access], ...]
    removed: tuple[str, ...]
    same: int
    skipped: tuple[str, ...]


def plan(gateway: Gateway, index: str, folder: Path, usual: Access, *, believed: bool) -> Plan:
    """Compare a folder with an index. Raises `Malformed` for an `.access.toml` that is none."""
    rules = _rules(folder / ACCESS)
    known = {str(row.get("name")): row for row in rows_of(list_documents(gateway, index), "documents")}
    changed: list[tuple[str, Path, Access]] = []
    skipped: list[str] = []
    names: set[str] = set()
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and not each.is_symlink()):
        name = path.relative_to(folder).as_posix()
        if name.startswith(".") or "/." in name:
            continue
        if path.suffix.lower() not in ENDINGS or path.stat().st_size > LARGEST:
            skipped.append(name)
            continue
        names.add(name)
        access = _access(name, rules).over(usual)
        if not _is_there(known.get(name), path, access, believed=believed):
            changed.append((name, path, access))
    removed = tuple(sorted(known.keys() - names))
    return Plan(tuple(changed), removed, len(names) - len(changed), tuple(skipped))


def send(gateway: Gateway, index: str, planned: Plan, believe: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Send what has changed, then remove what is no more; yields how many documents and passages each batch had."""
    for batch in _batches(planned.changed):
        documents = [
            {"name": name, "content": base64.b64encode(path.read_bytes()).decode("ascii"), **access.described()}
            for name, path, access in batch
        ]
        body = {"documents": documents, "believe": list(believe)}
        answer = gateway.call("PUT", f"/v1/indexes/{quote(index, safe='')}/documents", body)
        yield len(batch), int(cast("int", answer.get("passages", 0)))
    for begin in range(0, len(planned.removed), 1_000):
        some = planned.removed[begin : begin + 1_000]
        remove_documents(gateway, index, some)
        yield len(some), 0


def list_documents(gateway: Gateway, index: str) -> Answer:
    """The documents of an index that the caller may write."""
    return gateway.call("GET", f"/v1/indexes/{quote(index, safe='')}/documents")


def remove_documents(gateway: Gateway, index: str, names: Sequence[str]) -> int:
    """Take documents out of an index; returns how many there were."""
    answer = gateway.call("POST", f"/v1/indexes/{quote(index, safe='')}/documents/removals", {"names": list(names)})
    return int(cast("int", answer.get("removed", 0)))


def search(gateway: Gateway, index: str, query: str, *, limit: int, ranker: str = "auto") -> Answer:
    """The best passages of what the caller may read."""
    body = {"query": query, "max_num_results": limit, "ranking_options": {"ranker": ranker}}
    return gateway.call("POST", f"/v1/vector_stores/{quote(index, safe='')}/search", body)


def passages_of(answer: Answer) -> list[Passage]:
    """The passages of an answer to `search`. Raises `Unintelligible` for what is none."""
    return [_passage(row) for row in rows_of(answer, "data")]


def _passage(row: Mapping[str, object]) -> Passage:
    match row:
        case {
            "file_id": str(document),
            "passage": int(number),
            "version": str(version),
            "content": [{"text": str(text)}],
            "score": float() | int() as score,
            "attributes": dict(),
        }:
            attributes = cast("dict[str, object]", row["attributes"])
            return Passage(document, number, version, text, float(score), attributes)
        case _:
            raise Unintelligible("a passage")


def _batches(changed: Sequence[tuple[str, Path, Access]]) -> Iterator[list[tuple[str, Path, Access]]]:
    batch, size = list[tuple[str, Path, Access]](), 0
    for each in changed:
        length = each[1].stat().st_size
        if batch and (size + length > BATCH or len(batch) == MOST_IN_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += length
    if batch:
        yield batch


def _is_there(known: Mapping[str, object] | None, path: Path, access: Access, *, believed: bool) -> bool:
    """Whether a document is in the index as it should be."""
    if (
        known is None
        or known.get("embedded") is False
        or known.get("version") != hashlib.sha256(path.read_bytes()).hexdigest()
    ):
        return False
    said = access.described()
    if believed and not said:
        return True
    for name, value in said.items():
        there = known.get(name)
        if name == "labels":
            if not set(cast("list[str]", value)) <= set(cast("list[str]", there or [])):
                return False
        elif isinstance(value, list):
            if sorted(cast("list[str]", value)) != sorted(cast("list[str]", there or [])):
                return False
        elif value != there:
            return False
    return True


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
    readers = table.get("readers")
    return str(table["path"]), Access(
        str(table.get("classification", "")),
        tuple(cast("list[str]", table.get("labels", []))),
        str(table.get("owner", "")),
        None if readers is None else tuple(cast("list[str]", readers)),
    )


def _access(name: str, rules: Sequence[tuple[str, Access]]) -> Access:
    """What the rules say of a name; of several the last says it."""
    found = Access()
    for pattern, access in rules:
        if fnmatch(name, pattern):
            found = access.over(found)
    return found
