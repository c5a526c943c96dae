"""Embedders: what makes vectors of texts, without a network."""

from nomoat.stores.embedders.static import StaticEmbedder, bundled

__all__ = ["StaticEmbedder", "bundled"]
