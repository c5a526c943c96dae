"""Searching an index, and what is in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from nomoat.client.answers import rows_of
from nomoat.client.errors import Unintelligible
from nomoat.client.gateway import Gateway
from nomoat.client.transport import Answer


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that was found: number `number` of a document, in a version (SHA-256, hex) of it."""

    document: str
    number: int
    version: str
    text: str
    score: float
    attributes: Mapping[str, object]


def list_indexes(gateway: Gateway) -> list[str]:
    """The names of the indexes that the caller may search."""
    return [str(row.get("id")) for row in rows_of(gateway.call("GET", "/v1/vector_stores"), "data")]


def list_documents(gateway: Gateway, index: str) -> Answer:
    """The documents of an index that the caller may write."""
    return gateway.call("GET", f"/v1/indexes/{quote(index, safe='')}/documents")


def remove_documents(gateway: Gateway, index: str, names: Sequence[str]) -> int:
    """Take documents out of an index; returns how many there were."""
    answer = gateway.call("POST", f"/v1/indexes/{quote(index, safe='')}/documents/removals", {"names": list(names)})
    return int(cast("int", answer.get("removed", 0)))


def shred_documents(gateway: Gateway, index: str, classification: str, labels: Sequence[str], reason: str) -> Answer:
    """Destroy every document of exactly a label, and its key."""
    body = {"classification": classification, "labels": list(labels), "reason": reason}
    return gateway.call("POST", f"/v1/indexes/{quote(index, safe='')}/shred", body)


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
