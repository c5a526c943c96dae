"""One search, as every face of retrieval makes it: find, then be given what was found.

Rules: what was found leaves by a permit of its own, for each document as it is then. Where one of them has changed meanwhile,
all is looked for again, so that an answer is one of a single instant.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from nomoat.core.connection import Presented, Verified
from nomoat.core.errors import Conflict, NotFound, NotPermitted, Unavailable
from nomoat.core.operation import ReadPassages, SearchIndex
from nomoat.core.principal import Principal
from nomoat.core.retrieval import Passage
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.retrieval.embedding import Embedding, kept
from nomoat.resources.inference import Inference
from nomoat.resources.retrieval import Retrieval

ATTEMPTS: Final = 4  # how often what was found may change before it is read


class Searching:
    """What every face of retrieval has: it finds, and is given what it found."""

    def __init__(self, guard: Guard, retrieval: Retrieval, inference: Inference) -> None:
        self._guard = guard
        self._retrieval = retrieval
        self._embedding = Embedding(guard, inference)

    def pace(self, name: str) -> Callable[[], Awaitable[None]]:
        """What waits for the next instant of an index's grid, which begins now; of none, for nothing."""
        return partial(until, asyncio.get_running_loop().time(), self._retrieval.grid_ms(name))

    async def found(
        self, exchange: Exchange, asked: Callable[[Principal], Awaitable[SearchIndex]]
    ) -> tuple[SearchIndex, Sequence[Passage]]:
        """Find passages and be given them; what else the exchange asks for is asked by who was verified for this.

        Raises `Refused` as the guard does, `Unavailable` when too much changed meanwhile.
        """
        operation: SearchIndex | None = None
        ask = kept(self._embedding.asker(exchange))  # what is looked for again is the same query

        async def parse(who: Principal) -> SearchIndex:
            nonlocal operation
            operation = await asked(who)
            return operation

        for _ in range(ATTEMPTS):
            try:
                if operation is not None:
                    await self._retrieval.open(operation.index)
                async with self._guard.admit(exchange.presented, operation or parse) as permit:
                    connection, _, protocol, method, _ = exchange.presented
                    verified = Verified(permit.principal)  # a proof is good once
                    exchange.present(Presented(connection, verified, protocol, method))
                    found = await self._retrieval.search(permit, partial(ask, permit.principal))
            except Conflict:
                continue
            if not found.ids:
                return found.operation, ()
            reading = ReadPassages(found.operation.index, found.ids, found.record)
            try:
                async with self._guard.admit(exchange.presented, reading) as permitted:
                    return found.operation, await self._retrieval.read(permitted, found)
            except (Conflict, NotFound, NotPermitted):
                continue
        raise Unavailable("index", "too much changed while it was searched; try again")


async def until(begun: float, grid_ms: int) -> None:
    """Wait for the next instant of a grid that begins with a request, at `begun` (seconds of the loop's clock)."""
    if grid_ms:
        # The loop's clock has whole milliseconds: what took none of them waits for the first instant, too.
        spent, step = asyncio.get_running_loop().time() - begun, grid_ms / 1000
        await asyncio.sleep((math.floor(spent / step) + 1) * step - spent)
