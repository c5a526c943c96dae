"""Embedders: what makes vectors of texts, without a network."""

from nomoat.stores.embedders.files import bundled, contents_of, digest_of, in_directory
from nomoat.stores.embedders.static import StaticEmbedder

__all__ = ["StaticEmbedder", "bundled", "contents_of", "digest_of", "in_directory"]
