"""OpenAI's client, unmodified: files that are uploaded, and files of vector stores."""

import asyncio
import io
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import openai
import pytest

from nomoat.client.transport import pinned_context
from tests.retrieval.conftest import Library

STORE = "shelf"
RULES = b"# Rules\n\nDesks are cleared on fridays.\n\nPlants are watered by whoever sits there.\n"


@contextmanager
def client(library: Library, who: str) -> Generator[openai.OpenAI]:
    profile = library.live.profiles[who]
    with (
        httpx2.Client(verify=pinned_context(profile.read("ca.pem").decode())) as http,
        openai.OpenAI(
            base_url=f"{library.live.url}/v1",
            api_key=profile.read("hub/token").decode(),
            http_client=http,
            max_retries=0,
        ) as made,
    ):
        yield made


@pytest.fixture
def keeper(library: Library) -> Generator[openai.OpenAI]:
    with client(library, "librarian") as made:
        yield made
        for each in list(made.vector_stores.files.list(STORE)):
            made.vector_stores.files.delete(each.id, vector_store_id=STORE)
        for held in list(made.files.list()):
            made.files.delete(held.id)


def test_a_declared_index_is_created_by_being_returned(keeper: openai.OpenAI) -> None:
    assert keeper.vector_stores.create(name=STORE).id == STORE
    with pytest.raises(openai.NotFoundError, match=r"\[\[index\]\] with this name, then nomoat apply"):
        keeper.vector_stores.create(name="of-my-own")
    with pytest.raises(openai.BadRequestError, match="unknown field 'expires_after'"):
        keeper.vector_stores.create(name=STORE, expires_after={"anchor": "last_active_at", "days": 1})
    with pytest.raises(openai.BadRequestError, match="unknown field 'metadata'"):
        keeper.vector_stores.create(name=STORE, metadata={"a": "b"})


def test_an_index_that_one_may_not_search_cannot_be_created_as_if_there_were_none(library: Library) -> None:
    with client(library, "eve") as eve:
        with pytest.raises(openai.NotFoundError) as there:
            eve.vector_stores.create(name="handbook")
        with pytest.raises(openai.NotFoundError) as nowhere:
            eve.vector_stores.create(name="handb00k")
    assert str(there.value).replace("handbook", "handb00k") == str(nowhere.value)


def test_a_file_is_uploaded_put_in_found_read_and_deleted(library: Library, keeper: openai.OpenAI) -> None:
    uploaded = keeper.files.create(file=("rules.md", RULES), purpose="assistants")
    assert (uploaded.id, uploaded.bytes, uploaded.purpose) == ("rules.md", len(RULES), "assistants")
    assert keeper.files.retrieve("rules.md").filename == "rules.md"
    assert library.found("bob", "desks", index=STORE) == [], "it is in no index yet"
    put = keeper.vector_stores.files.create_and_poll(
        vector_store_id=STORE, file_id=uploaded.id, attributes={"year": 2026, "kind": "rule"}
    )
    assert (put.status, put.vector_store_id) == ("completed", STORE)
    assert keeper.vector_stores.files.retrieve(put.id, vector_store_id=STORE).attributes == {
        "year": 2026,
        "kind": "rule",
    }
    with client(library, "bob") as bob:
        found = bob.vector_stores.search(STORE, query="desks", filters={"type": "eq", "key": "year", "value": 2026})
        assert [(hit.file_id, hit.attributes) for hit in found.data] == [("rules.md", {"year": 2026, "kind": "rule"})]
        texts = [part.text for part in bob.vector_stores.files.content("rules.md", vector_store_id=STORE)]
        assert "Plants are watered" in "\n".join(text or "" for text in texts)
    assert keeper.vector_stores.files.delete("rules.md", vector_store_id=STORE).deleted
    assert library.found("bob", "desks", index=STORE) == []
    with pytest.raises(openai.NotFoundError, match="no such document"):
        keeper.vector_stores.files.delete("rules.md", vector_store_id=STORE)
    assert keeper.files.delete("rules.md").deleted
    with pytest.raises(openai.NotFoundError, match="upload it"):
        keeper.vector_stores.files.create(vector_store_id=STORE, file_id="rules.md")


