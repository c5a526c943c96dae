"""Retrieval, wired: which embedder an index has, and where its documents are."""

from collections.abc import Callable

from nomoat.core.directory import Directory
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.resources.retrieval import Retrieval
from nomoat.server.storage import Stores
from nomoat.stores.documents import StoredDocuments
from nomoat.stores.session_labels import SessionLabels


def retrieval_of(
    stores: Stores,
    directory: Callable[[], Directory],
    policies: Callable[[], PolicySnapshot],
    sessions: SessionLabels,
    clock: Callable[[], float],
) -> Retrieval:
    """What is searched, over what a data directory holds."""
    documents = StoredDocuments(stores.state, stores.kek)
    return Retrieval(directory, policies, documents, lambda _: None, sessions, clock)
