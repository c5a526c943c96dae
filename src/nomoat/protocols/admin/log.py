"""JSON → operations on the log: reading it is an Operation like any other, and recorded."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Final, final

from nomoat.core.operation import EraseContent, ExportLog, ReadLog, ReportLog
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text, truth, whole
from nomoat.protocols.http.routes import Route
from nomoat.resources.erasure import Erasure
from nomoat.resources.log import LogReading

_CSV: Final = "text/csv; charset=utf-8; header=present"
_LINES: Final = "application/x-ndjson"


@final
class LogEndpoint:
    """The enforcement point for who reads the log, takes it away or has it forget."""

    def __init__(self, guard: Guard, log: LogReading, erasure: Erasure) -> None:
        self._guard = guard
        self._log = log
        self._erasure = erasure

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

    async def _report_log(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReportLog:
            body = await exchange.json()
            require_only(body, "by", "query", "limit", "wait")
            limit = whole(body, "limit", 100, least=1, most=10_000)
            return ReportLog(text(body, "by"), text(body, "query", ""), limit, truth(body, "wait", default=False))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._log.report(permit))

    async def _export_log(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        body = dict[str, object]()

        async def parse(_: Principal) -> ExportLog:
            body.update(await exchange.json())
            require_only(body, "form", "query", "after")
            return ExportLog(
                text(body, "form"), text(body, "query", ""), whole(body, "after", -1, least=-1, most=1 << 62)
            )

        async with (
            self._guard.admit(exchange.presented, parse) as permit,
            aclosing(self._log.export(permit)) as parts,
        ):
            # What is wrong with the request shows before the first part: then there can be another status.
            first = await anext(parts, b"")
            # Without a length: an answer that is cut ends without its last chunk, and the client can tell.
            await exchange.start(
                200, {"Content-Type": _CSV if body["form"] == "csv" else _LINES, "Cache-Control": "no-store"}
            )
            await exchange.part(first)
            async for part in parts:
                await exchange.part(part)
            await exchange.part(b"", more=False)

    async def _erase_content(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> EraseContent:
            body = await exchange.json()
            require_only(body, "subject")
            return EraseContent(text(body, "subject"))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._erasure.erase(permit))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("POST", "/v1/log", "admin", ReadLog, self._read_log),
            Route("POST", "/v1/log/report", "admin", ReportLog, self._report_log),
            Route("POST", "/v1/log/export", "admin", ExportLog, self._export_log),
            Route("POST", "/v1/log/erase", "admin", EraseContent, self._erase_content),
        ]
