"""OpenAI's vector stores, searched → ListIndexes, SearchIndex and ReadPassages.

Rules: an index that answers on a grid does so whatever the answer is.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple, cast, final

from nomoat.core.errors import Malformed, NoMoatError, NotFound
from nomoat.core.names import parse_index_name
from nomoat.core.operation import ListIndexes, SearchIndex
from nomoat.core.principal import Principal
from nomoat.core.retrieval import MOST_HITS, Ranking
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text, whole
from nomoat.protocols.http.routes import Route
from nomoat.protocols.retrieval.answers import index_json, passage_json
from nomoat.protocols.retrieval.searching import Searching

USUAL_HITS: Final = 10
LONGEST_QUERY: Final = 16_384  # characters


@final
class SearchEndpoint(Searching):
    """The enforcement point for searching."""

    async def _search(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_index_name(named["name"])
        pace = self.pace(name)

        async def parse(_: Principal) -> SearchIndex:
            body = await exchange.json()
            await self._retrieval.open(name)
            return SearchIndex(name, *parse_search(body))

        try:
            operation, passages = await self.found(exchange, parse)
        except NoMoatError:
            await pace()
            raise
        page = {
            "object": "vector_store.search_results.page",
            "search_query": [operation.query],
            "data": [passage_json(each) for each in passages],
            "has_more": False,
            "next_page": None,
        }
        await pace()
        await exchange.answer_json(200, page)

    async def _list(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ListIndexes()) as permit:
            listed = [index_json(index) for index in self._retrieval.list_indexes(permit)]
            ends = {"first_id": listed[0]["id"] if listed else None, "last_id": listed[-1]["id"] if listed else None}
            await exchange.answer_json(200, {"object": "list", "data": listed, "has_more": False, **ends})

    async def _retrieve(self, exchange: Exchange, named: Mapping[str, str]) -> None:
        name = parse_index_name(named["name"])
        async with self._guard.admit(exchange.presented, ListIndexes()) as permit:
            found = [index for index in self._retrieval.list_indexes(permit) if index.name == name]
            if not found:
                raise NotFound("there is no such index", kind="index")
            await exchange.answer_json(200, index_json(found[0]))

    async def _create(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ListIndexes:
            wanted.append(_created(await exchange.json()))
            return ListIndexes()

        wanted: list[str] = []
        async with self._guard.admit(exchange.presented, parse) as permit:
            (name,) = wanted
            found = [index for index in self._retrieval.list_indexes(permit) if index.name == name]
            if not found:
                raise NotFound(
                    f"there is no index {name!r} that you may search, and a client makes none: whoever administers the gateway "
                    f"declares it ([[index]] with this name, then nomoat apply)",
                    kind="index",
                )
            await exchange.answer_json(200, index_json(found[0]))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/vector_stores/{name}", "openai", ListIndexes, self._retrieve),
            Route("GET", "/v1/vector_stores", "openai", ListIndexes, self._list),
            Route("POST", "/v1/vector_stores", "openai", ListIndexes, self._create),
            Route("POST", "/v1/vector_stores/{name}/search", "openai", SearchIndex, self._search),
        ]


def _created(body: Mapping[str, object]) -> str:
    """The name of the index that is to be there. Raises `Malformed`."""
    require_only(body, "name")
    return parse_index_name(text(body, "name"))


class Search(NamedTuple):
    """What is asked for, in the order of `SearchIndex`."""

    query: str
    digest: str
    most: int
    ranking: Ranking
    filter: Mapping[str, object] | None
    at_least: float | None


def parse_search(body: Mapping[str, object]) -> Search:
    """A search in OpenAI's words, with `ranker` `hybrid`, `keyword` or `vector`. Raises `Malformed`."""
    require_only(body, "query", "filters", "max_num_results", "ranking_options", "rewrite_query")
    if body.get("rewrite_query"):
        raise Malformed("a query is not rewritten here: leave rewrite_query out")
    said = body.get("query")
    texts = cast("list[object]", said) if isinstance(said, list) else [said]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise Malformed("query is a text, or a list of texts")
    query = "\n".join(cast("list[str]", texts))
    if not query.strip() or len(query) > LONGEST_QUERY:
        raise Malformed(f"query has 1 to {LONGEST_QUERY:,} characters")
    ranking, at_least = _ranking(body.get("ranking_options"))
    filters = body.get("filters")
    if filters is not None and not isinstance(filters, dict):
        raise Malformed("filters is one comparison, or an `and` or `or` of some")
    return Search(
        query=query,
        digest=hashlib.sha256(query.encode()).hexdigest(),
        most=whole(body, "max_num_results", USUAL_HITS, least=1, most=MOST_HITS),
        ranking=ranking,
        filter=cast("Mapping[str, object] | None", filters),
        at_least=at_least,
    )


def _ranking(options: object) -> tuple[Ranking, float | None]:
    if options is None:
        return Ranking.HYBRID, None
    if not isinstance(options, dict):
        raise Malformed("ranking_options is an object")
    given = cast("dict[str, object]", options)
    require_only(given, "ranker", "score_threshold")
    ranker, least = given.get("ranker", "auto"), given.get("score_threshold")
    if least is not None and (not isinstance(least, (int, float)) or isinstance(least, bool)):
        raise Malformed("score_threshold is a number")
    if not isinstance(ranker, str) or (ranker != "auto" and ranker not in set(Ranking)):
        raise Malformed(f"ranker is auto, {', '.join(Ranking)}")
    return Ranking.HYBRID if ranker == "auto" else Ranking(ranker), None if least is None else float(least)
