"""Segments made into one: what is gone is left out, and rows of one class lie together.

Rules: nothing is made anew of a text or a vector, so this is work on arrays, and can be done in a thread beside the one that serves:
what is large is numpy's, which lets others run meanwhile, or goes in steps.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from nomoat.retrieval.documents import Held
from nomoat.retrieval.quantised import Quantised
from nomoat.retrieval.segment import Ints, Postings, Segment

Scalar = TypeVar("Scalar", bound=np.generic)

STEP: Final = 4096  # rows that are moved at once
_GONE: Final = -1


def merged(parts: Sequence[Segment], keyed: int) -> Segment:
    """One segment of what is there in some, whose classes are those of the table `keyed`."""
    living = [np.flatnonzero(part.alive) for part in parts]
    order = np.argsort(
        np.concatenate([part.classes[there] for part, there in zip(parts, living, strict=True)]), kind="stable"
    )
    documents = _targets([len(part.entries) for part in parts], living, order)
    rows = _row_targets(parts, documents)
    count = sum(int((moved != _GONE).sum()) for moved in rows)

    def by_document(columns: Sequence[NDArray[Scalar]]) -> NDArray[Scalar]:
        found: NDArray[Scalar] = np.concatenate([each[there] for each, there in zip(columns, living, strict=True)])
        return found[order]

    lengths, number, document = (np.zeros(count, np.int32) for _ in range(3))
    vectors = np.zeros((count, parts[0].vectors.shape[1]), np.float32)
    form = Quantised(np.zeros(vectors.shape, np.int8), np.zeros(count, np.float32), np.zeros(count, np.float32))
    for part, moved, to in zip(parts, rows, documents, strict=True):
        _move(part.lengths, moved, lengths)
        _move(part.number, moved, number)
        _move(to[part.document], moved, document)
        _move(part.vectors, moved, vectors)
        _move(part.form.rows, moved, form.rows)
        _move(part.form.scale, moved, form.scale)
        _move(part.form.off, moved, form.off)
    return Segment(
        entries=_entries(parts, living, order),
        ids=by_document([part.ids for part in parts]),
        sorts=by_document([part.sorts for part in parts]),
        classes=by_document([part.classes for part in parts]),
        alive=np.ones(len(order), np.bool_),
        pairs=by_document([part.pairs for part in parts]),
        document=document,
        number=number,
        lengths=lengths,
        vectors=vectors,
        form=form,
        postings=_postings(parts, rows),
        owners=_places([part.owners for part in parts], documents),
        readers=_places([part.readers for part in parts], documents),
        keyed=keyed,
    )


def _targets(counts: Sequence[int], living: Sequence[NDArray[np.intp]], order: NDArray[np.intp]) -> list[Ints]:
    """Of each part where each of its documents is to be; `_GONE` for what is no more."""
    to = np.empty(len(order), np.int32)
    to[order] = np.arange(len(order), dtype=np.int32)
    found: list[Ints] = []
    begin = 0
    for count, there in zip(counts, living, strict=True):
        moved = np.full(count, _GONE, np.int32)
        moved[there] = to[begin : begin + len(there)]
        found.append(moved)
        begin += len(there)
    return found


def _row_targets(parts: Sequence[Segment], documents: Sequence[Ints]) -> list[Ints]:
    """The same of rows: by document, and in each in their order."""
    of = [to[part.document] for part, to in zip(parts, documents, strict=True)]
    there = [np.flatnonzero(each != _GONE) for each in of]
    order = np.argsort(np.concatenate([each[kept] for each, kept in zip(of, there, strict=True)]), kind="stable")
    return _targets([len(each) for each in of], there, order)


def _move(old: NDArray[Scalar], moved: Ints, new: NDArray[Scalar]) -> None:
    for begin in range(0, len(moved), STEP):
        to = moved[begin : begin + STEP]
        kept = to != _GONE
        new[to[kept]] = old[begin : begin + STEP][kept]


def _entries(parts: Sequence[Segment], living: Sequence[NDArray[np.intp]], order: NDArray[np.intp]) -> tuple[Held, ...]:
    there: list[Held] = []
    for part, each in zip(parts, living, strict=True):
        there += [part.entries[at] for at in each.tolist()]
    places: list[int] = order.tolist()
    return tuple([there[at] for at in places])


def _postings(parts: Sequence[Segment], rows: Sequence[Ints]) -> Postings:
    words: list[NDArray[np.int64]] = []
    often: list[Ints] = []
    for part, moved in zip(parts, rows, strict=True):
        to = moved[part.postings.rows]
        kept = to != _GONE
        word = np.repeat(part.postings.words, np.diff(part.postings.starts))
        words.append((word[kept].astype(np.int64) << 32) | to[kept])
        often.append(part.postings.often[kept])
    keys = np.concatenate(words)
    order = np.argsort(keys)
    keys = keys[order]
    word, row = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
    distinct, starts = np.unique(word, return_index=True)
    return Postings(distinct, np.append(starts, len(word)).astype(np.int32), row, np.concatenate(often)[order])


def _places(parts: Sequence[Mapping[str, Ints]], documents: Sequence[Ints]) -> Mapping[str, Ints]:
    found: dict[str, list[Ints]] = {}
    for named, moved in zip(parts, documents, strict=True):
        for subject, places in named.items():
            to = moved[places]
            found.setdefault(subject, []).append(to[to != _GONE])
    together = {subject: np.concatenate(places) for subject, places in found.items()}
    return {subject: places for subject, places in together.items() if len(places)}
