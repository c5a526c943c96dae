"""Searching passages, by keywords and by vectors, in what a caller may read and in nothing else.

Rules: pure; it needs numpy and simsimd, so it is imported where there is an index. INVARIANT (non-interference): ids, order,
scores, counts and errors for a scope are those of an index that holds what the scope permits and nothing else, to the last bit.
"""

from nomoat.retrieval.documents import Entry, Passage, vectors_of
from nomoat.retrieval.filters import parse_filter
from nomoat.retrieval.index import Index
from nomoat.retrieval.scopes import Scope
from nomoat.retrieval.snapshot import Hit, Query, Snapshot

__all__ = ["Entry", "Hit", "Index", "Passage", "Query", "Scope", "Snapshot", "parse_filter", "vectors_of"]
