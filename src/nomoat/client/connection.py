"""A connection for Python programs: `nomoat.connect().query(sql, …)`, `.search(index, question)`."""

import os
import threading
import time
from functools import partial
from types import TracebackType
from typing import Any, Self, final

from nomoat.client import indexes
from nomoat.client.indexes import Passage, passages_of
from nomoat.client.profiles import Profile
from nomoat.client.retrievers import langchain_retriever, llamaindex_retriever
from nomoat.client.session import Session
from nomoat.client.tables import Table, parse_table, require_pyarrow
from nomoat.core.names import RepositoryKind, parse_repository_name


@final
class Connection:
    """Queries as the subject of a log-in profile. Close it, or use it as a context manager."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._searching = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def query(self, sql: str, *, dataset: str, view: str, revision: str = "main") -> Table:
        """Run one SELECT over a view of a dataset, in which the view is a table of that name; a `pyarrow.Table`.

        Raises `Refused` for what is refused or has no answer, `Unavailable` when the gateway or pyarrow is missing.
        """
        require_pyarrow()
        repository = parse_repository_name(RepositoryKind.DATASET, dataset)
        return parse_table(self._session.gateway.query(repository, view, sql, revision))

    def search(self, index: str, query: str, *, limit: int = 10, ranker: str = "auto") -> list[Passage]:
        """The best passages of an index for a question, in the documents that one may read.

        `ranker` is `keyword`, `vector` or both (`auto`). Raises `Refused`, `Unavailable`.
        """
        with self._searching:  # retrievers ask from several threads
            return passages_of(indexes.search(self._session.gateway, index, query, limit=limit, ranker=ranker))

    def langchain_retriever(self, index: str, *, limit: int = 10, ranker: str = "auto") -> Any:
        """A retriever of LangChain over an index, for as long as this is open. Raises `Unavailable` without langchain-core."""
        return langchain_retriever(partial(self.search, index, limit=limit, ranker=ranker))

    def llamaindex_retriever(self, index: str, *, limit: int = 10, ranker: str = "auto") -> Any:
        """A retriever of LlamaIndex over an index, for as long as this is open. Raises `Unavailable` without llama-index-core."""
        return llamaindex_retriever(partial(self.search, index, limit=limit, ranker=ranker))


def connect(profile: str = "") -> Connection:
    """Use a log-in profile (of `nomoat login`; '': $NOMOAT_PROFILE, or 'default').

    Raises `NotLoggedIn` or `BadProfile`.
    """
    return Connection(Session(Profile.named(profile, os.environ), time.time))
