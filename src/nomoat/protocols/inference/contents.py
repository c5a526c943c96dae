"""JSON → ReadContents: what was asked of a model and what it said, where that was kept."""

from collections.abc import Mapping
from typing import final

from nomoat.core.operation import ReadContents
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, whole
from nomoat.protocols.http.routes import Route
from nomoat.resources.inference.contents import Contents


@final
class ContentsEndpoint:
    """The enforcement point for what is kept of prompts and answers."""

    def __init__(self, guard: Guard, contents: Contents) -> None:
        self._guard = guard
        self._contents = contents

    async def _read(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReadContents:
            body = await exchange.json()
            require_only(body, "record")
            return ReadContents(whole(body, "record", least=0, most=1 << 62))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._contents.read(permit))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [Route("POST", "/v1/log/contents", "admin", ReadContents, self._read)]
