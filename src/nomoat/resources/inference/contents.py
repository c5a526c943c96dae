"""Contents as a resource: what was asked and answered is kept where an endpoint says so, and read by who may.

Rules: kept is what a server was sent, so what was redacted for it is not; and what it said, as far as it came. A request that
cannot be kept is not sent. What was kept is as confidential as the endpoint and what was found in the prompt.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast, final

from nomoat.core.errors import Corrupt, NotFound
from nomoat.core.lineage import Label
from nomoat.core.names import Classification
from nomoat.core.operation import InvokeModel, Operation, ReadContents, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.resources.repositories.resolution import Resolver
from nomoat.stores.contents import ANSWER, LARGEST, REQUEST, Copy, Part, StoredContents
from nomoat.stores.session_labels import SessionLabels

OF: Final = ("endpoint", "call", "upstream", "model")


class Sent(NamedTuple):
    """What is about to be sent: to which upstream, as which model, how confidential it is, and its bytes."""

    upstream: str
    model: str
    label: Label
    body: bytes


async def keep(stored: StoredContents, permit: Permit[InvokeModel], asked: InvokeModel, sent: Sent, at: float) -> Copy:
    """Keep what is about to be sent for `asked`, at `at`, and return what takes the answer.

    `permit` was claimed for it. Raises `Unavailable` when it cannot be kept: then it must not be sent.
    """
    facts = {
        "endpoint": asked.endpoint,
        "call": asked.call.value,
        "upstream": sent.upstream,
        "model": sent.model,
        "classification": sent.label.classification.value,
        "labels": sorted(sent.label.labels),
    }
    copy = await stored.keep(permit.principal.subject, permit.receipt.index, at, facts, sent.body)
    permit.check()
    permit.note(contents="kept")
    return copy


@final
class Contents:
    """What is kept of prompts and answers."""

    def __init__(self, stored: StoredContents, sessions: SessionLabels, clock: Callable[[], float]) -> None:
        self._stored = stored
        self._sessions = sessions
        self._clock = clock

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {ReadContents: self.resolve_read}

    def resolve_read(self, who: Principal, operation: ReadContents) -> Resolved[ReadContents]:
        """Resolve to the endpoint that was asked, as confidential as what was kept; to none where nothing was."""
        del who
        try:
            kept = self._stored.find(operation.number, REQUEST)
        except Corrupt:  # who may not read it does not hear of that
            kept = None
        facts: Mapping[str, object] = (
            {"endpoint": "none", "classification": 0, "labels": []} if kept is None else kept.facts
        )
        label = _label_of(facts)
        target = Target(
            kind="Endpoint",
            id=str(facts["endpoint"]),
            name=operation.requested,
            classification=label.classification,
            labels=label.labels,
        )
        return Resolved(operation, (target,), {"place": kept})

    async def read(self, permit: Permit[ReadContents]) -> dict[str, object]:
        """Return what was asked and what was said, each with its size in bytes, as text; the reader's session carries it.

        `answer` is None where none came or it could not be kept. Raises `NotFound` where nothing was kept or it was
        erased, `Corrupt`, `Unavailable`.
        """
        resolved = permit.claim(ReadContents)
        number = resolved.operation.number
        request = cast("Part | None", resolved.coordinates["place"]) or self._stored.find(number, REQUEST)
        if request is None:
            raise NotFound(
                f"nothing was kept of record {number}: it is of no access to an endpoint whose contents are kept, or it "
                "was erased or forgotten",
                kind="entry",
            )
        await self._stored.settle()
        answer = await asyncio.to_thread(self._stored.find, number, ANSWER)
        await self._sessions.join(permit.principal.session, _label_of(request.facts), self._clock())
        permit.check()
        permit.note(record=str(number), bytes=len(request.content) + (len(answer.content) if answer else 0))
        return {
            "record": number,
            **{name: request.facts[name] for name in OF},
            "request": _text(request),
            "answer": None if answer is None else {**_text(answer), "whole": answer.facts["whole"]},
        }


def _label_of(facts: Mapping[str, object]) -> Label:
    return Label(Classification(cast("int", facts["classification"])), frozenset(cast("list[str]", facts["labels"])))


def _text(part: Part) -> dict[str, object]:
    return {
        "text": part.content.decode("utf-8", "replace"),
        "size": part.facts["size"],
        "kept": min(cast("int", part.facts["size"]), LARGEST),
    }
