"""Retrievers for LangChain and LlamaIndex: what finds passages of an index there, as the subject of a log-in profile.

Rules: what is found is what the connection's subject may read, decided by the gateway at each question. Their libraries are imported
when a retriever is made, and are the caller's to install.
"""

import asyncio
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from nomoat.client.indexes import Passage
from nomoat.core.errors import Unavailable

Search = Callable[[str], Sequence[Passage]]
"""What finds passages for a question."""


def langchain_retriever(search: Search) -> Any:
    """A `langchain_core.retrievers.BaseRetriever` over what `search` finds; its documents have `metadata` of what they are of.

    Raises `Unavailable` without langchain-core. What is asked raises what `search` does.
    """
    retrievers, documents = _module("langchain_core.retrievers"), _module("langchain_core.documents")

    def found(query: str) -> list[Any]:
        return [
            documents.Document(page_content=each.text, id=_id(each), metadata={**_metadata(each), "score": each.score})
            for each in search(query)
        ]

    class NoMoatRetriever(retrievers.BaseRetriever):  # type: ignore[misc,name-defined]
        """Passages of an index that the subject of a profile may read."""

        def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Any]:
            del run_manager
            return found(query)

        async def _aget_relevant_documents(self, query: str, *, run_manager: object) -> list[Any]:
            del run_manager
            return await asyncio.to_thread(found, query)

    return NoMoatRetriever()


def llamaindex_retriever(search: Search) -> Any:
    """A `llama_index.core.retrievers.BaseRetriever` over what `search` finds; its nodes have `metadata` of what they are of.

    Raises `Unavailable` without llama-index-core. What is asked raises what `search` does.
    """
    retrievers, schema = _module("llama_index.core.retrievers"), _module("llama_index.core.schema")

    def found(query: str) -> list[Any]:
        return [
            schema.NodeWithScore(
                node=schema.TextNode(text=each.text, id_=_id(each), metadata=_metadata(each)), score=each.score
            )
            for each in search(query)
        ]

    class NoMoatRetriever(retrievers.BaseRetriever):  # type: ignore[misc,name-defined]
        """Passages of an index that the subject of a profile may read."""

        def _retrieve(self, query_bundle: Any) -> list[Any]:
            return found(str(query_bundle.query_str))

        async def _aretrieve(self, query_bundle: Any) -> list[Any]:
            return await asyncio.to_thread(found, str(query_bundle.query_str))

    return NoMoatRetriever()


def _id(passage: Passage) -> str:
    return f"{passage.document}#{passage.number}@{passage.version[:12]}"


def _metadata(passage: Passage) -> dict[str, object]:
    """What a passage is of; its document's own attributes take the place of nothing of that."""
    of = {"document": passage.document, "passage": passage.number, "version": passage.version}
    return {**passage.attributes, **of}


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = "langchain-core" if name.startswith("langchain") else "llama-index-core"
        raise Unavailable(package, f"it is not installed: pip install {package}") from None
