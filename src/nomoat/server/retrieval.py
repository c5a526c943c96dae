"""Retrieval, wired: which embedder an index has, and where its documents are."""

from collections.abc import Callable
from functools import cache

from nomoat.core.directory import Directory
from nomoat.core.errors import Unavailable
from nomoat.core.retrieval import WORDLLAMA, EmbeddingEndpoint, Index, ModelDirectory
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.resources.retrieval import Opened, Plaintext, Retrieval
from nomoat.resources.retrieval.embedding import AskedModel, Embedder, Embedders
from nomoat.resources.retrieval.reading import ReadDocument
from nomoat.server.postgres import PostgresSettings
from nomoat.server.storage import Stores
from nomoat.stores.documents import StoredDocuments
from nomoat.stores.embedders import bundled, in_directory
from nomoat.stores.keys import read_secret
from nomoat.stores.postgres import Database, PostgresDocuments
from nomoat.stores.session_labels import SessionLabels


def retrieval_of(
    stores: Stores,
    directory: Callable[[], Directory],
    policies: Callable[[], PolicySnapshot],
    sessions: SessionLabels,
    read: ReadDocument,
    clock: Callable[[], float],
    postgres: PostgresSettings | None,
) -> Retrieval:
    """What is searched, over what a data directory holds."""
    documents, embedders = StoredDocuments(stores.state, stores.kek), embedders_of(directory)
    indexes = Opened(directory, policies, documents, embedders, plaintext_of(postgres))
    return Retrieval(directory, indexes, embedders, sessions, read, clock)


def embedders_of(directory: Callable[[], Directory]) -> Embedders:
    """What makes vectors for an index, by its declaration; each is loaded once, when it is first needed."""
    offline = cache(bundled)
    local: dict[ModelDirectory, Embedder] = {}

    def within(declared: ModelDirectory) -> Embedder:
        if declared not in local:  # let go of those that no index has any more
            for other in local.keys() - {each.embedder for each in directory().indexes.values()}:
                del local[other]
            local[declared] = in_directory(declared)
        return local[declared]

    def embedder(index: Index) -> Embedder | AskedModel | None:
        match index.embedder:
            case ModelDirectory() as declared:
                return within(declared)
            case EmbeddingEndpoint(endpoint, dimensions):
                # Who is served by several models, or by none, is no embedder of a declaration that is consistent.
                model = directory().endpoints[endpoint].served[0].model
                return AskedModel(endpoint, model, dimensions)
            case name:
                return offline() if name == WORDLLAMA else None

    return embedder


def plaintext_of(settings: PostgresSettings | None) -> Plaintext | None:
    """Where documents lie in plaintext, if anywhere; nothing is connected to yet. Raises `Unavailable`."""
    if settings is None:
        return None
    password = ""
    if settings.password_file is not None:
        try:
            password = read_secret(settings.password_file).decode("utf-8").strip()
        except UnicodeDecodeError:
            raise Unavailable("postgres", f"{settings.password_file} has no password in it") from None
        except OSError as error:
            raise Unavailable("postgres", f"{settings.password_file} cannot be read ({error.strerror})") from None
    try:
        database = Database(settings.url, password)
    except ImportError as error:
        reason = f"nomoat.toml has [postgres], and {error.name} is not installed: pip install 'nomoat[postgres]'"
        raise Unavailable("postgres", reason) from None
    return Plaintext(PostgresDocuments(database), settings.highest)
