"""What refusals, errors and records would tell of documents that one may not read."""

import hashlib
import json

import pytest

from tests.cli.live import Caller
from tests.retrieval.conftest import Library

DECLARED = """
[[workload]]
name = "trent"
groups = ["librarians"]
clearance = "internal"
"""
HIDDEN = {"name": "twin", "classification": "confidential", "labels": ["basalt"], "passages": ["the price is 4,711"]}
REMOVAL = {"names": ["twin"]}


@pytest.fixture(scope="module")
def kept(library: Library) -> Library:
    """An index with a document that trent, who keeps the index, may not read."""
    library.live.declare(DECLARED)
    library.live.join("workload:trent")
    assert library.put(HIDDEN)[0] == 200
    return library


@pytest.mark.parametrize("way", ["write", "remove"])
def test_attack_a_refusal_tells_the_digest_or_the_label_of_what_is_there(kept: Library, way: str) -> None:
    """That a name is taken is told to who may write; neither what a guess could be compared with, nor whose it is."""
    version = hashlib.sha256(repr(HIDDEN["passages"]).encode()).hexdigest()
    with kept.live.http("trent") as http:
        if way == "write":
            page = {"name": "twin", "version": "0" * 64, "passages": ["mine"]}
            answer = http.put("/v1/indexes/handbook/documents", json={"documents": [page]})
        else:
            answer = http.post("/v1/indexes/handbook/documents/removals", json=REMOVAL)
    assert answer.status_code == 403
    assert version[:12] not in answer.text
    caller = Caller(kept.live.root / "home")
    record = str(answer.json()["record"])
    said = caller.nomoat("policy", "explain", record, "--json", "--profile", kept.live.profiles["trent"].name)
    assert said.code == 0, said.err
    assert json.loads(said.out)["decision"] == "refused"
    for word in (version[:12], "confidential", "basalt"):
        assert word not in said.out