def test_the_short_ways_of_the_client(tmp_path: Path, keeper: openai.OpenAI) -> None:
    one = tmp_path / "one.md"
    one.write_bytes(RULES)
    polled = keeper.vector_stores.files.upload_and_poll(vector_store_id=STORE, file=one, attributes={"year": 1})
    assert (polled.id, polled.status, polled.attributes) == ("one.md", "completed", {"year": 1})
    two = keeper.vector_stores.files.upload(vector_store_id=STORE, file=("team/two é.txt", io.BytesIO(b"plain words")))
    assert keeper.vector_stores.files.poll(two.id, vector_store_id=STORE).id == "team/two é.txt"
    assert [each.id for each in keeper.vector_stores.files.list(STORE, limit=1)] == ["one.md", "team/two é.txt"]


def test_the_asynchronous_client(library: Library, keeper: openai.OpenAI) -> None:
    profile = library.live.profiles["librarian"]

    async def upload() -> str:
        async with (
            httpx2.AsyncClient(verify=pinned_context(profile.read("ca.pem").decode())) as http,
            openai.AsyncOpenAI(
                base_url=f"{library.live.url}/v1", api_key=keeper.api_key, http_client=http, max_retries=0
            ) as made,
        ):
            put = await made.vector_stores.files.upload_and_poll(vector_store_id=STORE, file=("a.md", RULES))
            return put.status

    assert asyncio.run(upload()) == "completed"


def test_a_file_is_as_confidential_as_the_index_says(library: Library, keeper: openai.OpenAI) -> None:
    claims = b"---\nclassification: public\nreaders: [person:eve]\nyear: 2020\n---\nnobody believes this\n"
    keeper.vector_stores.files.upload_and_poll(vector_store_id=STORE, file=("claims.md", claims))
    with library.live.http("librarian") as http:
        (listed,) = http.get(f"/v1/indexes/{STORE}/documents").json()["documents"]
    assert (listed["classification"], listed["readers"]) == ("internal", None)
    assert keeper.vector_stores.files.retrieve("claims.md", vector_store_id=STORE).attributes == {"year": 2020}


def test_what_is_hidden_in_a_file_is_told_to_who_puts_it_in(keeper: openai.OpenAI) -> None:
    put = keeper.vector_stores.files.upload(vector_store_id=STORE, file=("a.txt", "seen\u200b\u2060".encode()))
    assert put.model_dump()["hidden_characters"] == 2


def test_an_upload_is_of_nobody_elses(library: Library, keeper: openai.OpenAI) -> None:
    library.live.declare(MORE)
    library.live.join("workload:second")
    keeper.files.create(file=("mine.md", RULES), purpose="assistants")
    with client(library, "second") as second:
        for attempt in (
            lambda: second.files.retrieve("mine.md"),
            lambda: second.files.delete("mine.md"),
            lambda: second.vector_stores.files.create(vector_store_id=STORE, file_id="mine.md"),
        ):
            with pytest.raises(openai.NotFoundError, match="no file of that name was uploaded in this session") as no:
                attempt()
            assert "Rules" not in str(no.value)
        assert [each.id for each in second.files.list()] == []
    assert [each.id for each in keeper.files.list()] == ["mine.md"], "and it is still there"


def test_who_may_write_into_no_index_uploads_nothing(library: Library) -> None:
    with client(library, "bob") as bob:
        with pytest.raises(openai.PermissionDeniedError, match="into no index"):
            bob.files.create(file=("mine.md", RULES), purpose="assistants")
        assert list(bob.files.list()) == []


