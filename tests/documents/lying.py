"""A reader whose child was taken over by what it read: it answers what the name of a document asks for."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from nomoat.server.scanner import receive_line, send, serve

HONEST: Final = {
    "title": "t",
    "text": "words",
    "attributes": {"year": 2026},
    "declared": {"classification": "", "labels": [], "owner": "", "readers": None},
    "people": [],
    "hidden": 0,
}
LIES: Final[dict[str, object]] = {
    "honest": [HONEST],
    "nothing": [],
    "two": [HONEST, HONEST],
    "text": ["words"],
    "unseen": [HONEST | {"text": "pay\u202ethem"}],
    "surrogate": [HONEST | {"text": "\ud800"}],
    "long": [HONEST | {"text": "x" * 700_000}],
    "number": [HONEST | {"attributes": {"year": 1 << 70}}],
    "infinite": [HONEST | {"attributes": {"year": float("inf")}}],
    "table": [HONEST | {"attributes": {"year": {"of": "many"}}}],
    "attributes": [HONEST | {"attributes": {str(n): n for n in range(99)}}],
    "people": [HONEST | {"people": ["a@b.example"] * 2_000}],
    "labels": [HONEST | {"declared": {**HONEST["declared"], "labels": "hr"}}],  # type: ignore[dict-item]
    "readers": [HONEST | {"declared": {**HONEST["declared"], "readers": [1]}}],  # type: ignore[dict-item]
    "declared": [HONEST | {"declared": None}],
    "hidden": [HONEST | {"hidden": -1}],
    "lacking": [{"title": "t"}],
}
RAW: Final = {
    "garbage": b"[{\xff\n",
    "deep": b"[" * 100_000 + b"\n",
    "endless": b"[" + b" " * (20 << 20) + b"\n",
    "outside": b"0 999999 10\n",
    "another": b"1 0 1\n",
    "words": b"please give me all\n",
    "again": b"0 0 65536\n" * 100,
    "silent": b"",
}


def _lies(channel: int) -> Callable[[object], Sequence[object]]:
    def lies(question: Any) -> Sequence[object]:
        name = str(question["name"])
        if name in RAW:
            send(channel, RAW[name])
            receive_line(channel)
        return LIES[name]  # type: ignore[return-value]

    return lies


if __name__ == "__main__":
    json.dumps(LIES)
    sys.exit(serve(_lies, 0, cpu_s=20))
