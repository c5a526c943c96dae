"""Indexes: documents that are searched, by whoever may read them."""

from nomoat.core.names import parse_subject
from nomoat.resources.retrieval.opened import Opened
from nomoat.resources.retrieval.opening import Plaintext
from nomoat.resources.retrieval.places import Found, Listed
from nomoat.resources.retrieval.reading import Believed, File
from nomoat.resources.retrieval.retrieval import Retrieval
from nomoat.resources.retrieval.uploads import Upload, Uploads

__all__ = [
    "Believed",
    "File",
    "Found",
    "Listed",
    "Opened",
    "Plaintext",
    "Retrieval",
    "Upload",
    "Uploads",
    "parse_subject",
]
