"""An answer, for as long as its permit holds: what is given out of it, and when.

Rules: where something is looked for, nothing is given out that was not looked at. What was found stops the answer until
that is permitted as well.
"""

import hashlib
from typing import Final, final

from nomoat.content import AnswerReader
from nomoat.content.usage import UsageReader
from nomoat.core.content import Content
from nomoat.core.errors import Misuse
from nomoat.core.operation import InvokeModel
from nomoat.core.permit import Permit
from nomoat.resources.inference.charging import Account
from nomoat.stores.upstreams import UpstreamAnswer

KEPT: Final = frozenset({b"content-type", b"content-length", b"retry-after", b"x-request-id", b"request-id"})
"""Headers of an upstream's answer that the client sees."""
EVENTS: Final = "text/event-stream"
COMMON: Final = frozenset({"application/json", "application/json; charset=utf-8", EVENTS, f"{EVENTS}; charset=utf-8"})
LONGEST_NUMBER: Final = 10


@final
class Answer:
    """What a model answers; the record says what was given out.

    `endpoint` is what was asked. `status` and `headers` are the upstream's; `streamed`: the body is events. `record` is the one that allowed asking.
    `found` is everything that was found up to now, where something of it is not permitted yet; None otherwise.
    """

    __slots__ = (
        "_account",
        "_answer",
        "_digest",
        "_permit",
        "_reader",
        "_usage",
        "endpoint",
        "found",
        "headers",
        "record",
        "status",
        "streamed",
    )

    def __init__(
        self,
        permit: Permit[InvokeModel],
        endpoint: str,
        answer: UpstreamAnswer,
        reader: AnswerReader | None,
        account: Account | None,
    ) -> None:
        self._permit = permit
        self._account = account
        self._answer = answer
        self._reader = reader
        self.endpoint = endpoint
        self.record = permit.receipt.index
        self.status = answer.status
        kept = answer.headers(KEPT)
        self.headers = {name: value for name, value in kept.items() if not _tells(reader, value)}
        self.streamed = self.headers.get("content-type", "").lower().startswith(EVENTS)
        if self.streamed:  # it may end with an event of ours
            self.headers.pop("content-length", None)
        self.found: Content | None = None
        self._digest = hashlib.sha256()
        self._usage = UsageReader(streamed=self.streamed)

    @property
    def is_over(self) -> bool:
        """Whether all of the body was taken."""
        return self._answer.is_over and (self._reader is None or not self._reader.held)

    @property
    def is_held_whole(self) -> bool:
        """Whether nothing of it leaves before its end."""
        return self._reader is not None and self._reader.whole

    @property
    def held(self) -> int:
        """How many bytes of it are held."""
        return 0 if self._reader is None else self._reader.held

    async def part(self) -> bytes:
        """The next of the body; b"" after its end, and where something was `found`.

        Raises `Revoked`, `UsedUp` when a quota has no room for more, and `Unavailable` when the upstream breaks off, or more
        would have to be held than may be.
        """
        part = await (self._answer.part() if self._reader is None else self._looked_at(self._reader))
        if part:
            self._permit.check()
            self._digest.update(part)
            if self._reader is None:
                self._count(part)
            self._permit.note(bytes=len(part))
        return part

    async def _looked_at(self, reader: AnswerReader) -> bytes:
        if self.found is not None:
            raise Misuse("an answer goes on that was not released")
        while True:
            part = reader.take()
            if part or reader.found or (self._answer.is_over and not reader.held):
                break
            came = await self._answer.part()
            self._permit.check()
            self._count(came)
            await reader.feed(came, over=self._answer.is_over)
        if reader.found:
            self.found = reader.everything
            self._permit.note(answer_found=self.found.rules)
        return part

    def _count(self, part: bytes) -> None:
        self._usage.feed(part)
        if self._account is not None:
            self._account.feed(part)

    def go_on(self, content: Content, *, whole: bool) -> None:
        """Go on after what was found was permitted; `whole`: but give nothing more out before the end."""
        self.found = None
        if self._reader is not None:
            self._reader.permit(content.findings, whole=whole)

    def end(self) -> None:
        """Say for the record what was given out, and let go of the upstream, whose answer ends with this."""
        self._permit.note(response=self._digest.hexdigest())
        if self._account is not None:
            self._account.settle(self._usage, complete=self._answer.is_over)
        elif (said := self._usage.total()) is not None:
            self._permit.note(input_tokens=str(said.input), output_tokens=str(said.output))
        self._answer.end()


def _tells(reader: AnswerReader | None, value: str) -> bool:
    """Whether something is found in the value of a header, which then stays here."""
    if reader is None or value in COMMON or (value.isdigit() and len(value) <= LONGEST_NUMBER):
        return False
    return reader.finds(value)
