"""How many tokens a request may take, before it is sent, and how many an answer had that does not say so itself.

Rules: an estimate of a request is meant to be too much rather than too little, and what it says of itself counts. A token
is `BYTES` of a request, `CHARACTERS` of an answer's text; a request that does not say how long its answer may be gets
`UNSTATED`, and takes more as it goes on.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, cast, final

import orjson

from nomoat.content.usage import Usage, UsageReader
from nomoat.core.inference import MOST, Call

BYTES: Final = 4  # of a request, for a token
CHARACTERS: Final = 4  # of an answer, for a token
UNSTATED: Final = 1_024  # tokens of an answer whose length the request does not say
HELD: Final = 16 << 10  # bytes of a stream that are not looked at yet: most say in the end what they took
LONGEST_LINE: Final = 1 << 20  # bytes of a line of a stream
LONGEST_NUMBER: Final = 32  # characters of one that is written as a text
_LENGTHS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_TIMES: Final = ("n", "best_of")
_SAID: Final = ("choices", "delta")
"""Where the events of a stream have what a model says: of OpenAI's chat and completions, of its responses and Anthropic's."""
_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"  # ends a stream of OpenAI's


def expected(call: Call, body: Mapping[str, object], size: int) -> Usage:
    """What a request of `size` bytes may take. A length that is stated counts wherever it stands: the largest of them."""
    if call is Call.COUNT:
        return Usage(0, 0)
    read = -(-size // BYTES)
    if call is Call.EMBEDDING:
        return Usage(read, 0)
    lengths = [value for name in _LENGTHS if (value := _whole(body.get(name))) > 0]
    times = max(1, *(_whole(body.get(name)) for name in _TIMES))
    return Usage(read, min(MOST, max(lengths, default=UNSTATED) * times * _prompts(call, body)))


@final
class Passing:
    """An answer as it passes: how much it has taken up to now, whether or not it says so in the end."""

    def __init__(self, call: Call, expected: Usage, *, status: int, streamed: bool) -> None:
        self._call = call
        self._expected = expected
        self._failed = not 200 <= status < 300
        self._streamed = streamed
        self._held = bytearray()
        self._characters = self._size = 0
        self.complete = False

    def feed(self, part: bytes) -> None:
        """Take a part of the answer."""
        self._size += len(part)
        if self._streamed:
            self._held += part
            if len(self._held) > HELD and (b"\n" in part or len(self._held) > LONGEST_LINE):
                self._count()

    @property
    def most_written(self) -> int:
        """What the tokens of the answer up to here are at most; without a look at them."""
        return -(-self._size // CHARACTERS)

    @property
    def written(self) -> int:
        """Tokens of the answer up to here, estimated."""
        if self._call in {Call.EMBEDDING, Call.COUNT}:
            return 0
        self._count()
        return -(-(self._characters if self._streamed else self._size) // CHARACTERS)

    def _count(self) -> None:
        """Look at the lines that are complete."""
        if (end := self._held.rfind(b"\n")) >= 0:
            self._characters += _characters(bytes(self._held[:end]).split(b"\n"))
            del self._held[: end + 1]
        if len(self._held) > LONGEST_LINE:
            self._characters += len(self._held)  # nobody parses that much at once
            self._held.clear()

    def total(self, reader: UsageReader) -> tuple[Usage, bool]:
        """What it took: as the answer said, or estimated, and whether it is. What nobody can tell is what was expected."""
        said = reader.total()
        if said is not None and (self.complete or not self._streamed):
            return said, False
        if self._failed or self._call is Call.COUNT:
            return Usage(0, 0), False
        read = said.input if said is not None and said.input else self._expected.input
        # What is held after a look is a line that did not end.
        written = max(self.written + len(self._held) // CHARACTERS, said.output if said is not None else 0)
        if not self._streamed and not self.complete:
            written = max(written, self._expected.output)  # it was written whole before it began to arrive
        return Usage(read, written), True


def _characters(lines: Iterable[bytes]) -> int:
    """Characters of what a model says in lines of a stream."""
    events = _parsed([line[len(_DATA) :] for line in lines if line.startswith(_DATA) and not line.endswith(_DONE)])
    left = [event[name] for event in events for name in _SAID if name in event]
    count = 0
    while left:  # a stack: what is nested deeply takes none of Python's
        each = left.pop()
        if isinstance(each, str):
            count += len(each)
        elif isinstance(each, dict):
            left += cast("dict[str, object]", each).values()
        elif isinstance(each, list):
            left += cast("list[object]", each)
    return count


def _parsed(texts: Sequence[bytes]) -> Sequence[Mapping[str, object]]:
    """The objects that lines hold: at once, which costs half, or where one of them is none, one by one."""
    found: list[object] = []
    try:
        found = orjson.loads(b"[" + b",".join(texts) + b"]")
    except orjson.JSONDecodeError:
        for text in texts:
            with suppress(orjson.JSONDecodeError):
                found.append(orjson.loads(text))
    return [cast("dict[str, object]", each) for each in found if isinstance(each, dict)]


def _whole(value: object) -> int:
    """A number as servers read it that are not strict: `7.0` and `"7"` are 7."""
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER:
        with suppress(ValueError):
            value = float(value)
    # Neither infinite nor none: what is compared with those is false.
    return int(min(value, MOST)) if isinstance(value, (int, float)) and value > 0 and value is not True else 0


def _prompts(call: Call, body: Mapping[str, object]) -> int:
    """How many prompts a completion has: each is answered."""
    prompt = body.get("prompt")
    if call is not Call.COMPLETION or not isinstance(prompt, list):
        return 1
    prompts = cast("Sequence[object]", prompt)
    return max(1, sum(isinstance(each, str | list) for each in prompts))
