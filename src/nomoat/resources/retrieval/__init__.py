"""Indexes: documents that are searched, by whoever may read them."""

from nomoat.resources.retrieval.retrieval import Found, Listed, Retrieval

__all__ = ["Found", "Listed", "Retrieval"]
