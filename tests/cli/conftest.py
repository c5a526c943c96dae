"""One gateway for the tests of the command; a test that stops or breaks it makes its own."""

from collections.abc import Generator

import pytest

from tests.cli.live import Caller, Live


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with Live(tmp_path_factory.mktemp("live") / "gateway") as running:
        yield running


@pytest.fixture(scope="session")
def admin(live: Live) -> Caller:
    return live.admin()
