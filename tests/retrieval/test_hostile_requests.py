"""Whatever is sent to the routes of retrieval, the answer is one that was meant, and the gateway serves on."""

import base64
import random
from typing import Any

import pytest

from tests.retrieval.conftest import Library

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, 2**63, "", " ", "x" * 20_000, "\ud800", "a\0b", [], {}, [[]], {"a": 1}),
    *(
        "../x",
        "a#1",
        "a@b",
        "person:",
        "person:a b",
        "group:x",
        base64.b64encode(b"%PDF-1.4").decode(),
        "====",
        "\u202e",
    ),
)
FIELDS = {
    "search": ("query", "filters", "max_num_results", "ranking_options", "rewrite_query", "other"),
    "documents": ("name", "version", "title", "classification", "labels", "owner", "readers", "attributes", "passages"),
    "files": ("name", "content", "classification", "labels", "owner", "readers", "other"),
}
GOOD: dict[str, dict[str, Any]] = {
    "search": {"query": "travel"},
    "documents": {"name": "odd.md", "version": "0" * 64, "passages": ["x"]},
    "files": {"name": "odd.md", "content": base64.b64encode(b"words").decode()},
}


def body(chance: random.Random, kind: str) -> dict[str, Any]:
    said = dict(GOOD[kind])
    for field in chance.sample(FIELDS[kind], chance.randint(1, 2)):
        said[field] = chance.choice(ODD)
    return said


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_attack_odd_bodies_are_answered_as_they_are_meant(library: Library, kind: str) -> None:
    chance = random.Random(kind)  # noqa: S311
    for _ in range(150):
        said = body(chance, kind)
        try:
            if kind == "search":
                with library.live.http("ada") as http:
                    status = http.post("/v1/vector_stores/meaning/search", json=said).status_code
            else:
                with library.live.http("librarian") as http:
                    status = http.put("/v1/indexes/meaning/documents", json={"documents": [said]}).status_code
        except UnicodeEncodeError:  # what the client itself cannot say
            continue
        assert status in {200, 400, 403, 413}, (status, said)
    assert library.put({"name": "after.md", "passages": ["served on"]})[0] == 200


@pytest.mark.parametrize("name", ["..", "a b", "%2e%2e", "x" * 300, "meaning%00", "meaning%2Fsearch"])
def test_attack_names_of_indexes_that_are_none(library: Library, name: str) -> None:
    with library.live.http("ada") as http:
        assert http.post(f"/v1/vector_stores/{name}/search", json={"query": "x"}).status_code in {400, 404}


def test_attack_a_file_that_is_none_of_its_name(library: Library) -> None:
    for name in ("a.pdf", "a.docx", "a.eml", "a.exe", "a"):
        document = {"name": name, "content": base64.b64encode(b"\x00\x01 nothing").decode()}
        with library.live.http("librarian") as http:
            answer = http.put("/v1/indexes/meaning/documents", json={"documents": [document]})
        assert answer.status_code == 400
        assert f"refused: {name}: " in answer.json()["error"]
