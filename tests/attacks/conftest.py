"""One live gateway for all attacks over the network."""

from collections.abc import Iterator

import pytest

from tests.hub.live import Live, gateway


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A gateway over TLS in a process of its own, with a dataset and a model that exist."""
    with gateway(tmp_path_factory.mktemp("attacked")) as running:
        with running.http("ingest") as client:
            for name in ("digits", "shelf"):
                body = {"type": "dataset", "organization": "acme", "name": name}
                assert client.post("/api/repos/create", json=body).status_code == 200
        with running.bound("ingest") as client:
            body = {"type": "dataset", "organization": "acme", "name": "secrets"}
            assert client.post("/api/repos/create", json=body).status_code == 200
        yield running
