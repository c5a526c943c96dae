"""JSON → ReadLog, SummarizeLog: reading the log is an Operation like any other, and recorded."""

from collections.abc import Mapping
from typing import final

from nomoat.core.errors import Malformed
from nomoat.core.operation import ReadLog, SummarizeLog
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text, truth, whole
from nomoat.protocols.http.routes import Route
from nomoat.resources.log import LogReading


@final
class LogEndpoint:
    """The enforcement point for readers of the log."""

    def __init__(self, guard: Guard, log: LogReading) -> None:
        self._guard = guard
        self._log = log

    async def _read_log(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReadLog:
            body = await exchange.json()
            require_only(body, "query", "after", "limit", "scan")
            return ReadLog(
                text(body, "query", ""),
                whole(body, "after", -1, least=-1, most=1 << 62),
                whole(body, "limit", 50, least=1, most=1000),
                truth(body, "scan", default=False),
            )

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._log.read(permit))

    async def _summarize(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> SummarizeLog:
            body = await exchange.json()
            require_only(body, "query", "by", "limit")
            by = text(body, "by")
            if by not in {"who", "on"}:
                raise Malformed("records are counted by 'who' or by 'on'")
            return SummarizeLog(text(body, "query", ""), by, whole(body, "limit", 50, least=1, most=1000))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._log.summarize(permit))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("POST", "/v1/log", "admin", ReadLog, self._read_log),
            Route("POST", "/v1/log/summary", "admin", SummarizeLog, self._summarize),
        ]
