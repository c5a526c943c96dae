"""Datasets and models: files under revisions, read and written only through permits."""

from nomoat.resources.repositories.browsing import Browsing
from nomoat.resources.repositories.reading import Reading
from nomoat.resources.repositories.references import References
from nomoat.resources.repositories.resolution import Resolution
from nomoat.resources.repositories.writing import Writing
from nomoat.stores.catalog import Catalog
from nomoat.stores.revisions import Revision, StoredFile

__all__ = ["Browsing", "Catalog", "Reading", "References", "Resolution", "Revision", "StoredFile", "Writing"]
