"""What a server of embeddings answers, as it should and as it should not: the model's name picks which."""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

DIMENSIONS: Final = 64
GOOD: Final = "vectors"
OTHER: Final = "other-vectors"  # of the same length, and not comparable
CARD: Final = "vectors-with-a-card"  # good ones, with a number that looks like a payment card's


def vector(model: str, text: str) -> list[float]:
    """Words that are equal point one way, whichever text they are in."""
    found = np.zeros(DIMENSIONS)
    for word in text.lower().replace(".", " ").split():
        chance = np.random.default_rng(zlib.crc32(f"{model} {word}".encode()))
        found += chance.standard_normal(DIMENSIONS)
    return [float(number) for number in found]


def _rows(model: str, texts: list[str]) -> list[dict[str, Any]]:
    return [
        {"object": "embedding", "index": number, "embedding": vector(model, text)} for number, text in enumerate(texts)
    ]


def _first(change: Callable[[dict[str, Any]], object]) -> Callable[[list[dict[str, Any]]], object]:
    """A fault of the first vector."""

    def say(rows: list[dict[str, Any]]) -> object:
        change(rows[0])
        return rows

    return say


def _number(value: object) -> Callable[[list[dict[str, Any]]], object]:
    return _first(lambda row: row["embedding"].__setitem__(3, value))


FAULTS: Final[Mapping[str, Callable[[list[dict[str, Any]]], object]]] = {
    "vectors-one-less": lambda rows: rows[:-1],
    "vectors-one-more": lambda rows: [*rows, {**rows[0], "index": len(rows)}],
    "vectors-shorter": _first(lambda row: row["embedding"].pop()),
    "vectors-longer": _first(lambda row: row["embedding"].append(0.5)),
    "vectors-nan": _number(float("nan")),
    "vectors-infinite": _number(float("inf")),
    "vectors-too-large": _number(1e300),
    "vectors-null": _number(None),
    "vectors-true": _number(value=True),
    "vectors-as-text": _first(lambda row: row.update(embedding="AAAAAA==")),
    "vectors-without-number": _first(lambda row: row.pop("index")),
    "vectors-twice": lambda rows: [{**row, "index": 0} for row in [*rows, *rows][: len(rows)]] if len(rows) > 1 else [],
    "vectors-of-nothing": lambda _: None,
    "vectors-endless": _first(lambda row: row.update(note="x" * (2 << 20))),
}
"""Every one of them is refused."""


def makes(path: str, model: str) -> bool:
    """Whether it is asked for vectors by a name of these."""
    return path.endswith("/embeddings") and (model in {GOOD, OTHER, CARD} or model in FAULTS)


def answer(model: str, body: Mapping[str, Any]) -> bytes:
    """The answer; of a good one in another order than it was asked in."""
    rows = _rows(model, body["input"])
    if model == CARD:
        rows[0]["embedding"][0] = 4111111111111111
    data = FAULTS[model](rows) if model in FAULTS else rows[::-1]
    usage = {"prompt_tokens": len(rows), "total_tokens": len(rows)}
    return json.dumps({"object": "list", "model": model, "data": data, "usage": usage}).encode()
