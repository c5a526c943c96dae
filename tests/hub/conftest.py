"""One live gateway for all tests of this room; each works on paths of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.hub.live import Live, commit_lines, gateway
from tests.hub.ways import Way, way_of


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A gateway over TLS in a process of its own, with two datasets and a model that exist."""
    with gateway(tmp_path_factory.mktemp("live")) as running:
        creation = "import huggingface_hub as hub; hub.create_repo('{}', repo_type='{}')"
        running.done("ingest", creation.format("acme/digits", "dataset"))
        running.done("train", creation.format("acme/digit-reader", "model"))
        # Restricted things are not for bearers that anyone could carry: this one is created over mutual TLS.
        with running.bound("ingest") as client:
            created = client.post(
                "/api/repos/create", json={"type": "dataset", "organization": "acme", "name": "secrets"}
            )
            assert created.status_code == 200, created.text
            files = "".join(commit_lines({"data.csv": b"1", "folder/a": b"2"}))
            assert client.post("/api/datasets/acme/secrets/commit/main", content=files).status_code == 200
        yield running


@pytest.fixture(scope="session")
def ways(live: Live) -> Iterator[Callable[[str], Way]]:
    """Each way to the gateway by its name, opened once: a process that is given one file after another comes back to it."""
    with ExitStack() as opened:
        yield cache(lambda name: opened.enter_context(way_of(live, name)))


@pytest.fixture(scope="session", params=["direct", "proxy"])
def taken(ways: Callable[[str], Way], request: pytest.FixtureRequest) -> Way:
    """Each way to the gateway, one after the other."""
    return ways(request.param)


@pytest.fixture
def way(taken: Way) -> Iterator[Way]:
    """A way to the gateway; what the test does is recorded with the binding that this way has."""
    with taken.watched():
        yield taken
