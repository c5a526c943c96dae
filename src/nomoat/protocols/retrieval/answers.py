"""What is told of indexes and passages, in the words of OpenAI's vector stores."""

from typing import Final

from nomoat.core.retrieval import Index, Passage
from nomoat.resources.retrieval import Listed

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
    version, access, title, stated = listed.known
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


def _listed(words: frozenset[str] | None) -> list[str] | None:
    return None if words is None else sorted(words)
