"""Answers as they come: what is found in them, before that can leave; events leave as they came, in order, only later.

Rules: nothing that could still become part of a match leaves (`settled` says what that is, docs/reference/content.md how
many characters of what can). What a client puts together of several events is looked at together; every other string
of an event by itself. What was found is told before anything more leaves. What is held is bounded; more is refused.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast, final

import orjson

from nomoat.content.events import Fragment, Recurrence, events_in, fragments_of, parsed
from nomoat.content.inspector import Inspector, Trace, pieces_of
from nomoat.content.runs import LONGEST, STRIDE
from nomoat.content.settling import settled
from nomoat.content.texts import Text
from nomoat.core.content import Content, Finding
from nomoat.core.errors import Unavailable

MOST_HELD: Final = 16 << 20  # bytes of one answer that are held
CONTEXT: Final = 128  # characters before what has not left, that are looked at with it
STEP: Final = 1024  # characters, after which what came is looked at with more before it
REACH: Final = 2048  # characters before those
SHORT: Final = 256  # characters of a string that is not looked at a second time in one answer
MOST_KNOWN: Final = 1024  # of those
APART: Final = 8  # texts that begin, after which they are looked at together
TOGETHER: Final = 2 * STRIDE  # of them
MOST_PASSAGES: Final = 4096  # texts of one answer that go on side by side


@final
class _Passage:
    """The text that a client puts together of one sort of fragments."""

    __slots__ = ("at", "far", "left", "text")

    def __init__(self) -> None:
        self.text = ""  # from `at` on
        self.at = 0
        self.left = 0  # up to here it may leave, as far as it was looked at
        self.far = 0  # up to here it was looked at with more before it

    @property
    def end(self) -> int:
        return self.at + len(self.text)

    def window(self, start: int) -> str:
        """The text from a place on."""
        return self.text[max(0, start - self.at) :]

    def forget(self) -> None:
        """Let go of what no further look needs."""
        keep = min(self.left - CONTEXT, self.far - REACH) - self.at
        if keep > STEP:
            self.text = self.text[keep:]
            self.at += keep


@final
class AnswerReader:
    """Reads one answer.

    `streamed`: it comes as events. `whole`: nothing of it leaves before its end. `found` has what was found and is not
    permitted yet; while there is any, nothing leaves.
    """

    def __init__(self, inspector: Inspector, session: str, *, streamed: bool, whole: bool) -> None:
        self._inspector = inspector
        self._session = session
        self._streamed = streamed
        self.whole = whole or not streamed
        self._raw = bytearray()
        self._scanned = 0  # bytes of it that no event ends in
        self._queue: deque[tuple[bytes, Sequence[tuple[_Passage, int]]]] = deque()
        self._queued = 0
        self._passages: dict[object, _Passage] = {}
        self._together = 0  # of them were looked at together
        self._known: set[str] = set()
        self._recurrence = Recurrence()
        self._traces: set[Trace] = set()
        self._all: frozenset[Finding] = frozenset()
        self._over = False
        self._malformed = False
        self.found: frozenset[Finding] = frozenset()

    @property
    def held(self) -> int:
        """How many bytes are held."""
        return len(self._raw) + self._queued

    @property
    def everything(self) -> Content:
        """All that was found, permitted or not."""
        return Content(self._all)

    def permit(self, findings: frozenset[Finding], *, whole: bool) -> None:
        """Let what was found leave; `whole`: but nothing more before the end."""
        self.found -= findings
        self.whole = self.whole or whole

    async def feed(self, part: bytes, *, over: bool) -> None:
        """Take a part of the answer; `over`: it was the last.

        Raises `Unavailable` when more would have to be held, and for an event that no client could read, if nothing was found.
        """
        self._raw += part
        self._over = over
        if self._streamed or (over and not await self._document()):
            await self._events()
        self._check_form()
        if len(self._passages) > MOST_PASSAGES:
            raise Unavailable("upstream", f"its answer has more than {MOST_PASSAGES} texts at a time")
        if self.held > MOST_HELD:
            raise Unavailable("upstream", f"more than {MOST_HELD >> 20} MiB of its answer would have to be held")

    def _check_form(self) -> None:
        if self._malformed and not self.found:
            raise Unavailable("upstream", "its answer has an event that is none of its protocol")

    def finds(self, text: str) -> bool:
        """Whether anything is found in what comes beside the answer, such as a header of it."""
        return any(seen.findings or seen.hits for seen in self._inspector.see([Text((), text)]))

    def take(self) -> bytes:
        """What may leave now. Raises `Unavailable` where what was permitted came with what no client could read."""
        self._check_form()
        if self.found or (self.whole and not self._over):
            return b""
        queue, parts = self._queue, list[bytes]()
        while queue and all(end <= passage.left for passage, end in queue[0][1]):
            parts.append(queue.popleft()[0])
        if self._over and not queue:
            parts.append(bytes(self._raw))
            self._raw.clear()
        taken = b"".join(parts)
        self._queued = self._queued - len(taken) if queue else 0
        return taken

    # -- A stream -----------------------------------------------------------------------------------

    async def _events(self) -> None:
        grown: dict[_Passage, None] = {}
        alone: list[Text] = []
        for event in self._complete():
            marks: list[tuple[_Passage, int]] = []
            again = self._recurrence.of(event)
            fragments = [again] if again is not None else list(fragments_of(event, self._known))
            if again is None:
                self._recurrence.learn(event, fragments)
            for fragment in fragments:
                if fragment.of is None:
                    self._malformed = self._malformed or fragment.malformed
                    self._alone(fragment, alone)
                    continue
                passage = self._passages.get(fragment.of)
                if passage is None:
                    passage = self._passages[fragment.of] = _Passage()
                passage.text += fragment.text
                grown[passage] = None
                marks.append((passage, passage.end))
            self._queue.append((event, marks))
            self._queued += len(event)
        if alone:
            await self._look(alone)
        for passage in self._passages.values() if self._over else grown:
            await self._settle(passage)
        new = len(self._passages) - self._together
        if new >= APART or (self._over and new and len(self._passages) >= APART // 2):
            self._look_together()

    def _look_together(self) -> None:
        """Look at the short texts that began last as at one: a copy may come in many calls of tools."""
        self._together = len(self._passages)
        last = list(self._passages.values())[-TOGETHER:]
        short = [Text((), passage.text) for passage in last if len(passage.text) <= LONGEST]
        self._find(self._inspector.see_across(short))

    def _complete(self) -> Iterator[bytes]:
        """The events that have come to their end; at the end of the answer, the rest of it."""
        ends = events_in(self._raw, self._scanned)
        begin = 0
        for end in ends:
            yield bytes(self._raw[begin:end])
            begin = end
        del self._raw[:begin]
        self._scanned = max(0, len(self._raw) - 3)
        if self._over and self._raw:
            yield bytes(self._raw)
            self._raw.clear()

    def _alone(self, fragment: Fragment, to: list[Text]) -> None:
        text = fragment.text
        if text in self._known:
            return
        if len(text) <= SHORT and len(self._known) < MOST_KNOWN:
            self._known.add(text)
        to.append(Text((), text))

    async def _settle(self, passage: _Passage) -> None:
        """Look at what could leave, then let it, as far as it cannot be the beginning of anything."""
        begin = max(passage.left, passage.at)
        end = passage.end if self._over else begin + settled(passage.window(begin))
        if end > passage.left:
            await self._look([Text((), passage.window(passage.left - CONTEXT))])
            passage.left = end
        if passage.end - passage.far >= STEP or (self._over and passage.far < passage.end):
            await self._look([Text((), passage.window(passage.far - REACH))])
            passage.far = passage.end
        passage.forget()

    async def _look(self, texts: Sequence[Text]) -> None:
        for piece in pieces_of(texts):
            for seen in self._inspector.see(piece.texts):
                self._traces |= seen.traces
                self._find(seen.findings.union(hit.finding for hit in seen.hits))
            if piece.start or not piece.last:
                await asyncio.sleep(0)
        if self._traces:
            self._find(frozenset(self._inspector.judge(frozenset(self._traces))))

    def _find(self, findings: frozenset[Finding]) -> None:
        new = findings - self._all
        self._all |= new
        self.found |= new

    # -- A whole answer -----------------------------------------------------------------------------

    async def _document(self) -> bool:
        """Look at an answer that is one JSON value; False for one that is none, whatever its header says.

        One that can be read in two ways goes no further.
        """
        try:
            value = parsed(bytes(self._raw))
        except orjson.JSONDecodeError:
            return False
        except ValueError:
            self._malformed = True
            return True
        body = cast("Mapping[str, object]", value if isinstance(value, dict) else {"": value})
        self._find((await self._inspector.look(self._session, body)).findings)
        return True
