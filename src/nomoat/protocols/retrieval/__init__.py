"""Searching documents, and keeping them in an index."""

from nomoat.protocols.retrieval.answering import AnsweringEndpoint
from nomoat.protocols.retrieval.documents import DocumentEndpoints
from nomoat.protocols.retrieval.files import FileEndpoints
from nomoat.protocols.retrieval.routes import SearchEndpoint

__all__ = ["AnsweringEndpoint", "DocumentEndpoints", "FileEndpoints", "SearchEndpoint"]
