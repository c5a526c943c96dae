"""What refusals, errors and records would tell of documents that one may not read."""

import asyncio
import hashlib
import json
import time

import pytest

from nomoat.protocols.retrieval.searching import until
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


def test_attack_an_answer_that_took_no_time_by_the_loops_clock_leaves_off_the_grid() -> None:
    async def answered() -> float:
        loop = asyncio.get_running_loop()
        now = loop.time()
        loop.time, begun = lambda: now, time.perf_counter()  # type: ignore[method-assign]
        wait = asyncio.ensure_future(until(now, 40))
        await asyncio.sleep(0)
        del loop.time
        await wait
        return time.perf_counter() - begun

    assert asyncio.run(answered()) >= 0.039
