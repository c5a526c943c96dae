"""Indexes in the words of a declaration: parsed strictly, and written back as they were meant."""

from typing import Final

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.inference import Dialect
from nomoat.core.names import Classification, parse_digest, parse_endpoint_name, parse_index_name
from nomoat.core.retrieval import EMBEDDED, POSTGRES, WORDLLAMA, EmbeddingEndpoint, Index, ModelDirectory
from nomoat.resources.directory.fields import (
    Table,
    as_table,
    described_owner,
    level_of,
    owner_of,
    require_fields,
    text_of,
    words_of,
)

INDEX_FIELDS: Final = frozenset(
    {"name", "classification", "labels", "owner", "embedder", "answer_every_ms", "back_end", "remove"}
)
EMBEDDERS: Final = (WORDLLAMA, "none")
BACK_ENDS: Final = (EMBEDDED, POSTGRES)
_DIRECTORY: Final = frozenset({"directory", "sha256"})
_ENDPOINT: Final = frozenset({"endpoint", "dimensions"})
MOST_DIMENSIONS: Final = 8_192
LONGEST_GRID_MS: Final = 10_000


def parse_index(table: Table) -> Index:
    """An index; documents of one whose confidentiality nobody stated are as confidential as there is. Raises `Malformed`."""
    group, person = owner_of(table)
    return Index(
        name=parse_index_name(text_of(table, "name")),
        classification=level_of(table, "classification", Classification.RESTRICTED),
        labels=words_of(table, "labels"),
        owner_group=group,
        owner_person=person,
        embedder=_embedder(table),
        grid_ms=_grid(table.get("answer_every_ms", 0)),
        back_end=_back_end(table),
    )


def _back_end(table: Table) -> str:
    back_end = text_of(table, "back_end") or EMBEDDED
    if back_end not in BACK_ENDS:
        raise Malformed(f"back_end is one of {', '.join(BACK_ENDS)}")
    return back_end


def require_embedders(directory: Directory) -> None:
    """Raise `Malformed` when an index has its vectors from an endpoint whose vectors could not be compared with each other."""
    for index in directory.indexes.values():
        if not isinstance(index.embedder, EmbeddingEndpoint):
            continue
        name = index.embedder.endpoint
        endpoint = directory.endpoints.get(name)
        if endpoint is None:
            raise Malformed(f"index {index.name} has its vectors from {name}, which is no [[endpoint]]")
        if len({each.model for each in endpoint.served}) != 1:
            raise Malformed(f"index {index.name}: {name} is served by several models, whose vectors cannot be compared")
        if any(directory.upstreams[each.upstream].dialect is not Dialect.OPENAI for each in endpoint.served):
            raise Malformed(f"index {index.name}: {name} is served by an upstream that makes no vectors")
        if any(each.weights for each in endpoint.served):
            raise Malformed(
                f"index {index.name}: which weights answer for {name} may change, and vectors of two versions cannot be compared"
            )


def _embedder(table: Table) -> str | ModelDirectory | EmbeddingEndpoint:
    said = as_table(table.get("embedder"))
    if said is None:
        name = text_of(table, "embedder") or WORDLLAMA
        if name not in EMBEDDERS:
            raise Malformed(f"embedder is one of {', '.join(EMBEDDERS)}, or a table with a directory or an endpoint")
        return name
    if "directory" in said:
        require_fields(said, _DIRECTORY)
        path = text_of(said, "directory")
        if not path.startswith("/") or not path.isprintable():
            raise Malformed("directory is a path on the gateway's machine, from / on")
        return ModelDirectory(path, parse_digest(text_of(said, "sha256")))
    require_fields(said, _ENDPOINT)
    dimensions = said.get("dimensions")
    if type(dimensions) is not int or not 1 <= dimensions <= MOST_DIMENSIONS:
        raise Malformed(f"dimensions is how many an embedding has: a whole number from 1 to {MOST_DIMENSIONS:,}")
    return EmbeddingEndpoint(parse_endpoint_name(text_of(said, "endpoint")), dimensions)


def _described(embedder: str | ModelDirectory | EmbeddingEndpoint) -> object:
    if isinstance(embedder, str):
        return embedder
    if isinstance(embedder, ModelDirectory):
        return {"directory": embedder.path, "sha256": embedder.sha256}
    return {"endpoint": embedder.endpoint, "dimensions": embedder.dimensions}


def _grid(value: object) -> int:
    if type(value) is not int or not 0 <= value <= LONGEST_GRID_MS:
        raise Malformed(f"answer_every_ms is a whole number of milliseconds up to {LONGEST_GRID_MS:,}, 0 for at once")
    return value


def described_index(index: Index) -> dict[str, object]:
    """The inverse of `parse_index`."""
    return {
        "name": index.name,
        "classification": index.classification.name.lower(),
        "labels": sorted(index.labels),
        "embedder": _described(index.embedder),
        "answer_every_ms": index.grid_ms,
        "back_end": index.back_end,
        **described_owner(index.owner_group, index.owner_person),
    }