def test_what_one_may_not_write_or_remove_is_refused(library: Library, keeper: openai.OpenAI) -> None:
    keeper.vector_stores.files.upload_and_poll(vector_store_id=STORE, file=("rules.md", RULES))
    with client(library, "bob") as bob:
        with pytest.raises(openai.PermissionDeniedError):
            bob.vector_stores.files.delete("rules.md", vector_store_id=STORE)
        with pytest.raises(openai.PermissionDeniedError):
            bob.vector_stores.files.list(STORE)
    with client(library, "eve") as eve, pytest.raises(openai.NotFoundError, match="no such index"):
        eve.vector_stores.files.content("rules.md", vector_store_id=STORE)


def test_the_content_of_a_hidden_document_is_that_of_none(library: Library) -> None:
    library.put({"name": "deal.md", "passages": ["we sell the office"], "readers": ["person:ada"]}, index=STORE)
    with client(library, "ada") as ada:
        assert [part.text for part in ada.vector_stores.files.content("deal.md", vector_store_id=STORE)] == [
            "we sell the office"
        ]
    said = []
    with client(library, "bob") as bob:
        for name in ("deal.md", "none.md"):
            with pytest.raises(openai.NotFoundError) as no:
                bob.vector_stores.files.content(name, vector_store_id=STORE)
            said.append(re.sub(r"\d+", "", str(no.value)))
    assert said[0] == said[1]
    with library.live.http("librarian") as http:
        http.post(f"/v1/indexes/{STORE}/documents/removals", json={"names": ["deal.md"]})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"purpose": "fine-tune"}, "purpose is 'assistants'"),
        ({"purpose": "assistants", "expires_after": {"anchor": "created_at", "seconds": 3600}}, "expires_after"),
    ],
)
def test_what_is_not_served_of_an_upload_is_refused_by_name(
    keeper: openai.OpenAI, more: dict[str, object], told: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=told):
        keeper.files.create(file=("a.md", RULES), **more)  # type: ignore[arg-type]


def test_what_is_not_served_of_a_file_is_refused_by_name(keeper: openai.OpenAI) -> None:
    keeper.files.create(file=("a.md", RULES), purpose="assistants")
    files = keeper.vector_stores.files
    with pytest.raises(openai.BadRequestError, match="chunking_strategy"):
        files.create(
            vector_store_id=STORE,
            file_id="a.md",
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0},
            },
        )
    with pytest.raises(openai.BadRequestError, match="a longer name"):
        files.create(vector_store_id=STORE, file_id="a.md", attributes={"x" * 65: 1})
    with pytest.raises(openai.BadRequestError, match="unknown field 'filter'"):
        files.list(STORE, filter="failed")
    with pytest.raises(openai.BadRequestError, match=r"no '#' and no '@'"):
        keeper.files.create(file=("a#1.md", RULES), purpose="assistants")
    with pytest.raises(openai.BadRequestError, match="is not read"):
        files.upload(vector_store_id=STORE, file=("picture.png", b"\x89PNG"))


def test_what_a_session_holds_is_bounded(keeper: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="larger than"):
        keeper.files.create(file=("large.txt", b"x" * (17 << 20)), purpose="assistants")
    for number in (1, 2):
        keeper.files.create(file=(f"{number}.txt", b"word " * (3 << 20)), purpose="assistants")
    with pytest.raises(openai.APIStatusError, match="a session holds at most") as full:
        keeper.files.create(file=("3.txt", b"word " * (1 << 20)), purpose="assistants")
    assert full.value.status_code == 413
    keeper.files.create(file=("2.txt", b"word "), purpose="assistants")
    keeper.vector_stores.files.create(vector_store_id=STORE, file_id="2.txt")
    keeper.files.create(file=("3.txt", b"word " * (1 << 20)), purpose="assistants")


MORE = """
[[group]]
name = "librarians"
[[workload]]
name = "second"
segment = "ingestion"
groups = ["librarians"]
clearance = "confidential"
"""
