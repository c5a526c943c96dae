"""SQL → QueryView, and its rows back as an Arrow stream (Apache Arrow columnar format 1.5, IPC streaming)."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final, final

from nomoat.core.names import RepositoryKind, parse_repository_name, parse_revision, parse_view_name
from nomoat.core.operation import QueryView
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text
from nomoat.protocols.http.routes import Route
from nomoat.resources.repositories.views import Views

LONGEST_SQL: Final = 16_384  # characters
ARROW: Final = "application/vnd.apache.arrow.stream"


@final
class QueryEndpoint:
    """The enforcement point for queries over views."""

    def __init__(self, guard: Guard, views: Views) -> None:
        self._guard = guard
        self._views = views

    async def _query(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> QueryView:
            body = await exchange.json()
            require_only(body, "sql", "revision")
            repository = parse_repository_name(RepositoryKind.DATASET, f"{values['namespace']}/{values['name']}")
            revision = parse_revision(text(body, "revision", "main"))
            return QueryView(
                repository, parse_view_name(values["view"]), revision, text(body, "sql", longest=LONGEST_SQL)
            )

        async with self._guard.admit(exchange.presented, parse) as permit, AsyncExitStack() as stack:
            answer = await exchange.attended(stack.enter_async_context(self._views.query(permit)))
            headers = {"Content-Type": ARROW, "Content-Length": str(answer.size), "Cache-Control": "no-store"}
            await exchange.start(200, headers)
            async for part in answer.parts:
                await exchange.part(part)
            await exchange.part(b"", more=False)

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [Route("POST", "/v1/views/{namespace}/{name}/{view}/query", "query", QueryView, self._query)]
