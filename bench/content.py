"""What it costs to look at a coding assistant's request: 76 KB with 24 tools, seen for the first time and as it grows."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping

import orjson

from bench.measure import Figure
from nomoat.content import Inspector
from nomoat.content.detectors import PatternDetector
from nomoat.content.registered import Registered, Registration, hashes_of
from nomoat.core.lineage import Label
from nomoat.core.names import Classification

SIZE = 76_000  # bytes
TOOLS = 24
TIMES = 30
VALUES = 100_000
WORDS = [
    "the",
    "file",
    "returns",
    "value",
    "when",
    "path",
    "is",
    "not",
    "found",
    "and",
    "caller",
    "must",
    "handle",
    "error",
    "before",
    "next",
    "request",
    "of",
    "session",
    "list",
    "def",
    "return",
    "import",
    "from",
    "class",
    "self",
    "None",
    "True",
    "False",
    "raise",
    "assert",
    "yield",
    "with",
    "open",
    "read",
    "write",
    "parse",
    "token",
    "index",
    "user",
    "config",
    "server",
    "client",
    "response",
    "header",
    "body",
    "stream",
    "chunk",
    "buffer",
    "offset",
    "length",
    "result",
    "message",
    "content",
]


def measure() -> list[Figure]:
    """Milliseconds of CPU, all detectors on, a hundred thousand values registered."""
    registered = _registered()
    detector = PatternDetector(lambda: registered)
    body = request()
    cold = _spent(lambda number: (Inspector([detector]), f"s{number}", body))
    inspector = Inspector([detector])
    grown = [_grown(body, number) for number in range(TIMES)]
    asyncio.run(inspector.look("s", body))
    warm = _spent(lambda number: (inspector, "s", grown[number]))
    remark = f"{len(orjson.dumps(body)):,} bytes, {TOOLS} tools, {VALUES:,} registered values"
    return [
        Figure("a request whose earlier messages were looked at, looked at", warm, "ms of CPU", "at most", 8, remark),
        Figure("the same request for the first time", cold, "ms of CPU", "at most", 25, remark),
    ]


def request() -> dict[str, object]:
    """A request as a coding assistant sends it: tools, files that were read, arguments that are JSON."""
    chance = random.Random(76)  # noqa: S311

    def prose(words: int) -> str:
        lines = [" ".join(chance.choices(WORDS, k=10)) for _ in range(words // 10)]
        return "\n".join(f"{'    ' * chance.randrange(3)}{line}" for line in lines)

    tools: list[object] = [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number}",
                "description": prose(80),
                "parameters": {
                    "type": "object",
                    "properties": {
                        f"argument_{each}": {"type": "string", "description": prose(10)} for each in range(8)
                    },
                    "required": ["argument_0"],
                },
            },
        }
        for number in range(TOOLS)
    ]
    messages: list[object] = [{"role": "system", "content": prose(600)}]
    body: dict[str, object] = {"model": "m", "stream": True, "tools": tools, "messages": messages}
    while len(orjson.dumps(body)) < SIZE:
        arguments = orjson.dumps({"path": "src/a.py", "text": prose(60)}).decode()
        call = {"id": "c", "type": "function", "function": {"name": "tool_1", "arguments": arguments}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": prose(120)},
        ]
    return body


def _grown(body: Mapping[str, object], number: int) -> dict[str, object]:
    """The request with one more answer of a tool, another each time."""
    messages = body["messages"]
    assert isinstance(messages, list)
    words = " ".join(WORDS[number % 20 :] * 8)
    return {**body, "messages": [*messages, {"role": "tool", "tool_call_id": "c", "content": f"{number} {words}"}]}


def _spent(asked: Callable[[int], tuple[Inspector, str, Mapping[str, object]]]) -> float:
    """The median of the CPU milliseconds that a look takes."""
    spent: list[float] = []
    for number in range(TIMES):
        inspector, session, body = asked(number)
        before = time.process_time()
        asyncio.run(inspector.look(session, body))
        spent.append((time.process_time() - before) * 1000)
    return sorted(spent)[TIMES // 2]


def _registered() -> Registered:
    key = bytes(range(32))
    values = [f"customer {number:06d} of {WORDS[number % len(WORDS)]}" for number in range(VALUES)]
    label = Label(Classification.CONFIDENTIAL, frozenset({"customers"}))
    return Registered(1, key, [Registration("customers", label, canary=False, hashes=hashes_of(key, values))])
