"""Indexes in the words of a declaration: parsed strictly, and written back as they were meant."""

from typing import Final

from nomoat.core.errors import Malformed
from nomoat.core.names import Classification, parse_index_name
from nomoat.core.retrieval import EMBEDDED, POSTGRES, WORDLLAMA, Index
from nomoat.resources.directory.fields import Table, described_owner, level_of, owner_of, text_of, words_of

INDEX_FIELDS: Final = frozenset(
    {"name", "classification", "labels", "owner", "embedder", "answer_every_ms", "back_end", "remove"}
)
EMBEDDERS: Final = (WORDLLAMA, "none")
BACK_ENDS: Final = (EMBEDDED, POSTGRES)
LONGEST_GRID_MS: Final = 10_000


def parse_index(table: Table) -> Index:
    """An index; documents of one whose confidentiality nobody stated are as confidential as there is. Raises `Malformed`."""
    group, person = owner_of(table)
    embedder = text_of(table, "embedder") or WORDLLAMA
    if embedder not in EMBEDDERS:
        raise Malformed(f"embedder is one of {', '.join(EMBEDDERS)}")
    back_end = text_of(table, "back_end") or EMBEDDED
    if back_end not in BACK_ENDS:
        raise Malformed(f"back_end is one of {', '.join(BACK_ENDS)}")
    return Index(
        name=parse_index_name(text_of(table, "name")),
        classification=level_of(table, "classification", Classification.RESTRICTED),
        labels=words_of(table, "labels"),
        owner_group=group,
        owner_person=person,
        embedder=embedder,
        grid_ms=_grid(table.get("answer_every_ms", 0)),
        back_end=back_end,
    )


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
        "embedder": index.embedder,
        "answer_every_ms": index.grid_ms,
        "back_end": index.back_end,
        **described_owner(index.owner_group, index.owner_person),
    }
