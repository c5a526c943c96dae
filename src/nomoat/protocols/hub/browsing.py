"""The Hub's listings of datasets and of models → ListRepositories, and back.

Rules: who asks sees what they may describe, in one answer. Of the Hub's ways to narrow and sort, those that mean
something here are taken: the namespace, a search in the name, and two dates. Nothing here has tags, so a filter by tag
finds nothing.
"""

from collections.abc import Mapping
from typing import Final, final

from nomoat.core.errors import Malformed
from nomoat.core.names import RepositoryKind
from nomoat.core.operation import ListRepositories
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.routes import Route
from nomoat.protocols.hub.answers import described_found
from nomoat.resources.repositories import Browsing
from nomoat.resources.repositories.browsing import MOST_REPOSITORIES, Found

LONGEST_WORD: Final = 200


@final
class BrowsingEndpoints:
    """The enforcement point for which repositories there are."""

    def __init__(self, guard: Guard, browsing: Browsing) -> None:
        self._guard = guard
        self._browsing = browsing

    async def _datasets(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        await self._list(exchange, RepositoryKind.DATASET)

    async def _models(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        await self._list(exchange, RepositoryKind.MODEL)

    async def _list(self, exchange: Exchange, kind: RepositoryKind) -> None:
        query = exchange.query()
        author, search = query.get("author", ""), query.get("search", "")
        if max(len(author), len(search)) > LONGEST_WORD:
            raise Malformed(f"an author or a search has at most {LONGEST_WORD} characters")
        limit, sort = _limit(query), query.get("sort", "")
        async with self._guard.admit(exchange.presented, ListRepositories(kind, author, search)) as permit:
            found = self._browsing.list_repositories(permit) if "filter" not in query else []
            await exchange.answer_json(200, [described_found(each) for each in _sorted(found, sort)[:limit]])

    def routes(self) -> list[Route]:
        """The routes of listings."""
        return [
            Route("GET", "/api/datasets", "hub", ListRepositories, self._datasets),
            Route("GET", "/api/models", "hub", ListRepositories, self._models),
        ]


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(MOST_REPOSITORIES))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Malformed("a limit is a number")
    return int(text)


def _sorted(found: list[Found], by: str) -> list[Found]:
    """Newest first for the two dates that there are; anything else is by name."""
    if by == "createdAt":
        return sorted(found, key=lambda each: -each.created.created_at)
    if by == "lastModified":
        return sorted(found, key=lambda each: -(each.head.at if each.head else each.created.created_at))
    return found
