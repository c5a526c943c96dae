"""OpenAI's client, unmodified, on vector stores."""

from collections.abc import Iterator

import httpx2
import openai
import pytest

from nomoat.client.transport import pinned_context
from tests.retrieval.conftest import Library

PAGES = [
    {"name": "a.md", "passages": ["travel is booked in the portal"], "attributes": {"year": 2025, "kind": "rule"}},
    {"name": "b.md", "passages": ["travel was booked by telephone"], "attributes": {"year": 2019}},
]


@pytest.fixture
def stores(library: Library) -> Iterator[openai.resources.VectorStores]:
    library.put(*PAGES, index="meaning")
    profile = library.live.profiles["bob"]
    with (
        httpx2.Client(verify=pinned_context(profile.read("ca.pem").decode())) as http,
        openai.OpenAI(
            base_url=f"{library.live.url}/v1",
            api_key=profile.read("hub/token").decode(),
            http_client=http,
            max_retries=0,
        ) as client,
    ):
        yield client.vector_stores


def test_they_are_listed_and_told_of(stores: openai.resources.VectorStores) -> None:
    assert {each.id for each in stores.list()} >= {"handbook", "meaning"}
    assert stores.retrieve("meaning").status == "completed"
    with pytest.raises(openai.NotFoundError, match="no such index"):
        stores.retrieve("nothing")


def test_a_search_with_its_options(stores: openai.resources.VectorStores) -> None:
    page = stores.search("meaning", query="how is travel booked", max_num_results=1)
    assert len(page.data) == 1
    found = stores.search("meaning", query="travel", filters={"type": "gte", "key": "year", "value": 2020})
    assert [hit.filename for hit in found.data] == ["a.md"]
    assert found.data[0].attributes == {"year": 2025, "kind": "rule"}
    assert found.data[0].content[0].text == "travel is booked in the portal"
    both = stores.search(
        "meaning",
        query=["travel", "telephone"],
        filters={
            "type": "and",
            "filters": [{"type": "lt", "key": "year", "value": 2020}, {"type": "ne", "key": "kind", "value": "rule"}],
        },
        ranking_options={"ranker": "keyword"},  # type: ignore[arg-type]  # one of ours
    )
    assert [hit.filename for hit in both.data] == ["b.md"]


@pytest.mark.parametrize(
    "filters",
    [
        {"type": "like", "key": "year", "value": 1},
        {"type": "eq", "key": "year"},
        {"type": "and", "filters": []},
        {"type": "gt", "key": "year", "value": True},
        {"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}] * 70},
    ],
)
def test_a_filter_that_is_none_is_refused(stores: openai.resources.VectorStores, filters: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError):
        stores.search("meaning", query="travel", filters=filters)  # type: ignore[arg-type]


def test_what_is_asked_for_otherwise_is_refused_with_a_reason(stores: openai.resources.VectorStores) -> None:
    with pytest.raises(openai.BadRequestError, match="rewrite"):
        stores.search("meaning", query="travel", rewrite_query=True)
    with pytest.raises(openai.BadRequestError, match="characters"):
        stores.search("meaning", query=" ")
    with pytest.raises(openai.BadRequestError, match="from 1 to 50"):
        stores.search("meaning", query="travel", max_num_results=51)
