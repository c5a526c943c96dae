"""Datasets and models: files under revisions, read and written only through permits."""

from nomoat.resources.repositories.reading import Reading
from nomoat.resources.repositories.resolution import Resolution
from nomoat.resources.repositories.writing import Writing
from nomoat.stores.catalog import Catalog

__all__ = ["Catalog", "Reading", "Resolution", "Writing"]
