"""How many tokens an answer says that it took, read from it while it passes.

Rules: nothing of the answer is held back or changed. Of a stream only the events that speak of usage are parsed, of a
whole answer what fits the limit; one that says nothing, or what is no number, has taken an unknown number of tokens. A
stream says it more than once, with growing figures: the largest of each counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast, final

import orjson

LARGEST_ANSWER: Final = 4 << 20  # bytes of a whole answer that is looked into
LARGEST_EVENT: Final = 1 << 20  # bytes of one event
MOST_TOKENS: Final = 1 << 40
_MARK: Final = b'"usage"'
_DATA: Final = b"data:"
_INPUT: Final = ("prompt_tokens", "input_tokens")
_OUTPUT: Final = ("completion_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were read and written."""

    input: int
    output: int


@final
class UsageReader:
    """Reads usage from the parts of an answer; `streamed` is whether it is one of events."""

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._held = bytearray()
        self._most = LARGEST_EVENT if streamed else LARGEST_ANSWER
        self._over = False
        self._input = self._output = -1

    def feed(self, part: bytes) -> None:
        """Take a part of the answer."""
        self._held += part
        if self._streamed:
            self._events()
        if len(self._held) > self._most:
            self._over = True
            self._held.clear()

    def total(self) -> Usage | None:
        """What the answer said up to here; None where it said nothing."""
        if not self._streamed and self._held and not self._over:
            self._look(bytes(self._held))
        if self._input < 0 and self._output < 0:
            return None
        return Usage(max(0, self._input), max(0, self._output))

    def _events(self) -> None:
        """Look into the lines that are complete; of one that was too long, wait for its end."""
        end = self._held.rfind(b"\n")
        if end < 0:
            return
        lines = bytes(self._held[:end])
        del self._held[: end + 1]
        if self._over:
            self._over = False
            lines = lines.partition(b"\n")[2]
        if _MARK not in lines:
            return
        for line in lines.split(b"\n"):
            if line.startswith(_DATA) and _MARK in line:
                self._look(line[len(_DATA) :])

    def _look(self, document: bytes) -> None:
        try:
            value: object = orjson.loads(document)
        except orjson.JSONDecodeError:
            return
        found = _object(value)
        # OpenAI: at the top, or in `response`; Anthropic: at the top, or in `message`.
        for holder in (found, found.get("response"), found.get("message")):
            if usage := _object(_object(holder).get("usage")):
                self._input = max(self._input, _count(usage, _INPUT))
                self._output = max(self._output, _count(usage, _OUTPUT))


def _object(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _count(usage: Mapping[str, object], names: tuple[str, str]) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
            return value
    return -1
