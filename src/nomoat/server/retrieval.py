"""Retrieval, wired: which embedder an index has, and where its documents are."""

from collections.abc import Callable
from functools import cache

from nomoat.core.directory import Directory
from nomoat.core.retrieval import WORDLLAMA
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.resources.retrieval import Retrieval
from nomoat.resources.retrieval.embedding import Embedders
from nomoat.resources.retrieval.reading import ReadDocument
from nomoat.server.storage import Stores
from nomoat.stores.documents import StoredDocuments
from nomoat.stores.embedders import bundled
from nomoat.stores.session_labels import SessionLabels


def retrieval_of(
    stores: Stores,
    directory: Callable[[], Directory],
    policies: Callable[[], PolicySnapshot],
    sessions: SessionLabels,
    read: ReadDocument,
    clock: Callable[[], float],
) -> Retrieval:
    """What is searched, over what a data directory holds."""
    documents = StoredDocuments(stores.state, stores.kek)
    offline = cache(bundled)
    embedders: Embedders = lambda index: offline() if index.embedder == WORDLLAMA else None  # noqa: E731
    return Retrieval(directory, policies, documents, embedders, sessions, read, clock)
