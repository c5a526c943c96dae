"""What is told of indexes and passages, in the words of OpenAI's vector stores."""

from collections.abc import Mapping, Sequence
from typing import Final

from nomoat.core.retrieval import Attribute, Index, Passage
from nomoat.resources.retrieval import Listed, Upload

_SETS: Final = ("labels", "readers", "believe")


def index_json(index: Index) -> dict[str, object]:
    """An index. How many documents it has is nobody's to know who may not read them all, so it is told to nobody."""
    return {"id": index.name, "object": "vector_store", "name": index.name, "created_at": 0, "status": "completed"}


def passage_json(passage: Passage) -> dict[str, object]:
    """A passage that was found: which one of which document, and in which version."""
    document, version, number = passage.id
    return {
        "file_id": document,
        "filename": document,
        "score": passage.score,
        "attributes": dict(passage.attributes),
        "content": [{"type": "text", "text": passage.text}],
        "passage": number,
        "version": version,
    }


def document_json(listed: Listed) -> dict[str, object]:
    """A document, to who may write it."""
    version, access, title, stated, _ = listed.known
    return {
        "name": listed.name,
        "version": version,
        "title": title,
        "classification": access.label.classification.name.lower(),
        "labels": sorted(access.label.labels),
        "owner": access.owner,
        "readers": _listed(access.readers),
        "stated": None
        if stated is None
        else {**stated._asdict(), **{name: _listed(getattr(stated, name)) for name in _SETS}},
        "embedded": listed.embedded,
    }


def upload_json(upload: Upload) -> dict[str, object]:
    """A file that is held for who uploaded it."""
    return {
        "id": upload.name,
        "object": "file",
        "bytes": len(upload.content),
        "created_at": int(upload.at),
        "expires_at": int(upload.until),
        "filename": upload.name,
        "purpose": "assistants",
        "status": "processed",
    }


def file_json(index: str, name: str, attributes: Mapping[str, Attribute]) -> dict[str, object]:
    """A document of an index, as a file of a vector store. When it was put in and what it takes is not kept, and told as 0."""
    return {
        "id": name,
        "object": "vector_store.file",
        "created_at": 0,
        "usage_bytes": 0,
        "vector_store_id": index,
        "status": "completed",
        "last_error": None,
        "attributes": dict(attributes),
        "chunking_strategy": {"type": "other"},
    }


def passage_texts_json(passages: Sequence[Passage]) -> dict[str, object]:
    """All passages of a document."""
    texts = [{"type": "text", "text": each.text} for each in passages]
    return {"object": "vector_store.file_content.page", "data": texts, "has_more": False, "next_page": None}


def _listed(words: frozenset[str] | None) -> list[str] | None:
    return None if words is None else sorted(words)
