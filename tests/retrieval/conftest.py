"""A live gateway with an index, and people who may read some of it."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from tests.cli.live import Caller
from tests.hub.live import Live, gateway
from tests.inference.upstream import Simulator, simulator
from tests.retrieval.postgres import Server, server

DECLARED = """
[[group]]
name = "index-readers"
[[group]]
name = "librarians"
[[group]]
name = "finance"
[[person]]
name = "ada"
groups = ["index-readers", "finance", "model-users"]
clearance = "confidential"
[[person]]
name = "bob"
groups = ["index-readers", "model-users"]
clearance = "internal"
[[person]]
name = "eve"
clearance = "restricted"
[[workload]]
name = "librarian"
segment = "ingestion"
groups = ["librarians"]
clearance = "confidential"
[[group]]
name = "model-users"
[[upstream]]
name = "inside"
url = "http://127.0.0.1:{port}/v1"
clearance = "confidential"
private = true
[[upstream]]
name = "outside"
url = "http://127.0.0.1:{port}/outside/v1"
clearance = "internal"
private = true
external = true
[[endpoint]]
name = "acme/inside"
classification = "public"
served = [{{ upstream = "inside", model = "our-model" }}]
[[endpoint]]
name = "acme/outside"
classification = "public"
served = [{{ upstream = "outside", model = "their-model" }}]
[[index]]
name = "handbook"
classification = "internal"
owner = "group:librarians"
embedder = "none"
[[index]]
name = "shelf"
classification = "internal"
owner = "group:librarians"
embedder = "none"
[[index]]
name = "meaning"
classification = "internal"
owner = "group:librarians"
"""


@dataclass
class Library:
    """The gateway, and what is said to it."""

    live: Live
    upstream: Simulator

    def put(self, *documents: Mapping[str, object], who: str = "librarian", index: str = "handbook") -> tuple[int, Any]:
        """Write documents; one without a version has that of its passages."""
        filled = [
            dict({"version": hashlib.sha256(repr(each.get("passages")).encode()).hexdigest()}, **each)
            for each in documents
        ]
        with self.live.http(who) as http:
            answer = http.put(f"/v1/indexes/{index}/documents", json={"documents": filled})
        return answer.status_code, answer.json()

    def search(self, who: str, query: str, *, index: str = "handbook", **more: object) -> tuple[int, Any]:
        """Search as somebody."""
        with self.live.http(who) as http:
            answer = http.post(f"/v1/vector_stores/{index}/search", json={"query": query, **more})
        return answer.status_code, answer.json()

    def found(self, who: str, query: str, *, index: str = "handbook", **more: object) -> list[str]:
        """The documents that somebody finds, the best first."""
        status, said = self.search(who, query, index=index, **more)
        assert status == 200, said
        return [cast("str", each["file_id"]) for each in said["data"]]

    def anew(self, *who: str) -> None:
        """Log people in anew: their sessions carry nothing of what other tests read."""
        caller = Caller(self.live.root / "home")
        for name in who:
            assert caller.nomoat("login", "--profile", self.live.profiles[name].name).code == 0
            self.live.refresh(name)

    def holds(self, *documents: Mapping[str, object], index: str) -> None:
        """Have an index hold these documents, and nothing that other tests put there."""
        assert self.put(*documents, index=index)[0] == 200
        with self.live.http("librarian") as http:
            there = [each["name"] for each in http.get(f"/v1/indexes/{index}/documents").json()["documents"]]
            others = [name for name in there if name not in {each["name"] for each in documents}]
            http.post(f"/v1/indexes/{index}/documents/removals", json={"names": others})


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with simulator() as upstream, gateway(tmp_path_factory.mktemp("library")) as live:
        live.declare(DECLARED.format(port=upstream.port))
        for name in ("ada", "bob", "eve"):
            live.join(f"person:{name}")
        live.join("workload:librarian")
        yield Library(live, upstream)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running
